// Reads of memory, and strings in it.
#include <algorithm>
#include <cstring>

#include "agent/probe/arch/x86_64/program_compiler_impl.h"

namespace stillframe::probe::arch {

// base + offset lies in [site RSP - red zone, site RSP + reach), else bail.
void Compiler::CheckFrame(Register base, int64_t offset) {
  code_.LoadAddress(kRax, base, static_cast<int32_t>(offset) + kRedZone - saved_.rsp_at_site);
  code_.Operate(kSub, kRax, kRsp);
  code_.OperateImmediate(kCmp, kRax, kFrameReach);
  code_.JumpIf(kAboveEqual, labels_.bail);
}

void Compiler::CheckRange(Register address) {
  needs_.guarded_reads = true;
  EmitRangeCheck(*input_.layout, address, code_, labels_);
}

Status Compiler::LoadMemory(uint8_t size_bytes, bool is_signed) {
  if (size_bytes != 1 && size_bytes != 2 && size_bytes != 4 && size_bytes != 8) {
    return Unsupported("a read of that size");
  }
  const size_t top = depth() - 1;
  const Cell cell = cells_[top];
  const Register to = CellRegister(top);
  const bool frame = cell.kind == Cell::kBase && cell.is_frame;
  if (frame && cell.base == kRsp && cell.value >= -kRedZone && cell.value < kFrameReach) {
    Fixup();
    code_.Load(to, kRsp, FrameOffset(cell.value), size_bytes, is_signed);
  } else if (frame && cell.base != kRsp) {
    CheckFrame(cell.base, cell.value);
    Fixup();
    code_.Load(to, cell.base, static_cast<int32_t>(cell.value), size_bytes, is_signed);
  } else {
    Materialize(top);
    CheckRange(to);
    Fixup();
    code_.Load(to, to, 0, size_bytes, is_signed);
  }
  cells_[top] = Cell{};
  return Status();
}

// Length first: most strings differ in it and are not read at all.
Status Compiler::CompareString(const Insn& insn) {
  constexpr uint64_t kLongest = 32;
  const hit::StringRef& literal = input_.strings[insn.imm];
  if (literal.size_bytes > kLongest) return Unsupported("a comparison with a text this long");
  const auto size = static_cast<int32_t>(literal.size_bytes);
  const Register address = Materialize(depth() - 2);
  const Register length = Materialize(depth() - 1);
  Label differs, done;
  code_.OperateImmediate(kCmp, length, size);
  code_.JumpIf(kNotEqual, differs);
  if (size != 0) CheckRange(address);
  if (size > 8) {
    code_.LoadAddress(length, address, size - 8);
    CheckRange(length);
  }
  for (int32_t at = 0; at < size;) {
    const int32_t left = size - at;
    const uint8_t piece = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
    uint64_t expected = 0;
    std::memcpy(&expected, literal.data + at, piece);
    Fixup();
    code_.Load(kRax, address, at, piece);
    code_.MoveImmediate(length, expected);
    code_.Operate(kCmp, kRax, length);
    code_.JumpIf(kNotEqual, differs);
    at += piece;
  }
  code_.MoveImmediate(address, 1);
  code_.Jump(done);
  code_.Bind(differs);
  code_.MoveImmediate(address, 0);
  code_.Bind(done);
  cells_.pop_back();
  cells_.back() = Cell{};
  return Status();
}

void EmitRangeCheck(const hit::CodeLayout& layout, Register address, Assembler& code,
                    ProgramLabels& labels) {
  const auto thread = static_cast<int32_t>(layout.thread);
  code.Move(kRax, address);
  code.ArithmeticThread(kSub, kRax, thread + static_cast<int32_t>(layout.range_start));
  code.ArithmeticThread(kCmp, kRax, thread + static_cast<int32_t>(layout.range_limit));
  SecondTry& second = labels.second_tries.emplace_back();
  second.address = address;
  code.JumpIf(kAbove, second.at);
  code.Bind(second.back);
}

void EmitSecondTries(const hit::CodeLayout& layout, Assembler& code, ProgramLabels& labels) {
  const auto thread = static_cast<int32_t>(layout.thread);
  for (SecondTry& second : labels.second_tries) {
    code.Bind(second.at);
    code.Move(kRax, second.address);
    code.ArithmeticThread(kSub, kRax, thread + static_cast<int32_t>(layout.range_start) + 8);
    code.ArithmeticThread(kCmp, kRax, thread + static_cast<int32_t>(layout.range_limit) + 8);
    code.JumpIf(kAbove, labels.bail);
    code.Jump(second.back);
  }
}

}  // namespace stillframe::probe::arch
