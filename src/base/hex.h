// Bytes as text.
#ifndef STILLFRAME_BASE_HEX_H_
#define STILLFRAME_BASE_HEX_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stillframe {

// Two lower-case digits a byte: "0a1b".
inline std::string ToHex(std::span<const uint8_t> bytes, std::string_view between = "") {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    if (!text.empty()) text += between;
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace stillframe

#endif  // STILLFRAME_BASE_HEX_H_
