// A compact form of plain data for files of our own: numbers as varints (7 bits a byte, low first),
// texts and lists behind their counts. One function that names a type's fields serves both ways:
//
//   template <typename A> void Fields(A& a, Thing& thing) { a(thing.id, thing.name); }
//
// The reader is for hostile input: it never reads past the end, and a count is believed only as far
// as there are bytes for it.
#ifndef STILLFRAME_BASE_ARCHIVE_H_
#define STILLFRAME_BASE_ARCHIVE_H_

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace stillframe {

class ArchiveWriter {
 public:
  explicit ArchiveWriter(std::string& out) : out_(out) {}

  template <typename... T>
  void operator()(const T&... values) {
    (One(values), ...);
  }

 private:
  void Number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  void One(double value) { Number(std::bit_cast<uint64_t>(value)); }
  void One(std::string_view text) {
    Number(text.size());
    out_.append(text);
  }
  void One(const std::string& text) { One(std::string_view(text)); }
  template <typename T>
  void One(const std::vector<T>& values) {
    Number(values.size());
    for (const T& value : values) One(value);
  }
  template <typename A, typename B>
  void One(const std::pair<A, B>& pair) {
    One(pair.first);
    One(pair.second);
  }
  template <typename T>
  void One(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      Number(static_cast<uint64_t>(value));
    } else if constexpr (std::signed_integral<T>) {  // zigzag: small either way is short
      const auto wide = static_cast<int64_t>(value);
      Number(static_cast<uint64_t>(wide) << 1 ^ static_cast<uint64_t>(wide >> 63));
    } else if constexpr (std::unsigned_integral<T>) {
      Number(value);
    } else {
      Fields(*this, const_cast<T&>(value));  // NOLINT: fields are only read here
    }
  }

  std::string& out_;
};

class ArchiveReader {
 public:
  explicit ArchiveReader(std::string_view bytes) : left_(bytes) {}

  // From the first error on everything reads as nothing.
  bool ok() const { return ok_; }
  bool empty() const { return left_.empty(); }
  template <typename... T>
  void operator()(T&... values) {
    (One(values), ...);
  }

 private:
  void Fail() {
    ok_ = false;
    left_ = {};
  }
  uint64_t Number() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64 && !left_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(left_.front());
      left_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }
  // Every element takes a byte at least.
  size_t Count() {
    const uint64_t count = Number();
    if (count > left_.size()) Fail();
    return ok_ ? static_cast<size_t>(count) : 0;
  }
  void One(double& value) { value = std::bit_cast<double>(Number()); }
  void One(std::string& text) {
    const size_t size = Count();
    text.assign(left_.substr(0, size));
    left_.remove_prefix(size);
  }
  template <typename T>
  void One(std::vector<T>& values) {
    // Grown as it is filled: an element may be far larger than its bytes here.
    values.clear();
    for (size_t left = Count(); left != 0 && ok_; --left) One(values.emplace_back());
  }
  template <typename A, typename B>
  void One(std::pair<A, B>& pair) {
    One(pair.first);
    One(pair.second);
  }
  template <typename T>
  void One(T& value) {
    if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> number{};
      One(number);
      value = static_cast<T>(number);
    } else if constexpr (std::signed_integral<T>) {
      const uint64_t zigzag = Number();
      const auto wide = static_cast<int64_t>(zigzag >> 1 ^ (~(zigzag & 1) + 1));
      if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) Fail();
      value = static_cast<T>(wide);
    } else if constexpr (std::unsigned_integral<T>) {
      const uint64_t wide = Number();
      if (wide > std::numeric_limits<T>::max()) Fail();
      value = static_cast<T>(wide);
    } else {
      // Things lie in one another; a hostile file must not use the stack up.
      if (++depth_ > kMaxDepth) Fail();
      if (ok_) Fields(*this, value);
      --depth_;
    }
  }

  static constexpr uint32_t kMaxDepth = 400;
  std::string_view left_;
  uint32_t depth_ = 0;
  bool ok_ = true;
};

}  // namespace stillframe

#endif  // STILLFRAME_BASE_ARCHIVE_H_
