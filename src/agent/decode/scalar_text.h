// Scalars and strings as text, the way GDB prints them (CONTRACT, "Values print as GDB prints").
#ifndef STILLFRAME_AGENT_DECODE_SCALAR_TEXT_H_
#define STILLFRAME_AGENT_DECODE_SCALAR_TEXT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace stillframe::decode {

__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;

// Little-endian bytes (at most 16) as a number.
Uint128 ReadUnsigned(std::span<const uint8_t> bytes);
Int128 ReadSigned(std::span<const uint8_t> bytes);

std::string DecimalText(Int128 value);
std::string UnsignedText(Uint128 value);
std::string HexText(uint64_t value);  // "0x12a4"

// 4, 8 (IEEE) or 10 to 16 (x87) bytes; the shortest text that reads back the same. "" = no such
// format.
std::string FloatText(std::span<const uint8_t> bytes);
// IEEE 754 binary16, the upper half of a binary32, and binary128.
std::string HalfText(uint16_t bits);
std::string BrainFloatText(uint16_t bits);
std::string QuadText(Uint128 bits);

// `65 'A'`, `10 '\n'`, `200 '\310'`; `value` is the number shown, `prefix` "", "u8", "u", "U", "L".
std::string CharText(int64_t value, uint32_t code_unit, std::string_view prefix);

// A C++ literal with quotes and escapes; valid UTF-8 stays, other bytes become octal escapes.
std::string StringText(std::string_view bytes);
// UTF-16 (2) or UTF-32 (4) code units as a literal with the given prefix, text in UTF-8.
std::string WideStringText(std::span<const uint8_t> bytes, uint32_t unit_bytes,
                           std::string_view prefix);

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_SCALAR_TEXT_H_
