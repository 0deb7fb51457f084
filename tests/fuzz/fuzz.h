// What the fuzz targets share. Each target is one file NAME_fuzz.cc with LLVMFuzzerTestOneInput,
// which libFuzzer, AFL++ and the replay (replay.cc) call.
#ifndef STILLFRAME_TESTS_FUZZ_FUZZ_H_
#define STILLFRAME_TESTS_FUZZ_FUZZ_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

extern "C" {
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// A target may bring one; whoever drives it uses it.
size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed)
    __attribute__((weak));
// The driver's: changes a few bytes anywhere.
size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
}

namespace stillframe::fuzz {

// A promise of the product that the input broke. Not an assert: these are release builds too.
#define SF_FUZZ_CHECK(condition)                                                      \
  do {                                                                                \
    if (!(condition)) ::stillframe::fuzz::Broken(#condition, __FILE__, __LINE__, ""); \
  } while (false)

[[noreturn]] inline void Broken(const char* what, const char* file, int line,
                                const std::string& more) {
  std::fprintf(stderr, "%s:%d: broken: %s %s\n", file, line, what, more.c_str());
  std::abort();
}

// Takes an input apart. What is asked for past its end is zero, so that every input means
// something.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}

  template <typename T>
  T Take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    const size_t count = std::min(sizeof value, rest_.size());
    std::memcpy(static_cast<void*>(&value), rest_.data(), count);
    rest_ = rest_.subspan(count);
    return value;
  }
  uint8_t Byte() { return Take<uint8_t>(); }
  std::span<const uint8_t> Bytes(size_t count) {
    const auto taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::string Text(size_t count) {
    const auto taken = Bytes(count);
    return {taken.begin(), taken.end()};
  }
  std::span<const uint8_t> rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  std::span<const uint8_t> rest_;
};

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_FUZZ_H_
