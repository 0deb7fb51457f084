// Compact unwind rules: sorted pc ranges that point into a table of a few hundred distinct rules.
// Built per module by the symbolizer from .eh_frame, read by the hit path's unwinder.
#ifndef STILLFRAME_PLAN_UNWIND_TABLE_H_
#define STILLFRAME_PLAN_UNWIND_TABLE_H_

#include <cstdint>
#include <vector>

#include "base/address.h"

namespace stillframe {

enum class CfaKind : uint8_t {
  kUndefined = 0,   // no rule: the unwinder stops here
  kRegisterOffset,  // CFA = register + offset
  kDerefOffset,     // CFA = *(register + offset): DRAP frames (DW_OP_breg, DW_OP_deref)
  kPlt,             // the usual .plt expression: rsp + 8 + ((rip & 15) >= 11 ? 8 : 0)
  kSignalFrame,     // kernel signal frame: registers at known offsets from rsp (ucontext)
};

enum class SaveKind : uint8_t {
  kSame = 0,     // not changed by this frame: the caller's value is the current one
  kAtCfaOffset,  // saved at CFA + offset
  kUndefined,    // lost
};

// The registers an unwind recovers, in this order: rbx, rbp, r12, r13, r14, r15.
inline constexpr int kSavedRegisterCount = 6;
inline constexpr uint8_t kSavedRegisters[kSavedRegisterCount] = {3, 6, 12, 13, 14, 15};

// Room for a return address and seven registers.
inline constexpr int32_t kNearBytes = 64;

struct UnwindRule {
  CfaKind cfa_kind = CfaKind::kUndefined;
  uint8_t cfa_register = 0;  // DWARF number
  SaveKind save[kSavedRegisterCount] = {};
  int32_t cfa_offset = 0;
  int32_t return_address_offset = -8;             // from the CFA; 0 = undefined: outermost frame
  int32_t save_offset[kSavedRegisterCount] = {};  // from the CFA
  // 1: the return address and all saves lie in [CFA - kNearBytes, CFA), so that the unwinder may
  // look for memory once. 0 says nothing.
  uint8_t saves_are_near = 0;
  friend bool operator==(const UnwindRule&, const UnwindRule&) = default;
};

// Row i covers [pcs[i], pcs[i+1]) relative to `base`; the last row ends at base + size_bytes. Gaps
// have a row whose rule is rules[0], which is always kUndefined.
//
// blocks[b] is the row that covers base + b * kUnwindBlockBytes, for every block that begins at or
// below the last row's pc: a search looks at the few rows of one block instead of bisecting all.
inline constexpr uint64_t kUnwindBlockBytes = 256;
struct UnwindTable {
  LinkAddress base;
  uint64_t size_bytes = 0;
  std::vector<uint32_t> pcs;
  std::vector<uint16_t> row_rules;  // same length as pcs; index into rules
  std::vector<UnwindRule> rules;
  std::vector<uint32_t> blocks;
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_UNWIND_TABLE_H_
