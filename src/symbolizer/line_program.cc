#include "symbolizer/line_program.h"

#include <dwarf.h>

#include <string>

namespace stillframe {
namespace {

class LineMachine {
 public:
  LineMachine(const LineSections& sections, const LineHeader& header,
              const std::function<void(const LineRow&)>& emit)
      : header_(header),
        emit_(emit),
        reader_(sections.line.first(header.program_end), header.program_start) {
    Reset();
  }

  Status Run() {
    while (reader_.ok() && !reader_.AtEnd()) Step(reader_.U8());
    if (reader_.ok()) return Status();
    return Status(Code::kCorrupt, ".debug_line program of the unit at " +
                                      std::to_string(header_.offset) + " is broken");
  }

 private:
  void Reset() {
    row_ = LineRow();
    row_.file = 1;
    row_.line = 1;
    row_.is_stmt = header_.default_is_stmt;
    operation_ = 0;
  }

  void Step(uint8_t opcode) {
    if (opcode >= header_.opcode_base) return Special(opcode);
    if (opcode == 0) return Extended();
    Standard(opcode);
  }

  void Emit() {
    emit_(row_);
    row_.prologue_end = false;
    ++row_.view;
  }

  // §6.2.5.1: with more than one operation per instruction the operation pointer advances.
  void AdvanceOperations(uint64_t count) {
    if (count != 0) row_.view = 0;
    if (header_.max_operations == 1) {
      row_.address = row_.address + header_.min_instruction_length * count;
      return;
    }
    const uint64_t total = operation_ + count;
    row_.address = row_.address + header_.min_instruction_length * (total / header_.max_operations);
    operation_ = total % header_.max_operations;
  }

  void Special(uint8_t opcode) {
    const uint8_t adjusted = static_cast<uint8_t>(opcode - header_.opcode_base);
    AdvanceOperations(adjusted / header_.line_range);
    row_.line += static_cast<uint32_t>(header_.line_base + adjusted % header_.line_range);
    Emit();
  }

  void Standard(uint8_t opcode) {
    switch (opcode) {
      case DW_LNS_copy:
        return Emit();
      case DW_LNS_advance_pc:
        return AdvanceOperations(reader_.Uleb());
      case DW_LNS_advance_line:
        row_.line += static_cast<uint32_t>(reader_.Sleb());
        return;
      case DW_LNS_set_file:
        row_.file = static_cast<uint32_t>(reader_.Uleb());
        return;
      case DW_LNS_set_column:
        row_.column = static_cast<uint32_t>(reader_.Uleb());
        return;
      case DW_LNS_negate_stmt:
        row_.is_stmt = !row_.is_stmt;
        return;
      case DW_LNS_set_basic_block:
        return;
      case DW_LNS_const_add_pc:
        return AdvanceOperations((255u - header_.opcode_base) / header_.line_range);
      case DW_LNS_fixed_advance_pc:  // of which the view knows nothing
        row_.address = row_.address + reader_.U16();
        operation_ = 0;
        return;
      case DW_LNS_set_prologue_end:
        row_.prologue_end = true;
        return;
      case DW_LNS_set_epilogue_begin:
        return;
      default:  // DW_LNS_set_isa and anything newer: the header says how many numbers to skip
        for (unsigned i = 0; i < header_.opcode_lengths[opcode]; ++i) reader_.Uleb();
    }
  }

  void Extended() {
    const uint64_t length = reader_.Uleb();
    if (!reader_.ok() || length == 0) return;
    const uint64_t end = reader_.position() + length;
    if (length > reader_.remaining()) return reader_.Fail();
    const uint8_t opcode = reader_.U8();
    if (opcode == DW_LNE_end_sequence) {
      row_.end_sequence = true;
      Emit();
      Reset();
    } else if (opcode == DW_LNE_set_address) {
      row_.address = LinkAddress(reader_.Unsigned(length - 1));
      row_.view = 0;
      operation_ = 0;
    }
    // DW_LNE_set_discriminator, DW_LNE_define_file (never written by GCC or Clang) and vendor
    // extensions carry their own length.
    if (reader_.ok() && reader_.position() <= end) reader_.Skip(end - reader_.position());
  }

  const LineHeader& header_;
  const std::function<void(const LineRow&)>& emit_;
  ByteReader reader_;
  LineRow row_;
  uint64_t operation_ = 0;
};

}  // namespace

Status RunLineProgram(const LineSections& sections, const LineHeader& header,
                      const std::function<void(const LineRow&)>& emit) {
  return LineMachine(sections, header, emit).Run();
}

}  // namespace stillframe
