// Doubles as bits in general registers. Hit-path contract: no vector register is changed.
//
// Comparisons and conversions to integers are integer arithmetic on the bits; the rest is the
// architecture's float_ops.S, which saves and restores what it uses.
#ifndef STILLFRAME_AGENT_HIT_FLOAT_OPS_H_
#define STILLFRAME_AGENT_HIT_FLOAT_OPS_H_

#include <cstdint>

#include "agent/ring/hit_path.h"

extern "C" {
uint64_t stillframe_f64_add(uint64_t left, uint64_t right);
uint64_t stillframe_f64_sub(uint64_t left, uint64_t right);
uint64_t stillframe_f64_mul(uint64_t left, uint64_t right);
uint64_t stillframe_f64_div(uint64_t left, uint64_t right);
uint64_t stillframe_f32_to_f64(uint64_t bits);
uint64_t stillframe_f64_to_f32(uint64_t bits);
uint64_t stillframe_s64_to_f64(uint64_t value);
uint64_t stillframe_u64_to_f64(uint64_t value);
}

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

inline constexpr uint64_t kF64Sign = uint64_t{1} << 63;
inline constexpr uint64_t kF64Infinity = uint64_t{0x7ff} << 52;

SF_HIT_INLINE bool F64IsNan(uint64_t bits) { return (bits & ~kF64Sign) > kF64Infinity; }

// Maps the bits of a number to an integer of the same order; -0 and +0 become the same.
SF_HIT_INLINE int64_t F64Order(uint64_t bits) {
  const auto magnitude = static_cast<int64_t>(bits & ~kF64Sign);
  return (bits & kF64Sign) != 0 ? -magnitude : magnitude;
}

SF_HIT_INLINE bool F64Equal(uint64_t left, uint64_t right) {
  return !F64IsNan(left) && !F64IsNan(right) && F64Order(left) == F64Order(right);
}
SF_HIT_INLINE bool F64Less(uint64_t left, uint64_t right) {
  return !F64IsNan(left) && !F64IsNan(right) && F64Order(left) < F64Order(right);
}
SF_HIT_INLINE bool F64LessEqual(uint64_t left, uint64_t right) {
  return !F64IsNan(left) && !F64IsNan(right) && F64Order(left) <= F64Order(right);
}

// Integer part of |x| for 0 <= exponent < 64.
SF_HIT_INLINE uint64_t F64Magnitude(uint64_t bits, int exponent) {
  const uint64_t mantissa = (bits & ((uint64_t{1} << 52) - 1)) | (uint64_t{1} << 52);
  return exponent >= 52 ? mantissa << (exponent - 52) : mantissa >> (52 - exponent);
}
SF_HIT_INLINE int F64Exponent(uint64_t bits) {
  return static_cast<int>((bits >> 52) & 0x7ff) - 1023;
}

// Truncates toward zero; false when the result does not fit (NaN and infinities included).
SF_HIT_INLINE bool F64ToS64(uint64_t bits, uint64_t& out) {
  const int exponent = F64Exponent(bits);
  const bool negative = (bits & kF64Sign) != 0;
  out = 0;
  if (exponent < 0) return true;
  if (exponent >= 63) {  // only -2^63 itself fits
    out = kF64Sign;
    return exponent == 63 && negative && (bits << 12) == 0;
  }
  const uint64_t magnitude = F64Magnitude(bits, exponent);
  out = negative ? uint64_t{0} - magnitude : magnitude;
  return true;
}
SF_HIT_INLINE bool F64ToU64(uint64_t bits, uint64_t& out) {
  const int exponent = F64Exponent(bits);
  out = 0;
  if (exponent < 0) return true;
  if (exponent >= 64 || (bits & kF64Sign) != 0) return false;
  out = F64Magnitude(bits, exponent);
  return true;
}

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_FLOAT_OPS_H_
