// The CFI reader: bytes of .eh_frame or .debug_frame. Input: 1 byte format, then the section.
#include "plan/program.h"
#include "symbolizer/cfi_table.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/module.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  CfiSection section;
  section.format = input.Byte() % 2 == 0 ? CfiFormat::kEhFrame : CfiFormat::kDebugFrame;
  section.address = LinkAddress(0x80000);
  section.bytes = input.rest();
  const auto table = BuildUnwindTableFrom(section, fuzz::CodeModule());
  if (!table.ok()) return 0;
  // What the hit path's search relies on.
  SF_FUZZ_CHECK(table->pcs.size() == table->row_rules.size());
  SF_FUZZ_CHECK(!table->rules.empty() && table->rules[0].cfa_kind == CfaKind::kUndefined);
  for (size_t i = 0; i < table->pcs.size(); ++i) {
    SF_FUZZ_CHECK(i == 0 || table->pcs[i - 1] < table->pcs[i]);
    SF_FUZZ_CHECK(table->pcs[i] < table->size_bytes);
    SF_FUZZ_CHECK(table->row_rules[i] < table->rules.size());
  }
  for (const UnwindRule& rule : table->rules) SF_FUZZ_CHECK(rule.cfa_register < kRegisterCount);
  return 0;
}

}  // namespace stillframe
