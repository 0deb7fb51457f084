#include "agent/decode/scalar_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

namespace stillframe::decode {
namespace {

template <typename Float>
std::string ShortestText(Float value) {
  if (std::isnan(value)) return std::signbit(value) ? "-nan" : "nan";
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

// Length of the valid UTF-8 sequence at the start (RFC 3629: no overlong forms, no surrogates, up
// to U+10FFFF); 0 when there is none.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first >= 0xf0 && first <= 0xf4   ? 4
                        : first >= 0xe0 && first <= 0xef ? 3
                        : first >= 0xc2 && first <= 0xdf ? 2
                                                         : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  return length;
}

// Of a valid sequence of two to four bytes.
uint32_t Decoded(std::string_view sequence) {
  uint32_t point = static_cast<unsigned char>(sequence[0]) & (0x7fu >> sequence.size());
  for (const char c : sequence.substr(1))
    point = point << 6 | (static_cast<unsigned char>(c) & 0x3f);
  return point;
}

std::string Octal(unsigned char c) {
  char text[8];
  snprintf(text, sizeof text, "\\%03o", c);
  return text;
}

// An ASCII character inside a literal with the given quote.
std::string Escaped(unsigned char c, char quote) {
  switch (c) {
    case '\a':
      return "\\a";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\v':
      return "\\v";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c == static_cast<unsigned char>(quote)) return std::string("\\") + quote;
  if (c < 0x20 || c >= 0x7f) return Octal(c);
  return std::string(1, static_cast<char>(c));
}

// What begins a line somewhere, controls a terminal or is no character (Unicode 15, 23.7).
bool IsEscaped(uint32_t point) {
  return (point >= 0x80 && point < 0xa0) || point == 0x2028 || point == 0x2029 ||
         (point & 0xfffe) == 0xfffe || (point >= 0xfdd0 && point <= 0xfdef) || point > 0x10ffff ||
         (point >= 0xd800 && point < 0xe000);
}

// The character in UTF-8, or its number as an escape.
void AppendUtf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += Escaped(static_cast<unsigned char>(point), '"');
  } else if (IsEscaped(point)) {
    char text[16];
    snprintf(text, sizeof text, point < 0x100 ? "\\%03o" : "\\x%x", point);
    out += text;
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

}  // namespace

Uint128 ReadUnsigned(std::span<const uint8_t> bytes) {
  Uint128 value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

Int128 ReadSigned(std::span<const uint8_t> bytes) {
  if (bytes.empty() || bytes.size() >= 16) return static_cast<Int128>(ReadUnsigned(bytes));
  const int shift = static_cast<int>(128 - 8 * bytes.size());
  return static_cast<Int128>(ReadUnsigned(bytes) << shift) >> shift;
}

std::string UnsignedText(Uint128 value) {
  std::string digits;
  do {
    digits += static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string DecimalText(Int128 value) {
  if (value >= 0) return UnsignedText(static_cast<Uint128>(value));
  return "-" + UnsignedText(-static_cast<Uint128>(value));
}

std::string HexText(uint64_t value) {
  char text[20];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string FloatText(std::span<const uint8_t> bytes) {
  if (bytes.size() == 4) {
    float value;
    std::memcpy(&value, bytes.data(), 4);
    return ShortestText(value);
  }
  if (bytes.size() == 8) {
    double value;
    std::memcpy(&value, bytes.data(), 8);
    return ShortestText(value);
  }
  if (bytes.size() >= 10 && bytes.size() <= 16) {
    long double value = 0;
    std::memcpy(&value, bytes.data(), 10);  // the rest is padding
    return ShortestText(value);
  }
  return "";
}

std::string BrainFloatText(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return ShortestText(value);
}

std::string HalfText(uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  float value = 0;
  if (exponent == 0x1f) {
    value = fraction == 0 ? INFINITY : NAN;
  } else {
    // Subnormals have no hidden bit and the exponent of the smallest normal.
    const int mantissa = exponent == 0 ? fraction : fraction | 0x400;
    value = std::ldexp(static_cast<float>(mantissa), std::max(exponent, 1) - 25);
  }
  return ShortestText((bits & 0x8000) != 0 ? -value : value);
}

// 36 digits tell any two of them apart (113 bits of precision).
std::string QuadText(Uint128 bits) {
  __float128 value;
  std::memcpy(&value, &bits, sizeof value);
  // No printf without libquadmath: what fits into a long double exactly is printed as one, and the
  // rest as its bits.
  const auto narrow = static_cast<long double>(value);
  if (static_cast<__float128>(narrow) == value || value != value) return ShortestText(narrow);
  char text[40];
  snprintf(text, sizeof text, "0x%016llx%016llx", static_cast<unsigned long long>(bits >> 64),
           static_cast<unsigned long long>(bits));
  return std::string(text) + " (binary128)";
}

std::string CharText(int64_t value, uint32_t code_unit, std::string_view prefix) {
  std::string text = std::to_string(value) + " " + std::string(prefix) + "'";
  if (code_unit < 0x80) {
    text += Escaped(static_cast<unsigned char>(code_unit), '\'');
  } else if (prefix.empty() || prefix == "u8") {
    text += Octal(static_cast<unsigned char>(code_unit));
  } else {
    AppendUtf8(text, code_unit);
  }
  return text + "'";
}

std::string StringText(std::string_view bytes) {
  std::string text = "\"";
  for (size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    const size_t length = c < 0x80 ? 0 : Utf8Length(bytes.substr(i));
    if (length > 0) {
      const std::string_view sequence = bytes.substr(i, length);
      i += length;
      if (!IsEscaped(Decoded(sequence))) {
        text += sequence;
      } else {  // the bytes: that is what the string holds
        for (const char byte : sequence) text += Octal(static_cast<unsigned char>(byte));
      }
      continue;
    }
    // A digit after \0 would read as part of the escape, so it always has three digits.
    text += Escaped(c, '"');
    ++i;
  }
  return text + "\"";
}

std::string WideStringText(std::span<const uint8_t> bytes, uint32_t unit_bytes,
                           std::string_view prefix) {
  std::string text = std::string(prefix) + "\"";
  const auto unit = [&](size_t i) {
    return static_cast<uint32_t>(ReadUnsigned(bytes.subspan(i * unit_bytes, unit_bytes)));
  };
  const size_t count = bytes.size() / unit_bytes;
  for (size_t i = 0; i < count; ++i) {
    uint32_t point = unit(i);
    const bool high = unit_bytes == 2 && point >= 0xd800 && point < 0xdc00 && i + 1 < count;
    if (high && unit(i + 1) >= 0xdc00 && unit(i + 1) < 0xe000) {
      point = 0x10000 + ((point - 0xd800) << 10) + (unit(++i) - 0xdc00);
    }
    AppendUtf8(text, point);
  }
  return text + "\"";
}

}  // namespace stillframe::decode
