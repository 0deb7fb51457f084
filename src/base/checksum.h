// CRC-32C (Castagnoli; RFC 3720 appendix B.4), for files of our own: finds what was torn or
// damaged, not what was forged.
#ifndef STILLFRAME_BASE_CHECKSUM_H_
#define STILLFRAME_BASE_CHECKSUM_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace stillframe {

namespace checksum_internal {
constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0x82F63B78u : 0);
    table[i] = value;
  }
  return table;
}
inline constexpr std::array<uint32_t, 256> kTable = MakeTable();
}  // namespace checksum_internal

inline uint32_t Crc32c(const void* bytes, size_t size_bytes, uint32_t before = 0) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  uint32_t crc = ~before;
  for (size_t i = 0; i < size_bytes; ++i) {
    crc = crc >> 8 ^ checksum_internal::kTable[(crc ^ at[i]) & 0xff];
  }
  return ~crc;
}

}  // namespace stillframe

#endif  // STILLFRAME_BASE_CHECKSUM_H_
