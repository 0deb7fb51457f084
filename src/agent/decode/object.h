// Where a value's bytes are: in the record's memory, or in a buffer put together from registers.
#ifndef STILLFRAME_AGENT_DECODE_OBJECT_H_
#define STILLFRAME_AGENT_DECODE_OBJECT_H_

#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "agent/decode/record_view.h"
#include "base/status.h"

namespace stillframe::decode {

class Object {
 public:
  static Object InMemory(const RecordView& record, uint64_t address) {
    Object object;
    object.record_ = &record;
    object.address_ = address;
    return object;
  }
  // `reasons[i]` is kOk, or why bytes[i] is not known.
  static Object FromBytes(std::vector<uint8_t> bytes, std::vector<Code> reasons) {
    Object object;
    object.bytes_ = std::move(bytes);
    object.reasons_ = std::move(reasons);
    return object;
  }

  bool in_memory() const { return record_ != nullptr; }
  uint64_t address() const { return address_ + offset_; }

  // The part of it that begins `offset` bytes further.
  Object At(uint64_t offset) const {
    Object part = *this;
    part.offset_ += offset;
    return part;
  }

  // kOk, or why the bytes are not known.
  Code Read(uint64_t offset, void* out, uint64_t size_bytes) const {
    if (record_ != nullptr) return record_->Read(address() + offset, out, size_bytes);
    const uint64_t first = offset_ + offset;
    if (first > bytes_.size() || size_bytes > bytes_.size() - first) return Code::kOptimizedOut;
    for (uint64_t i = 0; i < size_bytes; ++i) {
      if (reasons_[first + i] != Code::kOk) return reasons_[first + i];
    }
    if (size_bytes > 0) std::memcpy(out, bytes_.data() + first, size_bytes);
    return Code::kOk;
  }

 private:
  const RecordView* record_ = nullptr;
  uint64_t address_ = 0;
  uint64_t offset_ = 0;
  std::vector<uint8_t> bytes_;
  std::vector<Code> reasons_;
};

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_OBJECT_H_
