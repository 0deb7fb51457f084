// The few shapes of DWARF expressions that compilers, linkers and the C library write into call
// frame information.
#ifndef STILLFRAME_SYMBOLIZER_CFI_EXPRESSION_H_
#define STILLFRAME_SYMBOLIZER_CFI_EXPRESSION_H_

#include <cstdint>
#include <optional>

#include "symbolizer/byte_reader.h"

namespace stillframe {

// register + offset, dereferenced or not.
struct RegisterTerm {
  uint64_t reg = 0;
  int64_t offset = 0;
  bool dereferenced = false;
};

// DW_OP_bregN off [DW_OP_deref]; nullopt for anything else.
std::optional<RegisterTerm> ParseRegisterTerm(ByteSpan expression);

// The CFA of .plt slots: rsp + 8, and 8 more once the slot's push has run, which is from byte N of
// each 16-byte slot on: breg7(8) breg16(0) lit15 and litN ge lit3 shl plus. Gives N.
std::optional<uint8_t> ParsePltExpression(ByteSpan expression);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CFI_EXPRESSION_H_
