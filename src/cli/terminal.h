// Text for a terminal: colours only where wanted, and nothing hostile ever reaches it raw.
#ifndef STILLFRAME_CLI_TERMINAL_H_
#define STILLFRAME_CLI_TERMINAL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stillframe::cli {

struct Style {
  bool color = false;
  uint32_t width = 100;  // columns
};

// Style of standard output: colour when it is a terminal, NO_COLOR is unset or empty and TERM is
// not "dumb"; the terminal's width, COLUMNS, or 100.
Style DetectStyle(bool no_color);

enum class Ink { kPlain, kBold, kDim, kValue, kString, kName, kWarn, kError, kGood };
std::string Paint(const Style& style, Ink ink, std::string_view text);

// Control characters (C0, C1, DEL, and bidirectional overrides) become visible escapes; invalid
// UTF-8 becomes U+FFFD. The result is safe to print.
std::string Safe(std::string_view text);
// Columns that the text takes, without colours: code points, East Asian wide ones count two.
uint32_t Columns(std::string_view text);
// At most `columns` wide, with "…" where it is cut.
std::string Fit(std::string_view text, uint32_t columns);

// Left-aligned columns, two spaces apart; the first row is the heading.
std::string Table(const Style& style, const std::vector<std::vector<std::string>>& rows);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_TERMINAL_H_
