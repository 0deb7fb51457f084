// The unwind table against libdw's reading of the same call frame information, at every pc where
// either changes and between.
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <gelf.h>

#include <chrono>
#include <set>

#include "base/unique_fd.h"
#include "symbolizer/cfi_table.h"
#include "tests/symbolizer/symbols_support.h"

namespace stillframe {
namespace {

using symbols_test::TargetPath;

struct Comparison {
  size_t pcs = 0;
  size_t described = 0;    // the table has a rule
  size_t undescribed = 0;  // libdw has one, the table says "stop"
  size_t lost_saves = 0;   // a register that libdw can find and the table calls lost
};

const UnwindRule& RuleAt(const UnwindTable& table, uint64_t pc) {
  const auto offset = static_cast<uint32_t>(pc - table.base.value);
  const auto after = std::upper_bound(table.pcs.begin(), table.pcs.end(), offset);
  return table.rules[table.row_rules[static_cast<size_t>(after - table.pcs.begin()) - 1]];
}

// "breg N off" of an operation list, from the forms libdw uses for register + offset.
bool IsTerm(const Dwarf_Op* ops, size_t count, uint64_t& reg, int64_t& offset) {
  if (count == 0) return false;
  if (ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31) {
    reg = ops[0].atom - DW_OP_breg0;
    offset = static_cast<int64_t>(ops[0].number);
    return true;
  }
  if (ops[0].atom == DW_OP_bregx) {
    reg = ops[0].number;
    offset = static_cast<int64_t>(ops[0].number2);
    return true;
  }
  return false;
}

void CompareCfa(Dwarf_Frame* frame, const UnwindRule& rule, uint64_t pc, Comparison& result) {
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  ASSERT_EQ(dwarf_frame_cfa(frame, &ops, &count), 0) << dwarf_errmsg(-1);
  uint64_t reg = 0;
  int64_t offset = 0;
  if (rule.cfa_kind == CfaKind::kUndefined) {
    ++result.undescribed;
    return;
  }
  ASSERT_TRUE(IsTerm(ops, count, reg, offset)) << std::hex << pc;
  if (rule.cfa_kind == CfaKind::kPlt) {
    ASSERT_GT(count, 6u) << std::hex << pc;
  } else if (rule.cfa_kind == CfaKind::kRegisterOffset && count > 6) {
    // A PLT expression that was expanded: evaluate it here.
    ASSERT_EQ(ops[3].atom, DW_OP_and);
    const uint64_t threshold = ops[4].atom - DW_OP_lit0;
    EXPECT_EQ(rule.cfa_offset, (pc & 15) >= threshold ? 16 : 8) << std::hex << pc;
  } else {
    EXPECT_EQ(reg, rule.cfa_register) << std::hex << pc;
    EXPECT_EQ(offset, rule.cfa_offset) << std::hex << pc;
    const bool dereferenced = count == 2 && ops[1].atom == DW_OP_deref;
    EXPECT_EQ(dereferenced,
              rule.cfa_kind == CfaKind::kDerefOffset || rule.cfa_kind == CfaKind::kSignalFrame)
        << std::hex << pc;
  }
}

// What libdw says about one register: saved at CFA + offset, same, undefined, or something else.
struct Saved {
  enum { kSame, kUndefined, kAtCfa, kOther } kind = kOther;
  int64_t offset = 0;
};

Saved SavedOf(Dwarf_Frame* frame, int reg) {
  Dwarf_Op memory[3];
  Dwarf_Op* ops = nullptr;
  size_t count = 0;
  Saved saved;
  if (dwarf_frame_register(frame, reg, memory, &ops, &count) != 0) return saved;
  if (count == 0) {
    saved.kind = ops == nullptr ? Saved::kSame : Saved::kUndefined;
  } else if (ops[0].atom == DW_OP_call_frame_cfa && count <= 2 &&
             (count == 1 || ops[1].atom == DW_OP_plus_uconst)) {
    saved.kind = Saved::kAtCfa;
    saved.offset = count == 1 ? 0 : static_cast<int64_t>(ops[1].number);
  }
  return saved;
}

void CompareSaves(Dwarf_Frame* frame, const UnwindRule& rule, uint64_t pc, Comparison& result) {
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    const Saved saved = SavedOf(frame, kSavedRegisters[i]);
    if (rule.save[i] == SaveKind::kSame) {
      // libdw's ABI defaults name register 0 (rax) where they mean 3 (rbx), so that an rbx without
      // a rule looks undefined; psABI §3.2.1 says that it belongs to the caller.
      if (kSavedRegisters[i] == 3 && saved.kind == Saved::kUndefined) continue;
      EXPECT_EQ(saved.kind, Saved::kSame) << std::hex << pc << " register " << i;
    } else if (rule.save[i] == SaveKind::kAtCfaOffset) {
      // Saved relative to a register: equal to CFA-relative only by arithmetic; skip those.
      if (saved.kind == Saved::kOther) continue;
      EXPECT_EQ(saved.kind, Saved::kAtCfa) << std::hex << pc << " register " << i;
      EXPECT_EQ(saved.offset, rule.save_offset[i]) << std::hex << pc << " register " << i;
    } else if (saved.kind != Saved::kUndefined) {
      ++result.lost_saves;
    }
  }
  const Saved caller = SavedOf(frame, 16);
  if (rule.return_address_offset == 0) {
    EXPECT_EQ(caller.kind, Saved::kUndefined) << std::hex << pc;
  } else {
    EXPECT_EQ(caller.kind, Saved::kAtCfa) << std::hex << pc;
    EXPECT_EQ(caller.offset, rule.return_address_offset) << std::hex << pc;
  }
}

void ComparePc(Dwarf_CFI* cfi, const UnwindTable& table, uint64_t pc, Comparison& result) {
  ++result.pcs;
  const UnwindRule& rule = RuleAt(table, pc);
  Dwarf_Frame* frame = nullptr;
  if (dwarf_cfi_addrframe(cfi, pc, &frame) != 0) {
    EXPECT_EQ(rule.cfa_kind, CfaKind::kUndefined) << std::hex << pc;
    return;
  }
  CompareCfa(frame, rule, pc, result);
  if (rule.cfa_kind != CfaKind::kUndefined) {
    ++result.described;
    if (rule.cfa_kind != CfaKind::kSignalFrame) CompareSaves(frame, rule, pc, result);
  }
  free(frame);
}

// Every row's first and last pc; with `every_pc` all of them.
Comparison CompareModule(const std::string& path, bool every_pc) {
  Comparison result;
  auto elf = ElfFile::Open(path);
  EXPECT_TRUE(elf.ok()) << elf.status().ToString();
  if (!elf.ok()) return result;
  auto built = BuildModuleUnwindTable(**elf, nullptr);
  EXPECT_TRUE(built.ok()) << built.status().ToString();
  if (!built.ok()) return result;
  const UnwindTable& table = *built;
  EXPECT_EQ(table.pcs.size(), table.row_rules.size());
  EXPECT_EQ(table.rules[0], UnwindRule());

  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  elf_version(EV_CURRENT);
  Elf* oracle_elf = elf_begin(fd.get(), ELF_C_READ_MMAP, nullptr);
  Dwarf_CFI* cfi = dwarf_getcfi_elf(oracle_elf);
  EXPECT_NE(cfi, nullptr) << dwarf_errmsg(-1);
  for (size_t i = 0; i < table.pcs.size() && !testing::Test::HasFailure(); ++i) {
    const uint64_t start = table.base.value + table.pcs[i];
    const uint64_t end = i + 1 < table.pcs.size() ? table.base.value + table.pcs[i + 1]
                                                  : table.base.value + table.size_bytes;
    if (every_pc) {
      for (uint64_t pc = start; pc < end; ++pc) ComparePc(cfi, table, pc, result);
    } else {
      ComparePc(cfi, table, start, result);
      if (end - 1 != start) ComparePc(cfi, table, end - 1, result);
    }
  }
  dwarf_cfi_end(cfi);
  elf_end(oracle_elf);
  printf(
      "%s: %zu rows, %zu rules, %zu pcs compared, %zu described, %zu undescribed, "
      "%zu lost saves\n",
      path.c_str(), table.pcs.size(), table.rules.size(), result.pcs, result.described,
      result.undescribed, result.lost_saves);
  return result;
}

TEST(SymbolsCfi, EveryPcOfTheTargetsAgreesWithLibdw) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    const Comparison result = CompareModule(TargetPath(variant), true);
    EXPECT_GT(result.described, 300u);
    EXPECT_EQ(result.undescribed, 0u);
    EXPECT_EQ(result.lost_saves, 0u);
  }
}

TEST(SymbolsCfi, SystemLibrariesAgreeWithLibdwAtEveryRow) {
  for (const char* path :
       {"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2",
        "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/lib/x86_64-linux-gnu/libdw.so.1",
        "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libm.so.6"}) {
    SCOPED_TRACE(path);
    const Comparison result = CompareModule(path, false);
    EXPECT_GT(result.described, 1000u);
    // The share that the compact table cannot say must stay small.
    EXPECT_LT(result.undescribed * 200, result.pcs);
    EXPECT_LT(result.lost_saves * 100, result.pcs * kSavedRegisterCount);
  }
}

TEST(SymbolsCfi, SignalRestorerIsRecognized) {
  auto elf = ElfFile::Open("/lib/x86_64-linux-gnu/libc.so.6");
  ASSERT_TRUE(elf.ok());
  const auto table = BuildModuleUnwindTable(**elf, nullptr);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(std::any_of(table->rules.begin(), table->rules.end(), [](const UnwindRule& rule) {
    return rule.cfa_kind == CfaKind::kSignalFrame;
  }));
}

TEST(SymbolsCfi, GapsAndTheProcedureLinkageTableAreCovered) {
  auto elf = ElfFile::Open(TargetPath("gcc_O2_dwarf5"));
  ASSERT_TRUE(elf.ok());
  const auto table = BuildModuleUnwindTable(**elf, nullptr);
  ASSERT_TRUE(table.ok());
  EXPECT_TRUE(std::any_of(table->rules.begin(), table->rules.end(),
                          [](const UnwindRule& rule) { return rule.cfa_kind == CfaKind::kPlt; }));
  EXPECT_TRUE(std::is_sorted(table->pcs.begin(), table->pcs.end()));
}

TEST(SymbolsCfi, ModuleWithoutFrameInformationIsNotFound) {
  const symbols_test::ScratchFolder folder;
  const std::string path = folder.path() + "/stripped";
  symbols_test::RunTool("objcopy -R .eh_frame -R .eh_frame_hdr -R .debug_frame '" +
                        TargetPath("gcc_O2_dwarf5") + "' '" + path + "' 2>/dev/null");
  auto elf = ElfFile::Open(path);
  ASSERT_TRUE(elf.ok()) << elf.status().ToString();
  EXPECT_EQ(BuildModuleUnwindTable(**elf, nullptr).status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace stillframe
