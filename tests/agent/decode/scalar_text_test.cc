#include "agent/decode/scalar_text.h"

#include <gtest/gtest.h>

#include <string>

namespace stillframe::decode {
namespace {

std::string Wide(std::u32string_view text) {
  return WideStringText({reinterpret_cast<const uint8_t*>(text.data()), text.size() * 4}, 4, "U");
}

TEST(ScalarText, PrintableCharactersStay) {
  EXPECT_EQ(StringText("\u00e9\u20ac\U0001F600"), "\"\u00e9\u20ac\U0001F600\"");
  EXPECT_EQ(Wide(U"\u00e9\u20ac\U0001F600"), "U\"\u00e9\u20ac\U0001F600\"");
  EXPECT_EQ(CharText(0xe9, 0xe9, "u"), "233 u'\u00e9'");
}

// Some readers take them for the end of a line, terminals for commands.
TEST(ScalarText, ControlsAndLineSeparatorsAreEscaped) {
  EXPECT_EQ(StringText("a\u0085b\u2028c\u2029"), R"("a\302\205b\342\200\250c\342\200\251")");
  EXPECT_EQ(Wide(U"\u0085\u2028"), R"(U"\205\x2028")");
  EXPECT_EQ(CharText(0x9b, 0x9b, "u"), R"(155 u'\233')");
  EXPECT_EQ(CharText(0xffff, 0xffff, "u"), R"(65535 u'\xffff')");
  EXPECT_EQ(CharText(0x110000, 0x110000, "U"), R"(1114112 U'\x110000')");
  EXPECT_EQ(CharText(0xd800, 0xd800, "u"), R"(55296 u'\xd800')");
}

TEST(ScalarText, BytesThatAreNoTextAreEscaped) {
  EXPECT_EQ(StringText("\xc3"), R"("\303")");
  EXPECT_EQ(StringText("\xed\xa0\x80"), R"("\355\240\200")");
  EXPECT_EQ(StringText(std::string_view("a\0b", 3)), R"("a\000b")");
}

}  // namespace
}  // namespace stillframe::decode
