#include "symbolizer/cfi_expression.h"

#include <dwarf.h>

namespace stillframe {

std::optional<RegisterTerm> ParseRegisterTerm(ByteSpan expression) {
  ByteReader reader(expression);
  RegisterTerm term;
  const uint8_t opcode = reader.U8();
  if (opcode >= DW_OP_breg0 && opcode <= DW_OP_breg31) {
    term.reg = opcode - DW_OP_breg0;
  } else if (opcode == DW_OP_bregx) {
    term.reg = reader.Uleb();
  } else {
    return std::nullopt;
  }
  term.offset = reader.Sleb();
  if (reader.ok() && !reader.AtEnd()) {
    if (reader.U8() != DW_OP_deref) return std::nullopt;
    term.dereferenced = true;
  }
  if (!reader.ok() || !reader.AtEnd()) return std::nullopt;
  return term;
}

std::optional<uint8_t> ParsePltExpression(ByteSpan expression) {
  ByteReader reader(expression);
  const bool start = reader.U8() == DW_OP_breg7 && reader.Sleb() == 8 &&
                     reader.U8() == DW_OP_breg16 && reader.Sleb() == 0 &&
                     reader.U8() == DW_OP_lit15 && reader.U8() == DW_OP_and;
  const uint8_t literal = reader.U8();
  const bool finish = reader.U8() == DW_OP_ge && reader.U8() == DW_OP_lit3 &&
                      reader.U8() == DW_OP_shl && reader.U8() == DW_OP_plus;
  if (!start || !finish || !reader.ok() || !reader.AtEnd()) return std::nullopt;
  if (literal < DW_OP_lit1 || literal > DW_OP_lit15) return std::nullopt;
  return static_cast<uint8_t>(literal - DW_OP_lit0);
}

}  // namespace stillframe
