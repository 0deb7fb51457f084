// Values as the text of a log message: compact, one line, bounded, and harmless to a terminal.
#include <algorithm>

#include "base/utf8.h"
#include "model/log_template.h"
#include "model/redaction.h"

namespace stillframe::model {
namespace {

constexpr int kMaxDepth = 16;
constexpr std::string_view kEllipsis = "…";
constexpr std::string_view kRedactedText = "<redacted>";

// Length of the UTF-8 sequence that `text` begins with; 0 when it begins with none.
size_t SequenceLength(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(text.size(), 4); ++length) {
    if (IsUtf8(text.substr(0, length))) return length;
  }
  return 0;
}

uint32_t CodePoint(std::string_view sequence) {
  const auto first = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return first;
  uint32_t point = first & (0x7Fu >> sequence.size());
  for (const char c : sequence.substr(1)) point = point << 6 | (static_cast<uint8_t>(c) & 0x3F);
  return point;
}

// What could end the line, drive a terminal, or reorder or hide text (CVE-2021-42574).
bool IsHostile(uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0xAD || point == 0x61C ||
         (point >= 0x200B && point <= 0x200F) || (point >= 0x2028 && point <= 0x202E) ||
         (point >= 0x2060 && point <= 0x206F) || point == 0xFEFF ||
         (point >= 0xFFF9 && point <= 0xFFFB) || (point >= 0xE0000 && point <= 0xE0FFF);
}

std::string Escape(uint32_t point) {
  if (point == '\n') return "\\n";
  if (point == '\r') return "\\r";
  if (point == '\t') return "\\t";
  char text[16];
  snprintf(text, sizeof text, point < 0x100 ? "\\x%02x" : "\\u%04x", point);
  return text;
}

// Text of at most `limit` bytes, made visible as it is appended. What does not fit is replaced by
// an ellipsis.
class Line {
 public:
  explicit Line(size_t limit) : limit_(limit) {}

  bool full() const { return full_; }
  std::string Take() { return std::move(text_); }

  void Append(std::string_view text) {
    while (!text.empty() && !full_) {
      const size_t length = SequenceLength(text);
      if (length == 0) {
        Put(Escape(static_cast<uint8_t>(text[0])));
      } else if (const uint32_t point = CodePoint(text.substr(0, length)); IsHostile(point)) {
        Put(Escape(point));
      } else {
        Put(text.substr(0, length));
      }
      text.remove_prefix(std::max<size_t>(length, 1));
    }
  }

 private:
  // One character or one escape.
  void Put(std::string_view piece) {
    if (text_.size() + piece.size() <= limit_) {
      text_ += piece;
      if (text_.size() + kEllipsis.size() <= limit_) room_for_ellipsis_ = text_.size();
      return;
    }
    full_ = true;
    text_.resize(room_for_ellipsis_);
    text_ += kEllipsis;
  }

  const size_t limit_;
  std::string text_;
  size_t room_for_ellipsis_ = 0;  // the longest beginning, in whole pieces, that leaves room for it
  bool full_ = false;
};

// A C++ literal (after an encoding prefix) without its quotes, or nullopt when it is none. Escapes
// of control characters and of bytes stay: they are what makes them visible.
std::optional<std::string> Unquoted(std::string_view literal, char quote) {
  for (const std::string_view prefix : {"u8", "L", "u", "U"}) {
    if (literal.starts_with(prefix) && literal.substr(prefix.size()).starts_with(quote)) {
      literal.remove_prefix(prefix.size());
      break;
    }
  }
  const bool cut = literal.ends_with("...");
  if (cut) literal.remove_suffix(3);
  if (literal.size() < 2 || literal.front() != quote || literal.back() != quote) {
    return std::nullopt;
  }
  literal = literal.substr(1, literal.size() - 2);
  std::string text;
  for (size_t i = 0; i < literal.size(); ++i) {
    const bool escaped = literal[i] == '\\' && i + 1 < literal.size() &&
                         (literal[i + 1] == quote || literal[i + 1] == '\\');
    text += literal[escaped ? ++i : i];
  }
  if (cut) text += kEllipsis;
  return text;
}

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("0123456789", text.front() == '-' ? 1 : 0) == text.npos;
}

// "65 'A'" -> "A", but the number for the one-byte integers, which DWARF calls characters, too.
std::optional<std::string> Character(const Value& value) {
  const size_t space = value.value.find(' ');
  if (space == std::string::npos || !IsNumber(std::string_view(value.value).substr(0, space))) {
    return std::nullopt;
  }
  auto text = Unquoted(std::string_view(value.value).substr(space + 1), '\'');
  if (!text) return std::nullopt;
  const bool is_integer = value.type.find("signed char") != std::string::npos ||  // and unsigned
                          value.type.find("int8_t") != std::string::npos ||
                          value.type.find("byte") != std::string::npos;
  return is_integer ? value.value.substr(0, space) : text;
}

// A value at the top of a placeholder: strings and characters as text.
std::string ScalarText(const Value& value) {
  const std::string& text = value.value;
  if (auto plain = Unquoted(text, '"')) return *plain;
  if (auto plain = Character(value)) return *plain;
  // A pointer to characters: 0x7ffe… "text".
  const size_t space = text.find(' ');
  if (text.starts_with("0x") && space != std::string::npos) {
    if (auto plain = Unquoted(std::string_view(text).substr(space + 1), '"')) return *plain;
  }
  return text;
}

bool IsElement(const Value& child, size_t index) {
  return child.name == "[" + std::to_string(index) + "]";
}

// "size=3" -> 3
std::optional<uint64_t> SizeOf(const Value& value) {
  constexpr std::string_view kSize = "size=";
  const std::string_view text = value.value;
  if (!value.has_value || !text.starts_with(kSize) || text.size() > 24) return std::nullopt;
  if (!IsNumber(text.substr(kSize.size())) || text[kSize.size()] == '-') return std::nullopt;
  return std::stoull(std::string(text.substr(kSize.size())));
}

class Writer {
 public:
  explicit Writer(Line& out) : out_(out) {}

  void Write(const Value& value, int depth) {
    if (out_.full()) return;
    if (value.status == ValueStatus::kRedacted) return out_.Append(kRedactedText);
    if (value.status == ValueStatus::kUnavailable || value.status == ValueStatus::kUnreadable) {
      out_.Append(
          "<unavailable: " +
          (value.reason.empty() ? std::string(ValueStatusName(value.status)) : value.reason) + ">");
      return;
    }
    if (depth > kMaxDepth) return out_.Append(kEllipsis);
    if (const auto size = SizeOf(value)) return WriteContainer(value, *size, depth);
    const auto& children = value.children;
    if (value.has_value && value.value.starts_with("index=") && children.size() == 1) {
      return Write(children[0], depth + 1);  // a variant is what it holds
    }
    if (value.has_value) out_.Append(depth == 0 ? ScalarText(value) : value.value);
    if (!children.empty()) {
      if (value.has_value) out_.Append(" ");
      out_.Append("{");
      WriteChildren(value, depth);
      out_.Append("}");
    } else if (!value.has_value) {
      out_.Append(value.status == ValueStatus::kTruncated ? "{…}" : "{}");
    }
  }

 private:
  void WriteContainer(const Value& value, uint64_t size, int depth) {
    const auto& children = value.children;
    const bool is_list = children.empty() || IsElement(children[0], 0);
    out_.Append(is_list ? "[" : "{");
    if (children.empty() && size > 0) {
      out_.Append(kEllipsis);
    } else {
      WriteChildren(value, depth);
      if (children.size() < size) {
        out_.Append(", … " + std::to_string(size - children.size()) + " more");
      }
    }
    out_.Append(is_list ? "]" : "}");
  }

  void WriteChildren(const Value& value, int depth) {
    const auto& children = value.children;
    for (size_t i = 0; i < children.size() && !out_.full(); ++i) {
      const Value& child = children[i];
      if (i > 0) out_.Append(", ");
      if (!IsElement(child, i)) {
        // The entry of a map is named by its key in brackets.
        std::string_view name = child.name;
        const bool is_key = name.size() > 2 && name.front() == '[' && name.back() == ']';
        out_.Append(is_key ? name.substr(1, name.size() - 2) : name);
        out_.Append("=");
      }
      Write(child, depth + 1);
    }
  }

  Line& out_;
};

std::string ValueText(const Value& value) {
  Line line(kMaxLogValueBytes);
  Writer(line).Write(value, 0);
  return line.Take();
}

std::string Join(const LogTemplate& log, std::span<const std::string> values) {
  Line line(kMaxLogMessageBytes);
  for (size_t i = 0; i < log.literals.size() && !line.full(); ++i) {
    line.Append(log.literals[i]);
    if (i < values.size()) line.Append(values[i]);
  }
  return line.Take();
}

}  // namespace

std::string FormatLog(const LogTemplate& log, std::span<const Value> values,
                      const std::function<bool(std::string_view)>& is_secret) {
  const auto redacts = [&](std::string_view text, bool cut) {
    return RedactsValue(text, cut) || (is_secret && is_secret(text));
  };
  std::vector<std::string> texts;
  for (size_t i = 0; i < log.expressions.size(); ++i) {
    std::string text = i < values.size() ? ValueText(values[i]) : "<unavailable: NOT_CAPTURED>";
    // Before it is cut: half a secret is one, too.
    if (i < values.size() && (redacts(text, false) || redacts(values[i].value, false))) {
      WipeText(text);
      text = kRedactedText;
    }
    texts.push_back(std::move(text));
  }
  std::string message = Join(log, texts);
  if (!redacts(message, false)) return message;
  // Only together do they look like a secret: nothing of it may stay.
  WipeText(message);
  for (std::string& text : texts) {
    WipeText(text);
    text = kRedactedText;
  }
  message = Join(log, texts);
  return redacts(message, false) ? std::string(kRedactedText) : message;
}

}  // namespace stillframe::model
