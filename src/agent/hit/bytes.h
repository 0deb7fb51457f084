// Bytes without memcpy, memset and memcmp: the C library's must not be called from a hit (probes
// may stand in them, lazy binding may run), and ours must not have those names, or a program that
// links the agent statically would get them.
#ifndef STILLFRAME_AGENT_HIT_BYTES_H_
#define STILLFRAME_AGENT_HIT_BYTES_H_

#include <cstdint>

#include "agent/hit/arch.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

// Unaligned and aliasing anything, as memcpy would.
struct [[gnu::packed, gnu::may_alias]] Unaligned64 {
  uint64_t value;
};
struct [[gnu::packed, gnu::may_alias]] Unaligned32 {
  uint32_t value;
};

SF_HIT_INLINE uint64_t Load64(const void* from) {
  return static_cast<const Unaligned64*>(from)->value;
}
SF_HIT_INLINE uint32_t Load32(const void* from) {
  return static_cast<const Unaligned32*>(from)->value;
}

SF_HIT_INLINE void CopyBytes(void* out, const void* from, uint64_t size_bytes) {
  stillframe_copy(out, from, size_bytes);
}

// For 8-byte multiples known to be small.
SF_HIT_INLINE void CopyWords(void* out, const void* from, uint32_t words) {
  for (uint32_t i = 0; i < words; ++i) {
    static_cast<Unaligned64*>(out)[i].value = static_cast<const Unaligned64*>(from)[i].value;
  }
}

SF_HIT_INLINE void ClearBytes(void* out, uint64_t size_bytes) {
  auto* bytes = static_cast<volatile uint8_t*>(out);  // volatile: not turned into memset
  for (uint64_t i = 0; i < size_bytes; ++i) bytes[i] = 0;
}

SF_HIT_INLINE void ClearWords(void* out, uint32_t words) {
  auto* cells = static_cast<volatile uint64_t*>(out);
  for (uint32_t i = 0; i < words; ++i) cells[i] = 0;
}

// The low size_bytes (0..8) at `from`, zero-extended.
SF_HIT_INLINE uint64_t LoadSmall(const uint8_t* from, uint32_t size_bytes) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < size_bytes && i < 8; ++i) value |= uint64_t{from[i]} << (8 * i);
  return value;
}

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_BYTES_H_
