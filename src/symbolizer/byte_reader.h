// A bounds-checked little-endian cursor over hostile bytes. After the first read past the end the
// reader is failed for good: every later read gives zero and moves nothing, so that a parser may
// check ok() once per structure instead of once per field.
#ifndef STILLFRAME_SYMBOLIZER_BYTE_READER_H_
#define STILLFRAME_SYMBOLIZER_BYTE_READER_H_

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace stillframe {

using ByteSpan = std::span<const uint8_t>;

class ByteReader {
 public:
  explicit ByteReader(ByteSpan data, uint64_t position = 0) : data_(data), position_(position) {
    if (position > data.size()) Fail();
  }

  bool ok() const { return ok_; }
  uint64_t position() const { return position_; }
  uint64_t remaining() const { return data_.size() - position_; }
  bool AtEnd() const { return !ok_ || position_ == data_.size(); }

  uint8_t U8() { return Fixed<uint8_t>(); }
  int8_t S8() { return static_cast<int8_t>(U8()); }
  uint16_t U16() { return Fixed<uint16_t>(); }
  uint32_t U32() { return Fixed<uint32_t>(); }
  uint64_t U64() { return Fixed<uint64_t>(); }

  // A number of `size` = 1, 2, 4 or 8 bytes, zero-extended; anything else fails.
  uint64_t Unsigned(uint64_t size) {
    switch (size) {
      case 1:
        return U8();
      case 2:
        return U16();
      case 4:
        return U32();
      case 8:
        return U64();
      default:
        Fail();
        return 0;
    }
  }

  // DWARF 5 §7.6; bits past the 64th are dropped, as binutils and libdw do.
  uint64_t Uleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; ok_; shift += 7) {
      const uint8_t byte = U8();
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return ok_ ? value : 0;
    }
    return 0;
  }

  int64_t Sleb() {
    uint64_t value = 0;
    for (unsigned shift = 0; ok_;) {
      const uint8_t byte = U8();
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      shift += 7;
      if ((byte & 0x80) != 0) continue;
      if (shift < 64 && (byte & 0x40) != 0) value |= ~uint64_t{0} << shift;
      return ok_ ? static_cast<int64_t>(value) : 0;
    }
    return 0;
  }

  // NUL-terminated; the view excludes the NUL and points into the data.
  std::string_view CString() {
    if (!ok_ || remaining() == 0) return Fail(), std::string_view();
    const uint8_t* start = data_.data() + position_;
    const void* end = memchr(start, 0, remaining());
    if (end == nullptr) return Fail(), std::string_view();
    const size_t length = static_cast<const uint8_t*>(end) - start;
    position_ += length + 1;
    return {reinterpret_cast<const char*>(start), length};
  }

  ByteSpan Bytes(uint64_t count) {
    if (!ok_ || count > remaining()) return Fail(), ByteSpan();
    const ByteSpan bytes = data_.subspan(position_, count);
    position_ += count;
    return bytes;
  }

  void Skip(uint64_t count) { Bytes(count); }

  // DWARF 5 §7.4: the initial length; sets `offset_size` to 4 or 8. Reserved values fail.
  uint64_t InitialLength(uint8_t* offset_size) {
    const uint64_t first = U32();
    *offset_size = first == 0xffffffff ? 8 : 4;
    if (first == 0xffffffff) return U64();
    if (first >= 0xfffffff0) Fail();
    return ok_ ? first : 0;
  }

  void Fail() { ok_ = false; }

 private:
  template <typename T>
  T Fixed() {
    if (!ok_ || remaining() < sizeof(T)) {
      Fail();
      return 0;
    }
    T value;
    memcpy(&value, data_.data() + position_, sizeof(T));  // the host is little-endian, as the input
    position_ += sizeof(T);
    return value;
  }

  ByteSpan data_;
  uint64_t position_;
  bool ok_ = true;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_BYTE_READER_H_
