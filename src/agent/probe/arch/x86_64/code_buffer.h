// Machine code under construction, with the address that it will have.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_CODE_BUFFER_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_CODE_BUFFER_H_

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "agent/probe/arch/x86_64/trampoline_cfi.h"

namespace stillframe::probe::arch {

class CodeBuffer {
 public:
  explicit CodeBuffer(uint64_t address) : address_(address) {}

  // Address of the next byte.
  uint64_t here() const { return address_ + code_.size(); }
  size_t size() const { return code_.size(); }
  // True while everything so far could reach its target.
  bool in_reach() const { return in_reach_; }
  std::vector<uint8_t> Take() && { return std::move(code_); }

  // Call frame information, kept from the first SetFrame on. What holds from the next byte on:
  const CfiRow& frame() const { return frame_; }
  void SetFrame(CfiRow frame) {
    frame.code_offset = static_cast<uint32_t>(size());
    frame_ = std::move(frame);
    if (!rows_.empty() && rows_.back().code_offset == frame_.code_offset) rows_.pop_back();
    rows_.push_back(frame_);
  }
  // The stack pointer has gone down by that many bytes.
  void StackGrew(int32_t bytes) {
    if (rows_.empty() || frame_.cfa_register != kDwarfRsp) return;
    CfiRow frame = frame_;
    frame.cfa_offset = static_cast<uint32_t>(static_cast<int32_t>(frame.cfa_offset) + bytes);
    SetFrame(std::move(frame));
  }
  // From here on the program goes on at `address` as it is now.
  void ResumesAt(uint64_t address) {
    if (rows_.empty() || frame_.resume_address == 0) return;  // 0: at the return address
    CfiRow frame = frame_;
    frame.resume_address = address;
    SetFrame(std::move(frame));
  }
  CfiRange Frames() const { return {address_, static_cast<uint32_t>(size()), rows_}; }

  void Put(std::initializer_list<uint8_t> bytes) { code_.insert(code_.end(), bytes); }
  void PutBytes(const uint8_t* bytes, size_t count) {
    code_.insert(code_.end(), bytes, bytes + count);
  }
  void Put32(uint32_t value) { PutValue(value); }
  void Put64(uint64_t value) { PutValue(value); }

  // The rel32 field that ends an instruction `tail_bytes` further on (immediates that follow it).
  void PutRelative(uint64_t target, uint8_t tail_bytes = 0) {
    const auto distance = static_cast<int64_t>(target - (here() + 4 + tail_bytes));
    if (distance != static_cast<int32_t>(distance)) in_reach_ = false;
    Put32(static_cast<uint32_t>(distance));
  }
  void JumpTo(uint64_t target) {
    Put({0xE9});
    PutRelative(target);
  }
  // A rel8 or rel32 to be filled in once the target (an offset into the buffer) is known.
  size_t PutShort() {
    Put({0});
    return code_.size() - 1;
  }
  void PatchShort(size_t field, size_t target) {
    const auto distance = static_cast<int64_t>(target) - static_cast<int64_t>(field) - 1;
    if (distance != static_cast<int8_t>(distance)) in_reach_ = false;
    code_[field] = static_cast<uint8_t>(distance);
  }
  size_t PutNear() {
    Put32(0);
    return code_.size() - 4;
  }
  void PatchNear(size_t field, size_t target) {
    const auto distance = static_cast<int32_t>(static_cast<int64_t>(target - field) - 4);
    std::memcpy(code_.data() + field, &distance, sizeof distance);
  }

 private:
  template <typename T>
  void PutValue(T value) {
    uint8_t bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    PutBytes(bytes, sizeof bytes);
  }

  uint64_t address_;
  std::vector<uint8_t> code_;
  CfiRow frame_;
  std::vector<CfiRow> rows_;
  bool in_reach_ = true;
};

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_CODE_BUFFER_H_
