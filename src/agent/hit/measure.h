// DISTRIBUTION tracepoints: a number at each hit, summed up where it happens. Hit-path contract as
// in hit.h.
#ifndef STILLFRAME_AGENT_HIT_MEASURE_H_
#define STILLFRAME_AGENT_HIT_MEASURE_H_

#include <atomic>
#include <cstdint>

#include "plan/program.h"

namespace stillframe::hit {

// How the bits of a value are a number.
enum class NumberFormat : uint8_t { kSigned, kUnsigned, kFloat32, kFloat64 };

// What is measured at one site.
struct MeasureSite {
  Program program;        // yields the value's bits, or its address
  uint8_t in_memory = 0;  // 1: its address
  uint8_t size_bytes = 8;
  NumberFormat format = NumberFormat::kSigned;
};

// An exponential histogram as OpenTelemetry defines it (metrics data model, scale 2: a quarter of a
// power of two wide, upper bounds included): bucket i of a sign counts magnitudes in
// (2^((i + kFirstIndex) / 4), 2^((i + kFirstIndex + 1) / 4)]. What lies beyond the first or last
// bucket is counted in it; minimum and maximum tell.
inline constexpr int kScale = 2;
inline constexpr int kFirstIndex = -32 << kScale;
inline constexpr int kBuckets = 96 << kScale;

// One thread's share. Doubles are held as bits. Partners: the agent thread reads; the shared shard
// is written by several threads.
struct DistributionShard {
  std::atomic<uint64_t> count, sum, min, max, zeros;
  std::atomic<uint64_t> buckets[2][kBuckets];  // positive, negative
};

struct DistributionSums {
  uint64_t count = 0, zeros = 0;
  double sum = 0, min = 0, max = 0;  // 0 while count is 0
  uint64_t buckets[2][kBuckets] = {};
};

// False when the number is none (NaN): nothing is recorded.
bool Record(DistributionShard& shard, uint64_t f64_bits);
// The double of `bits`.
uint64_t ToFloat64(uint64_t bits, uint8_t size_bytes, NumberFormat format);

// Bucket of a positive, finite number.
int BucketOf(uint64_t f64_bits);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_MEASURE_H_
