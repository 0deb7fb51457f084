#include "agent/probe/arch/x86_64/light_code.h"

#include <algorithm>

#include "agent/ring/stream.h"

namespace stillframe::probe::arch {
namespace {

// Registers of Emit besides RAX and RCX: RDX and RSI are scratch, RDI is the record, R8 its size
// and then where the next text goes.
constexpr uint32_t kCellsOfRecord = 4;
// Bounds what a hit takes of the application's stack.
constexpr uint32_t kMaxSlots = 24;
static_assert(kCellRegisters[0] == kRdx && kCellRegisters[1] == kRsi && kCellRegisters[2] == kRdi &&
              kCellRegisters[3] == kR8);

}  // namespace

// The field's program with something done to its result: `add` added, then load_bytes read there
// (0: none).
Status LightCode::AddValue(const LightField& field, int64_t add, uint8_t load_bytes) {
  const Program& program = field.program;
  Value value;
  value.code.assign(spec_.code + program.first, spec_.code + program.first + program.count);
  const auto is_return = [](const Insn& insn) { return insn.op == Op::kReturn; };
  if (value.code.empty() || !is_return(value.code.back()) ||
      std::count_if(value.code.begin(), value.code.end(), is_return) != 1) {
    return Status(Code::kUnsupported, "an expression with several ends is not compiled");
  }
  const Insn end = value.code.back();
  value.code.pop_back();
  const auto append = [&value](Op op, int64_t imm, uint8_t size_bytes) {
    Insn insn;
    insn.op = op;
    insn.imm = imm;
    insn.a = size_bytes;
    value.code.push_back(insn);
  };
  if (field.is_reference != 0) append(Op::kLoad, 0, 8);
  if (load_bytes != 0) {
    append(Op::kAddImm, add, 0);
    append(Op::kLoad, 0, load_bytes);
  }
  value.code.push_back(end);
  value.slot = static_cast<int32_t>(8 * slots_++);
  values_.push_back(std::move(value));
  return Status();
}

Status LightCode::MakeValues() {
  values_.clear();
  first_slot_.clear();
  slots_ = 0;
  for (uint32_t i = 0; i < spec_.light->field_count; ++i) {
    const LightField& field = spec_.light->fields[i];
    first_slot_.push_back(static_cast<int32_t>(8 * slots_));
    if (field.kind == LightKind::kCText) {
      return Status(Code::kUnsupported, "texts without a size are not copied by compiled code");
    }
    if (field.kind == LightKind::kScalar) {
      SF_RETURN_IF_ERROR(AddValue(field, 0, field.load_bytes));
    } else if (field.kind == LightKind::kText) {
      SF_RETURN_IF_ERROR(AddValue(field, field.pointer_offset, 8));
      SF_RETURN_IF_ERROR(AddValue(field, field.size_offset, 8));
    }
  }
  return Status();
}

Result<ProgramNeeds> LightCode::Measure() {
  SF_RETURN_IF_ERROR(MakeValues());
  if (slots_ > kMaxSlots) return Status(Code::kUnsupported, "so many expressions are not compiled");
  ProgramNeeds needs;
  needs.cells = kCellsOfRecord;
  for (const Value& value : values_) {
    const ProgramInput input{value.code,      spec_.strings, spec_.cfa,
                             spec_.load_bias, &layout_,      value.slot};
    SF_ASSIGN_OR_RETURN(const ProgramNeeds one, MeasureProgram(input));
    needs.cells = std::max(needs.cells, one.cells);
    needs.guarded_reads = needs.guarded_reads || one.guarded_reads;
  }
  for (uint32_t i = 0; i < spec_.light->field_count; ++i) {
    if (spec_.light->fields[i].kind == LightKind::kText) needs.guarded_reads = true;
  }
  return needs;
}

// What will be copied lies in a readable range, in words: the last one may reach behind the text.
// R8 becomes the size of the record.
void LightCode::CheckTexts(Assembler& code, ProgramLabels& labels) {
  code.MoveImmediate(kR8, spec_.light->fixed_bytes);
  for (uint32_t i = 0; i < spec_.light->field_count; ++i) {
    const LightField& field = spec_.light->fields[i];
    if (field.kind != LightKind::kText) continue;
    Label empty, fits;
    code.Load(kRsi, kRsp, first_slot_[i]);
    code.Load(kRdx, kRsp, first_slot_[i] + 8);
    code.Test(kRdx, kRdx);
    code.JumpIf(kEqual, empty);
    EmitRangeCheck(layout_, kRsi, code, labels);
    const auto capacity = static_cast<int32_t>(field.text_capacity);
    code.OperateImmediate(kCmp, kRdx, capacity);
    code.JumpIf(kBelowEqual, fits);
    code.MoveImmediate(kRdx, field.text_capacity);
    code.Bind(fits);
    code.OperateImmediate(kAdd, kRdx, 7);
    code.OperateImmediate(kAnd, kRdx, -8);
    code.Operate(kAdd, kR8, kRdx);
    code.Operate(kAdd, kRdx, kRsi);
    code.OperateImmediate(kSub, kRdx, 8);  // the last word
    EmitRangeCheck(layout_, kRdx, code, labels);
    code.Bind(empty);
  }
}

// As ring::Reserve: RDI becomes the record.
void LightCode::Reserve(Assembler& code, Label& full) {
  const auto head = static_cast<int32_t>(layout_.slot_head);
  if (layout_.fork_guard != 0) {  // the page holds nothing else
    code.MoveImmediate(kRax, layout_.fork_guard);
    code.Load(kRax, kRax, 0);
    code.Test(kRax, kRax);
    code.JumpIf(kEqual, full);
  }
  Label again;
  code.Bind(again);
  code.Load(kRax, kRcx, head);
  code.Move(kRdx, kRax);
  code.Operate(kAdd, kRdx, kR8);
  code.Move(kRsi, kRdx);
  code.Operate(kSub, kRsi, kRcx, static_cast<int32_t>(layout_.slot_tail));
  code.OperateImmediate(kCmp, kRsi, ring::kStreamBytes);
  code.JumpIf(kAbove, full);
  code.CompareExchange(kRcx, head, kRdx);
  code.JumpIf(kNotEqual, again);
  code.OperateImmediate(kAnd, kRax, ring::kStreamBytes - 1);
  code.Load(kRdi, kRcx, static_cast<int32_t>(layout_.slot_bytes));
  code.Operate(kAdd, kRdi, kRax);
}

void LightCode::WriteHeader(Assembler& code) {
  code.Store32(kRdi, offsetof(LightHeader, size_bytes), kR8);
  code.LoadAddress(kR8, kRdi, static_cast<int32_t>(spec_.light->fixed_bytes));
  code.MoveImmediate(kRax, spec_.probe_id);
  code.Store(kRdi, offsetof(LightHeader, probe_id), kRax);
  code.ReadTicks();
  code.Store(kRdi, offsetof(LightHeader, ticks), kRax);
  code.StoreImmediate32(kRdi, offsetof(LightHeader, site_index), spec_.site_index);
  code.LoadThread32(kRax, Thread(layout_.thread_id));
  code.Store32(kRdi, offsetof(LightHeader, thread_id), kRax);
  // traces[trace_index & 1]
  code.LoadThread32(kRax, Thread(layout_.trace_index));
  code.OperateImmediate(kAnd, kRax, 1);
  code.ShiftImmediate(kShl, kRax, 5);
  static_assert(sizeof(TraceContextRecord) == 32);
  code.LoadThread(kRsi, 0);
  code.Operate(kAdd, kRsi, kRax);
  for (int32_t i = 0; i < 4; ++i) {
    code.Load(kRax, kRsi, Thread(layout_.traces) + 8 * i);
    code.Store(kRdi, static_cast<int32_t>(sizeof(LightHeader)) + 8 * i, kRax);
  }
}

// In words. A fault ends it: the text is unreadable.
void LightCode::CopyText(Assembler& code, const LightField& field, int32_t slot) {
  const auto at = static_cast<int32_t>(field.offset);
  const auto text_bytes = at + static_cast<int32_t>(offsetof(LightValue, text_bytes));
  Label fits, next, failed, done;
  code.Load(kRsi, kRsp, slot);
  code.Load(kRdx, kRsp, slot + 8);
  code.Store(kRdi, at, kRdx);
  code.StoreImmediate32(kRdi, at + static_cast<int32_t>(offsetof(LightValue, code)), 0);
  code.OperateImmediate(kCmp, kRdx, static_cast<int32_t>(field.text_capacity));
  code.JumpIf(kBelowEqual, fits);
  code.MoveImmediate(kRdx, field.text_capacity);
  code.Bind(fits);
  code.Store32(kRdi, text_bytes, kRdx);
  code.OperateImmediate(kAdd, kRdx, 7);
  code.OperateImmediate(kAnd, kRdx, -8);
  code.JumpIf(kEqual, done);
  code.Bind(next);
  code.Put({0x0F, 0x1F, 0x80});  // where a fault in what follows goes on: fault_context_control.cc
  code.Refer(failed);
  code.Load(kRax, kRsi, 0);
  code.Store(kR8, 0, kRax);
  code.LoadAddress(kRsi, kRsi, 8);
  code.LoadAddress(kR8, kR8, 8);
  code.OperateImmediate(kSub, kRdx, 8);
  code.JumpIf(kNotEqual, next);
  code.Jump(done);
  code.Bind(failed);  // the next text begins where this one did not end: the decoder skips none
  code.Load(kRax, kRsp, slot);
  code.Operate(kSub, kRsi, kRax);
  code.Operate(kSub, kR8, kRsi);
  code.StoreImmediate32(kRdi, at + static_cast<int32_t>(offsetof(LightValue, code)),
                        static_cast<uint32_t>(Code::kUnreadable));
  code.StoreImmediate32(kRdi, text_bytes, 0);
  code.Bind(done);
}

void LightCode::WriteFields(Assembler& code) {
  for (uint32_t i = 0; i < spec_.light->field_count; ++i) {
    const LightField& field = spec_.light->fields[i];
    if (field.kind == LightKind::kText) {
      CopyText(code, field, first_slot_[i]);
      continue;
    }
    const auto at = static_cast<int32_t>(field.offset);
    if (field.kind == LightKind::kXmm) {
      code.MoveFromXmm(kRax, field.reg, field.load_bytes);
    } else if (field.kind == LightKind::kTrace) {
      code.MoveImmediate(kRax, 0);
    } else {
      code.Load(kRax, kRsp, first_slot_[i]);
    }
    code.Store(kRdi, at, kRax);
    code.StoreImmediate(kRdi, at + 8, 0);  // code and text_bytes
  }
}

Status LightCode::Emit(const SavedRegisters& saved, Assembler& code, ProgramLabels& labels,
                       Label& full) {
  for (const Value& value : values_) {
    const ProgramInput input{value.code,      spec_.strings, spec_.cfa,
                             spec_.load_bias, &layout_,      value.slot};
    ProgramLabels own;
    own.bail = std::move(labels.bail);
    own.second_tries = std::move(labels.second_tries);
    const Status status = CompileProgram(input, saved, code, own);
    code.Bind(own.is_true);
    labels.bail = std::move(own.bail);
    labels.second_tries = std::move(own.second_tries);
    SF_RETURN_IF_ERROR(status);
  }
  CheckTexts(code, labels);
  Reserve(code, full);
  WriteHeader(code);
  WriteFields(code);
  return Status();
}

}  // namespace stillframe::probe::arch
