// Three opinions on where instructions begin: ours, Capstone's, objdump's. Where they differ, no
// probe may be placed.
#include <capstone/capstone.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "agent/probe/arch/arch.h"
#include "agent/probe/arch/x86_64/instruction.h"
#include "tests/agent/probe/code_scan.h"
#include "tests/agent/probe/instruction_form.h"

namespace stillframe::probe {
namespace {

bool All() { return getenv("STILLFRAME_ALL_LIBRARIES") != nullptr; }

struct Agreement {
  uint64_t files = 0;
  uint64_t instructions = 0;
  uint64_t differences = 0;
  uint64_t accepted = 0;                     // of the differences: must stay 0
  std::map<std::string, uint64_t> examples;  // bytes, with what the others think
};

// Somebody else sees `other_bytes` (0: no instruction) where we see `insn`.
void Differ(const FunctionCode& function, size_t at, const arch::Instruction& insn,
            uint64_t other_bytes, Agreement& agreement) {
  ++agreement.differences;
  const auto text = function.bytes.subspan(at);
  const size_t before = std::min<size_t>(at, arch::kContextBytes);
  const bool refused =
      !arch::AnalyzeSite({function.bytes.subspan(at - before, before),
                          text.first(std::min<size_t>(text.size(), 24)), 0x10000000 + at})
           .ok();
  agreement.accepted += !refused;
  if (agreement.examples.size() < 2000 || !refused) {
    ++agreement
          .examples[HexBytes(insn.bytes, insn.length) + ": ours " + std::to_string(insn.length) +
                    ", theirs " + std::to_string(other_bytes) + (refused ? "" : ", ACCEPTED")];
  }
}

void Print(const char* who, const Agreement& agreement) {
  std::printf("  %s: %lu files, %lu instructions, %lu differences, %lu accepted nevertheless\n",
              who, agreement.files, agreement.instructions, agreement.differences,
              agreement.accepted);
  int shown = 0;
  for (const auto& [text, count] : agreement.examples) {
    if (++shown > 12 && text.find("ACCEPTED") == text.npos) continue;
    std::printf("    %6lu x %s\n", count, text.c_str());
  }
}

TEST(DecoderAgreement, WithCapstone) {
  csh capstone = 0;
  ASSERT_EQ(cs_open(CS_ARCH_X86, CS_MODE_64, &capstone), CS_ERR_OK);
  cs_insn* const seen = cs_malloc(capstone);
  Agreement agreement;
  ForEachCodeFile(All() ? 0 : 24 << 20, [&](const CodeFile& file) {
    ++agreement.files;
    for (const FunctionCode& function : file.functions()) {
      for (size_t at = 0; at < function.bytes.size();) {
        const auto insn = arch::DecodeInstruction(function.bytes.subspan(at));
        if (!insn) break;
        const uint8_t* code = function.bytes.data() + at;
        size_t left = function.bytes.size() - at;
        uint64_t address = function.address + at;
        const bool known = cs_disasm_iter(capstone, &code, &left, &address, seen);
        const uint64_t theirs = known ? seen->size : 0;
        if (theirs != insn->length) Differ(function, at, *insn, theirs, agreement);
        ++agreement.instructions;
        at += insn->length;
      }
    }
  });
  cs_free(seen, 1);
  cs_close(&capstone);
  Print("Capstone", agreement);
  EXPECT_GE(agreement.files, 20u);
  EXPECT_EQ(agreement.accepted, 0u);
  EXPECT_LT(agreement.differences, agreement.instructions / 1000);
}

// Address -> length, as `objdump -d` prints them.
std::map<uint64_t, uint8_t> Objdump(const std::string& path) {
  std::map<uint64_t, uint8_t> lengths;
  FILE* const pipe = popen(("objdump -d -w '" + path + "' 2>/dev/null").c_str(), "r");
  if (pipe == nullptr) return lengths;
  char* line = nullptr;
  size_t capacity = 0;
  //   4011a0:<tab>48 8b 05 39 2e 00 00 <tab>mov    0x2e39(%rip),%rax
  while (getline(&line, &capacity, pipe) > 0) {
    char* end = nullptr;
    const uint64_t address = strtoull(line, &end, 16);
    if (end == line || end[0] != ':' || end[1] != '\t') continue;
    uint8_t length = 0;
    for (const char* at = end + 2; isxdigit(at[0]) != 0 && isxdigit(at[1]) != 0; at += 3) ++length;
    lengths.emplace_hint(lengths.end(), address, length);
  }
  free(line);
  pclose(pipe);
  return lengths;
}

// objdump prints WAIT and the x87 instruction behind it as one, because assemblers take them so
// (SDM volume 2, FSTCW: "9B D9 /7"). The processor executes two.
bool IsWait(const arch::Instruction& insn) { return insn.bytes[insn.length - 1] == 0x9B; }

TEST(DecoderAgreement, WithObjdump) {
  if (system("objdump --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no objdump here";
  Agreement agreement;
  uint64_t libraries = 0;
  ForEachCodeFile(All() ? 0 : 24 << 20, [&](const CodeFile& file) {
    const bool small = file.code_bytes() > 100'000 && file.code_bytes() < 600'000;
    if (!All() && (!small || libraries >= 4)) return;
    ++libraries;
    const auto lengths = Objdump(file.path());
    if (lengths.empty()) return;
    ++agreement.files;
    for (const FunctionCode& function : file.functions()) {
      for (size_t at = 0; at < function.bytes.size();) {
        const auto insn = arch::DecodeInstruction(function.bytes.subspan(at));
        if (!insn) break;
        const auto theirs = lengths.find(function.address + at);
        const uint64_t length = theirs == lengths.end() ? 0 : theirs->second;
        if (length != insn->length && !IsWait(*insn)) {
          Differ(function, at, *insn, length, agreement);
        }
        ++agreement.instructions;
        at += insn->length;
      }
    }
  });
  Print("objdump", agreement);
  EXPECT_GE(agreement.files, 1u);
  EXPECT_EQ(agreement.accepted, 0u);
}

}  // namespace
}  // namespace stillframe::probe
