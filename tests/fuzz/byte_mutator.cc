#include "tests/fuzz/byte_mutator.h"

#include "tests/fuzz/fuzz.h"

namespace stillframe::fuzz {
namespace {

// xorshift64*: the same sequence everywhere, unlike the standard library's distributions.
uint64_t g_random = 1;

}  // namespace

void SeedRandom(uint64_t seed) { g_random = seed == 0 ? 1 : seed; }

uint64_t Random(uint64_t below) {
  g_random ^= g_random >> 12;
  g_random ^= g_random << 25;
  g_random ^= g_random >> 27;
  return (g_random * 0x2545f4914f6cdd1dULL >> 16) % below;
}

}  // namespace stillframe::fuzz

size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  using stillframe::fuzz::Random;
  static constexpr uint8_t kTelling[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x40, 8};
  if (size == 0) {
    if (max_size == 0) return 0;
    data[0] = static_cast<uint8_t>(Random(256));
    return 1;
  }
  switch (Random(8)) {
    case 0:
      return 1 + Random(size);  // cut off
    case 1: {                   // a piece repeated elsewhere
      const size_t count = 1 + Random(std::min<size_t>(size, 32));
      const size_t from = Random(size - count + 1), to = Random(size - count + 1);
      std::memmove(data + to, data + from, count);
      return size;
    }
    case 2:
    case 3:
      data[Random(size)] = kTelling[Random(sizeof kTelling)];
      return size;
    case 4:
      data[Random(size)] = static_cast<uint8_t>(Random(256));
      return size;
    default:
      data[Random(size)] ^= static_cast<uint8_t>(1u << Random(8));
      return size;
  }
}
