#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace stillframe::cli {
namespace {

constexpr uint32_t kReplacement = 0xfffd;

// Takes one code point from the front; invalid input takes one byte and gives U+FFFD.
uint32_t TakePoint(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80                     ? 1
                        : first >= 0xc2 && first <= 0xdf ? 2
                        : first >= 0xe0 && first <= 0xef ? 3
                        : first >= 0xf0 && first <= 0xf4 ? 4
                                                         : 0;
  uint32_t point = length <= 1 ? first : first & (0x7f >> length);
  bool valid = length > 0 && text.size() >= length;
  for (size_t i = 1; valid && i < length; ++i) {
    valid = (byte(i) & 0xc0) == 0x80;
    point = point << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  valid = valid && !overlong && !(point >= 0xd800 && point < 0xe000) && point <= 0x10ffff;
  text.remove_prefix(valid ? length : 1);
  return valid ? point : kReplacement;
}

void Append(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
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

// C0, DEL, C1, and the marks that reorder or hide text (CVE-2021-42574).
bool Hostile(uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x2069) ||
         point == 0xfeff;
}

uint32_t Width(uint32_t point) {
  const bool wide = (point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) ||
                    (point >= 0xac00 && point <= 0xd7a3) || (point >= 0xf900 && point <= 0xfaff) ||
                    (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60) ||
                    (point >= 0x1f300 && point <= 0x1faff) || (point >= 0x20000 && point < 0x3fffe);
  return wide ? 2 : 1;
}

}  // namespace

Style DetectStyle(bool no_color) {
  Style style;
  const char* variable = getenv("NO_COLOR");
  const char* term = getenv("TERM");
  const bool forbidden = no_color || (variable != nullptr && *variable != '\0') ||
                         (term != nullptr && std::string_view(term) == "dumb");
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  style.color = terminal && !forbidden;
  winsize size{};
  if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
    style.width = size.ws_col;
  } else if (const char* columns = getenv("COLUMNS")) {
    style.width = static_cast<uint32_t>(std::clamp(atoi(columns), 40, 1000));
  }
  return style;
}

std::string Paint(const Style& style, Ink ink, std::string_view text) {
  if (!style.color || ink == Ink::kPlain || text.empty()) return std::string(text);
  constexpr const char* kCodes[] = {"", "1", "2", "36", "32", "33", "35", "31", "32;1"};
  return std::string("\x1b[") + kCodes[static_cast<int>(ink)] + "m" + std::string(text) + "\x1b[0m";
}

std::string Safe(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const uint32_t point = TakePoint(text);
    if (!Hostile(point)) {
      Append(out, point);
    } else {
      char escape[16];
      snprintf(escape, sizeof escape, point < 0x100 ? "\\x%02x" : "\\u%04x", point);
      out += escape;
    }
  }
  return out;
}

uint32_t Columns(std::string_view text) {
  uint32_t columns = 0;
  while (!text.empty()) columns += Width(TakePoint(text));
  return columns;
}

std::string Fit(std::string_view text, uint32_t columns) {
  if (Columns(text) <= columns) return std::string(text);
  std::string out;
  uint32_t used = 0;
  while (!text.empty()) {
    const uint32_t point = TakePoint(text);
    if (used + Width(point) + 1 > columns) break;
    used += Width(point);
    Append(out, point);
  }
  return out + "…";
}

std::string Table(const Style& style, const std::vector<std::vector<std::string>>& rows) {
  std::vector<uint32_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      line += rows[r][i];
      if (i + 1 < rows[r].size()) line.append(widths[i] - Columns(rows[r][i]) + 2, ' ');
    }
    line = Fit(line, std::max(style.width, 40u));
    out += Paint(style, r == 0 ? Ink::kDim : Ink::kPlain, line) + "\n";
  }
  return out;
}

}  // namespace stillframe::cli
