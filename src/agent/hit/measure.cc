// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// general registers only: doubles are bits.
#include "agent/hit/measure.h"

#include "agent/hit/float_ops.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr uint64_t kMantissa = (uint64_t{1} << 52) - 1;
// Mantissas of 2^(1/4), 2^(1/2), 2^(3/4), rounded down.
constexpr uint64_t kQuarters[] = {0x306fe0a31b715, 0x6a09e667f3bcc, 0xae89f995ad3ad};
// A thread is in the way of at most as many others; beyond that one value of the sum is lost rather
// than a thread held up.
constexpr int kMaxTries = 1000;

// value = change(value), until nobody came between.
template <typename Change>
void Update(std::atomic<uint64_t>& value, Change change) {
  uint64_t old = value.load(kRelaxed);
  for (int i = 0; i < kMaxTries; ++i) {
    if (value.compare_exchange_weak(old, change(old), kRelaxed)) return;
  }
}

}  // namespace

int BucketOf(uint64_t f64_bits) {
  const int exponent = F64Exponent(f64_bits);
  const uint64_t mantissa = f64_bits & kMantissa;
  int index = exponent * (1 << kScale);
  if (mantissa == 0) {
    --index;  // upper bounds belong to the bucket below
  } else {
    for (const uint64_t quarter : kQuarters) index += mantissa > quarter ? 1 : 0;
  }
  index -= kFirstIndex;
  return index < 0 ? 0 : index >= kBuckets ? kBuckets - 1 : index;
}

bool Record(DistributionShard& shard, uint64_t f64_bits) {
  if (F64IsNan(f64_bits)) return false;
  const bool negative = (f64_bits & kF64Sign) != 0;
  const uint64_t magnitude = f64_bits & ~kF64Sign;
  if (magnitude == 0) {
    shard.zeros.fetch_add(1, kRelaxed);
  } else {
    shard.buckets[negative ? 1 : 0][BucketOf(magnitude)].fetch_add(1, kRelaxed);
  }
  Update(shard.sum, [f64_bits](uint64_t old) { return stillframe_f64_add(old, f64_bits); });
  // The first value is both; those of other threads that come at the same time find it there.
  uint64_t none = 0;
  if (shard.count.load(kRelaxed) == 0 && shard.min.compare_exchange_strong(none, f64_bits)) {
    none = 0;
    shard.max.compare_exchange_strong(none, f64_bits);
  }
  Update(shard.min, [f64_bits](uint64_t old) { return F64Less(f64_bits, old) ? f64_bits : old; });
  Update(shard.max, [f64_bits](uint64_t old) { return F64Less(old, f64_bits) ? f64_bits : old; });
  shard.count.fetch_add(1, kRelaxed);
  return true;
}

uint64_t ToFloat64(uint64_t bits, uint8_t size_bytes, NumberFormat format) {
  if (format == NumberFormat::kFloat64) return bits;
  if (format == NumberFormat::kFloat32) return stillframe_f32_to_f64(bits);
  if (size_bytes < 8) {
    const int unused = 64 - 8 * size_bytes;
    bits = format == NumberFormat::kSigned
               ? static_cast<uint64_t>(static_cast<int64_t>(bits << unused) >> unused)
               : bits << unused >> unused;
  }
  return format == NumberFormat::kSigned ? stillframe_s64_to_f64(bits)
                                         : stillframe_u64_to_f64(bits);
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
