// No probe lands inside an instruction, whatever the debug information says.
#include "agent/probe/site_boundary.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "agent/probe/arch/arch.h"
#include "agent/probe/arch/x86_64/instruction.h"
#include "symbolizer/symbolizer.h"
#include "tests/agent/probe/code_scan.h"
#include "tests/agent/probe/discarded_copy.h"
#include "tests/agent/probe/probe_testing.h"

namespace stillframe::probe {
namespace {

Status Check(const std::vector<uint8_t>& text, uint64_t offset) {
  return CheckInstructionBoundary(text, 0x1000, 0x1000 + offset);
}

TEST(SiteBoundary, CountsInstructionsOff) {
  // mov rax, [rip+16]; push rbp; jmp +0; ret
  const std::vector<uint8_t> text = {0x48, 0x8B, 0x05, 16, 0, 0, 0, 0x55, 0xEB, 0x00, 0xC3};
  for (uint64_t offset = 0; offset < text.size(); ++offset) {
    const bool begins = offset == 0 || offset == 7 || offset == 8 || offset == 10;
    const Status status = Check(text, offset);
    EXPECT_EQ(status.ok(), begins) << offset;
    EXPECT_EQ(status.code(), begins ? Code::kOk : Code::kUnsafeSite);
  }
  EXPECT_EQ(Check(text, text.size()).code(), Code::kInvalidArgument);
  EXPECT_EQ(CheckInstructionBoundary(text, 0x1000, 0xFFF).code(), Code::kInvalidArgument);
}

TEST(SiteBoundary, RefusesWhatCannotBeDecoded) {
  EXPECT_TRUE(Check({0x90, 0x06, 0x90}, 1).ok());  // the site's own bytes are for AnalyzeSite
  EXPECT_EQ(Check({0x90, 0x06, 0x90}, 2).code(), Code::kUnsafeSite);
  std::vector<uint8_t> text(kMaxBoundaryBytes + 2, 0x90);
  EXPECT_TRUE(Check(text, kMaxBoundaryBytes).ok());
  EXPECT_EQ(Check(text, kMaxBoundaryBytes + 1).code(), Code::kUnsafeSite);
}

// The installer asks when the agent knows a boundary, and sees other probes' bytes as they were.
TEST(SiteBoundary, InstallerRefusesOffsetsInsideInstructions) {
  auto installer = MakeInstaller(EmptyHit);
  TestModule module(4096);
  // mov eax, 7; mov rdx, imm32; mov ecx, edx; ret; filler
  module.Put(64,
             "\xB8\x07\x00\x00\x00\x48\xC7\xC2\x90\x90\x90\x00\x89\xD1\xC3\x0f\x1f\x44\x00"
             "\x00\x0f\x1f\x44\x00\x00"sv);
  module.Seal();
  ModuleText text = module.text();
  // Inside the immediate there are three plausible NOPs: nothing but the boundary tells.
  EXPECT_TRUE(installer->Prepare(module.site(64 + 8), text).ok());
  text.boundary = module.site(64);
  const std::set<uint64_t> begins = {0, 5, 12, 14};
  for (uint64_t offset = 0; offset < 15; ++offset) {
    const auto prepared = installer->Prepare(module.site(64 + offset), text);
    EXPECT_EQ(prepared.ok(), begins.count(offset) != 0) << offset << prepared.status().ToString();
    // A jump stands there while the others are asked for.
    if (offset == 0) {
      ASSERT_TRUE(installer->Arm(module.site(64)).ok());
    }
  }
  EXPECT_EQ(module.Call(64), 7u);
}

struct Tried {
  uint64_t functions = 0;
  uint64_t offsets = 0;
  uint64_t inside = 0;     // not an instruction's start
  uint64_t plausible = 0;  // of these: an instruction that could be probed, read on its own
  uint64_t passed = 0;     // of these: not caught by the boundary check
  uint64_t unknown = 0;    // functions that cannot be decoded to their end
};

void TryEveryOffset(const FunctionCode& function, Tried& tried) {
  const auto text = function.bytes;
  std::vector<bool> starts(text.size());
  for (size_t at = 0; at < text.size();) {
    starts[at] = true;
    const uint32_t length = arch::InstructionBytes(text.subspan(at));
    if (length == 0) {
      ++tried.unknown;
      return;
    }
    at += length;
  }
  ++tried.functions;
  for (size_t at = 0; at < text.size(); ++at) {
    ++tried.offsets;
    const bool ok = CheckInstructionBoundary(text, function.address, function.address + at).ok();
    if (starts[at]) {
      ASSERT_TRUE(ok) << std::hex << function.address + at;
      continue;
    }
    ++tried.inside;
    tried.passed += ok;
    const size_t before = std::min<size_t>(at, arch::kContextBytes);
    const size_t after = std::min<size_t>(text.size() - at, arch::kContextBytes);
    if (tried.inside % 16 != 0) continue;  // the disassembler is slow
    tried.plausible += arch::AnalyzeSite({text.subspan(at - before, before),
                                          text.subspan(at, after), function.address + at})
                           .ok();
  }
}

TEST(SiteBoundary, NoOffsetInsideAnInstructionPasses) {
  const bool all = getenv("STILLFRAME_ALL_LIBRARIES") != nullptr;
  std::vector<std::string> paths = SystemLibraries(8 << 20);
  paths.insert(paths.begin(), "/proc/self/exe");
  const uint64_t per_file = all ? UINT64_MAX : 60;
  int files = 0;
  for (const std::string& path : paths) {
    if (!all && files >= 12) break;
    const auto file = CodeFile::Open(path);
    if (!file.ok() || !file->is_cpp()) continue;
    ++files;
    Tried tried;
    // Functions spread over the file, none so long that trying all its offsets takes seconds.
    const size_t step = std::max<size_t>(1, file->functions().size() / per_file);
    for (size_t i = 0; i < file->functions().size(); i += step) {
      if (file->functions()[i].bytes.size() <= 2048) TryEveryOffset(file->functions()[i], tried);
    }
    if (HasFatalFailure()) return;
    EXPECT_EQ(tried.passed, 0u) << path;
    EXPECT_LE(tried.unknown, tried.functions / 100) << path;
    std::printf(
        "  %-52s %4lu functions, %7lu offsets, %6lu inside an instruction, of every 16th "
        "%5lu look like a site\n",
        path.substr(path.rfind('/') + 1).c_str(), tried.functions, tried.offsets, tried.inside,
        tried.plausible);
  }
  EXPECT_GE(files, 5);
}

// What may vouch for a boundary close to a site: each row of an unwind table begins behind an
// instruction. So the agent need not know the function's start.
TEST(SiteBoundary, UnwindRowsBeginInstructions) {
  std::vector<std::string> paths = SystemLibraries(4 << 20);
  paths.insert(paths.begin(), "/proc/self/exe");
  uint64_t rows = 0, wrong = 0, distance = 0, sites = 0;
  int files = 0;
  for (const std::string& path : paths) {
    if (files >= 12) break;
    const auto file = CodeFile::Open(path);
    if (!file.ok() || !file->is_cpp()) continue;
    const auto symbolizer = Symbolizer::Create({});
    const auto module = symbolizer->OpenModule(path, "");
    if (!module.ok()) continue;
    const auto table = (*module)->BuildUnwindTable();
    if (!table.ok()) continue;
    ++files;
    for (const FunctionCode& function : file->functions()) {
      std::vector<bool> starts(function.bytes.size() + 1);
      size_t at = 0;
      while (at < function.bytes.size()) {
        starts[at] = true;
        const uint32_t length = arch::InstructionBytes(function.bytes.subspan(at));
        if (length == 0) break;
        at += length;
      }
      if (at != function.bytes.size()) continue;
      starts[at] = true;
      const uint64_t first = function.address - table->base.value;
      auto row = std::lower_bound(table->pcs.begin(), table->pcs.end(), first);
      uint64_t last_row = 0;
      for (; row != table->pcs.end() && *row < first + function.bytes.size(); ++row) {
        ++rows;
        wrong += !starts[*row - first];
        distance += (*row - first - last_row) * (*row - first - last_row) / 2;
        last_row = *row - first;
      }
      const uint64_t rest = function.bytes.size() - last_row;
      distance += rest * rest / 2;
      sites += function.bytes.size();
    }
  }
  ASSERT_GT(sites, 0u);
  std::printf(
      "  %d files, %lu rows, %lu of them inside an instruction; %lu bytes from the last row "
      "to an address on average\n",
      files, rows, wrong, distance / sites);
  EXPECT_GE(files, 5);
  EXPECT_EQ(wrong, 0u);
}

constexpr uint64_t kUsualLoadAddress = 0x555555554000;

// Inline functions that two units compile to different code of the same size, as other options or
// another version of a header make them. The linker keeps one copy; GNU ld lets the other unit's
// line table point into the kept one all the same (binutils: _bfd_elf_check_kept_section), so its
// rows lie at places where the kept copy has no instruction. GCC 12's GlobalNames destructor was
// such a case: a row three bytes inside of `add rax, 16`.
TEST(SiteBoundary, RowsOfADiscardedCopyAreRefused) {
#if defined(__GNUC__) && !defined(__clang__)
  const uint64_t function = DiscardedCopyAddress();
  ASSERT_EQ(function, OtherDiscardedCopyAddress()) << "one copy is kept";
  const auto* const code = reinterpret_cast<const uint8_t*>(function);
  const bool kept_long = code[0] == 0x48;  // add rax, 16 in four bytes; else three and one
  Dl_info info{};
  ASSERT_NE(dladdr(code, &info), 0);
  const uint64_t link = function - reinterpret_cast<uint64_t>(info.dli_fbase);
  const auto symbolizer = Symbolizer::Create({});
  const auto module = symbolizer->OpenModule("/proc/self/exe", "");
  ASSERT_TRUE(module.ok());
  const auto statements = (*module)->StatementAddresses(1'000'000);
  if (!statements.ok()) GTEST_SKIP() << "built without debug information";
  uint64_t inside = 0, right = 0;
  for (const LinkAddress statement : *statements) {
    if (statement.value < link || statement.value >= link + 8) continue;
    const uint64_t offset = statement.value - link;
    const Status status = CheckInstructionBoundary({code, 8}, function, function + offset);
    const bool begins = !(kept_long && offset == 3);
    EXPECT_EQ(status.ok(), begins) << offset << " " << status.ToString();
    if (!begins) {
      EXPECT_EQ(status.code(), Code::kUnsafeSite);
      EXPECT_NE(status.message().find("inside an instruction"), std::string::npos);
    }
    ++(begins ? right : inside);
  }
  EXPECT_GE(right, 1u);
  if (inside == 0) GTEST_SKIP() << "this linker drops the rows of discarded copies";
#else
  GTEST_SKIP() << "written for GCC's assembler";
#endif
}

// Of this program (-O2, with libraries linked in) every statement begins an instruction, but for
// the few of discarded copies (above). Those are refused, for that reason, and hardly anything else
// is.
TEST(SiteBoundary, StatementsBeginInstructions) {
  const auto file = CodeFile::Open("/proc/self/exe");
  ASSERT_TRUE(file.ok());
  const auto symbolizer = Symbolizer::Create({});
  const auto module = symbolizer->OpenModule("/proc/self/exe", "");
  ASSERT_TRUE(module.ok());
  const auto table = (*module)->BuildUnwindTable();
  ASSERT_TRUE(table.ok());
  const auto statements = (*module)->StatementAddresses(1'000'000);
  if (!statements.ok()) GTEST_SKIP() << "built without debug information";
  uint64_t sites = 0, inside = 0, refused = 0;
  std::map<std::string, uint64_t> reasons;
  for (const LinkAddress statement : *statements) {
    const uint64_t site = statement.value;
    const auto at = file->At(site);
    const auto row =
        std::upper_bound(table->pcs.begin(), table->pcs.end(), site - table->base.value);
    if (at.empty() || row == table->pcs.begin()) continue;
    const uint64_t boundary = table->base.value + row[-1];
    ++sites;
    const Status begins = CheckInstructionBoundary(file->At(boundary), boundary, site);
    if (!begins.ok()) {
      ++inside;
      EXPECT_EQ(begins.code(), Code::kUnsafeSite);
      EXPECT_NE(begins.message().find("inside an instruction"), std::string::npos)
          << std::hex << site << " from " << boundary << ": " << begins.ToString();
      continue;
    }
    if (sites % 4 != 0) continue;  // the disassembler is slow
    const size_t before = std::min<uint64_t>(site - boundary, arch::kContextBytes);
    const auto analysis = arch::AnalyzeSite(
        {file->At(site - before).first(before),
         at.first(std::min<size_t>(at.size(), arch::kContextBytes)), kUsualLoadAddress + site});
    if (analysis.ok()) continue;
    ++refused;
    ++reasons[analysis.status().message()];
  }
  std::printf("  %lu statement addresses, %lu inside an instruction, %lu refused\n", sites, inside,
              refused);
  for (const auto& [reason, count] : reasons) {
    std::printf("    %6lu x %s\n", count, reason.c_str());
  }
  EXPECT_GT(sites, 1000u);
  // 24 of 147,464, all in one constructor of a header-only library.
  EXPECT_LE(inside, sites / 2'000 + 1);
  EXPECT_LT(refused, sites / 200 + 1);
}

bool IsDirectBranch(const arch::Instruction& insn) {
  if (insn.encoding != arch::Encoding::kLegacy) return false;
  const uint8_t op = insn.opcode;
  if (insn.map == arch::OpcodeMap::k0F) return (op & 0xF0) == 0x80;
  return insn.map == arch::OpcodeMap::kOneByte &&
         ((op & 0xF0) == 0x70 || (op >= 0xE0 && op <= 0xE3) || op == 0xE8 || op == 0xE9 ||
          op == 0xEB);
}

// Sites that a direct branch of the same function leads into, past their first byte.
std::set<size_t> BranchedInto(const FunctionCode& function) {
  std::vector<size_t> starts;
  std::vector<size_t> targets;
  for (size_t at = 0; at < function.bytes.size();) {
    const auto insn = arch::DecodeInstruction(function.bytes.subspan(at));
    if (!insn) return {};
    starts.push_back(at);
    at += insn->length;
    if (!IsDirectBranch(*insn)) continue;
    const int64_t target = static_cast<int64_t>(at) + insn->BranchDisplacement();
    if (target >= 0 && target < static_cast<int64_t>(function.bytes.size())) {
      targets.push_back(static_cast<size_t>(target));
    }
  }
  std::set<size_t> sites;
  for (const size_t target : targets) {
    const auto behind = std::upper_bound(starts.begin(), starts.end(), target);
    if (*(behind - 1) != target) sites.insert(*(behind - 1));
  }
  return sites;
}

// glibc's malloc and its loader branch past LOCK prefixes: a patch there would be run from its
// second byte on.
TEST(SiteBoundary, NoBranchLeadsIntoAnInstructionThatMayBeProbed) {
  std::vector<std::string> paths = SystemLibraries(
      getenv("STILLFRAME_ALL_LIBRARIES") != nullptr ? UINT64_MAX : uint64_t{2} << 20);
  uint64_t functions = 0, found = 0;
  for (const std::string& path : paths) {
    const auto file = CodeFile::Open(path);
    if (!file.ok()) continue;
    for (const FunctionCode& function : file->functions()) {
      ++functions;
      for (const size_t at : BranchedInto(function)) {
        ++found;
        const size_t before = std::min<size_t>(at, arch::kContextBytes);
        const size_t after = std::min<size_t>(function.bytes.size() - at, arch::kContextBytes);
        EXPECT_FALSE(arch::AnalyzeSite({function.bytes.subspan(at - before, before),
                                        function.bytes.subspan(at, after), function.address + at})
                         .ok())
            << path << " at " << std::hex << function.address + at;
      }
    }
  }
  std::printf("  %lu functions, %lu instructions that a branch leads into: all refused\n",
              functions, found);
  EXPECT_GT(functions, 10000u);
  // je over a lock prefix, as glibc has it.
  const std::vector<uint8_t> text = {0x74, 0x01, 0xF0, 0x48, 0x0F, 0xB1, 0x19, 0xC3, 0x0F,
                                     0x1F, 0x44, 0x00, 0x00, 0x0F, 0x1F, 0x44, 0x00, 0x00};
  const std::span<const uint8_t> bytes(text);
  EXPECT_FALSE(arch::AnalyzeSite({bytes.first(2), bytes.subspan(2), 0x401000}).ok());
  EXPECT_TRUE(arch::AnalyzeSite({{}, bytes.subspan(2), 0x401000}).ok());
}

}  // namespace
}  // namespace stillframe::probe
