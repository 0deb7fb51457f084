// What a program says of its own variables, for comparing every snapshot with it.
//
// `TELL(a, b.c)` prints `@told {"sequence": 1, "line": 12, "values": {"a": ["d", "5"], …}}`. Scalars go
// by value, so that telling does not force them into memory; TELL_TEXTS is for strings. With an agent in the process it waits
// until what was captured so far is written: the ring has 32 slots, and none may be lost.
#ifndef STILLFRAME_TESTS_TARGETS_E2E_TRUTH_H
#define STILLFRAME_TESTS_TARGETS_E2E_TRUTH_H

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

extern "C" int stillframe_flush(uint32_t timeout_ms) __attribute__((weak));

#define TELL(...) ::truth::Tell(__LINE__, #__VA_ARGS__, __VA_ARGS__)
#define TELL_TEXTS(...) ::truth::TellTexts(__LINE__, #__VA_ARGS__, __VA_ARGS__)

namespace truth {

inline int sequence = 0;

/// Nothing but a place for a tracepoint below the function that tells.
__attribute__((noinline)) inline void Told(int number) {
  asm volatile("" : : "r"(number) : "memory");  // mark-told
}

inline void Print(bool value) { std::printf("[\"b\", \"%s\"]", value ? "true" : "false"); }
inline void Print(double value) { std::printf("[\"g\", \"%a\"]", value); }
inline void Print(float value) { std::printf("[\"f\", \"%a\"]", static_cast<double>(value)); }

inline void Print(std::string_view text) {
  std::printf("[\"s\", \"%.*s\"]", static_cast<int>(text.size()), text.data());
}
inline void Print(const std::string& text) { Print(std::string_view(text)); }
inline void Print(const char* text) { Print(std::string_view(text)); }

template <typename T>
requires std::is_integral_v<T>
void Print(T value) {
  const char* kind = sizeof(T) == 1 ? "c" : "d";
  if constexpr (std::is_signed_v<T>) {
    std::printf("[\"%s\", \"%lld\"]", kind, static_cast<long long>(value));
  } else {
    std::printf("[\"%s\", \"%llu\"]", kind, static_cast<unsigned long long>(value));
  }
}

template <typename... Values>
void PrintAll(int line, const char* names, const Values&... values) {
  std::printf("@told {\"sequence\": %d, \"line\": %d, \"values\": {", ++sequence, line);
  auto one = [&names, first = true](const auto& value) mutable {
    const std::size_t length = std::strcspn(names, ",");
    std::printf("%s\"%.*s\": ", first ? "" : ", ", static_cast<int>(length), names);
    first = false;
    Print(value);
    names += length;
    names += std::strspn(names, ", ");
  };
  (one(values), ...);
  std::printf("}}\n");
}

template <typename... Values>
__attribute__((noinline)) void Tell(int line, const char* names, Values... values) {
  PrintAll(line, names, values...);
  Told(sequence);
  if (stillframe_flush != nullptr) stillframe_flush(60'000);
}

template <typename... Texts>
__attribute__((noinline)) void TellTexts(int line, const char* names, const Texts&... texts) {
  PrintAll(line, names, texts...);
  Told(sequence);
  if (stillframe_flush != nullptr) stillframe_flush(60'000);
}

}  // namespace truth

#endif  // STILLFRAME_TESTS_TARGETS_E2E_TRUTH_H
