// Places that are never probed, each with its reason, and text compared with its file.
#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

#include "agent/probe/forbidden_ranges.h"
#include "agent/probe/text_check.h"
#include "tests/agent/probe/probe_testing.h"

// A restartable sequence as librseq and tcmalloc write them: [start, start + length) and its entry
// in the section that the kernel's users agree on. It is never run.
asm(R"(
  .pushsection __rseq_cs, "aw"
  .balign 32
stillframe_test_rseq_cs:
  .long 0, 0
  .quad stillframe_test_rseq_start
  .quad stillframe_test_rseq_commit - stillframe_test_rseq_start
  .quad stillframe_test_rseq_abort
  .popsection
  .pushsection .text
  .globl stillframe_test_rseq_start, stillframe_test_rseq_commit
  .hidden stillframe_test_rseq_start, stillframe_test_rseq_commit
stillframe_test_rseq_start:
  movl $7, %eax
  addl $1, %eax
stillframe_test_rseq_commit:
  addl $2, %eax
  addl $3, %eax
  ret
  .long 0x53053053
stillframe_test_rseq_abort:
  ret
  nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop
  .popsection
)");
extern "C" const uint8_t stillframe_test_rseq_start[];
extern "C" const uint8_t stillframe_test_rseq_commit[];

namespace {

using Function = int (*)();
int Chosen() { return 42; }

}  // namespace
extern "C" {
__attribute__((used, visibility("hidden"))) Function stillframe_test_resolver() { return Chosen; }
__attribute__((ifunc("stillframe_test_resolver"), visibility("hidden"))) int
stillframe_test_ifunc();
}

namespace stillframe::probe {
namespace {

Mapping MappingOf(uint64_t address) {
  const auto maps = ReadProcessMaps();
  EXPECT_TRUE(maps.ok());
  for (const Mapping& map : *maps) {
    if (map.start.value <= address && address < map.end.value) return map;
  }
  ADD_FAILURE() << "nothing is mapped there";
  return Mapping();
}

Status Ask(uint64_t address) {
  auto installer = MakeInstaller();
  const Mapping mapping = MappingOf(address);
  const ModuleText module{mapping.path, mapping.start, mapping.end};
  return installer->Prepare(RuntimeAddress(address), module).status();
}

void ExpectRefused(uint64_t address, const std::string& why) {
  const Status status = Ask(address);
  EXPECT_EQ(status.code(), Code::kUnsafeSite) << status.ToString();
  EXPECT_NE(status.message().find(why), std::string::npos) << status.message();
}

TEST(ForbiddenPlaces, KernelPages) {
  const uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
  if (vdso == 0) GTEST_SKIP() << "no vdso here";
  ExpectRefused(vdso + 0x800, "[vdso]");
}

TEST(ForbiddenPlaces, TheLoader) {
  const auto maps = ReadProcessMaps();
  ASSERT_TRUE(maps.ok());
  for (const Mapping& map : *maps) {
    if (!map.executable || map.path.find("/ld-linux") == std::string::npos) continue;
    ExpectRefused(map.start.value + 0x100, "dynamic loader");
    return;
  }
  FAIL() << "no loader is mapped";
}

TEST(ForbiddenPlaces, RestartableSequences) {
  const auto start = reinterpret_cast<uint64_t>(stillframe_test_rseq_start);
  const auto commit = reinterpret_cast<uint64_t>(stillframe_test_rseq_commit);
  ExpectRefused(start, "restartable sequence");
  ExpectRefused(start + 5, "restartable sequence");
  EXPECT_TRUE(Ask(commit).ok()) << Ask(commit).ToString();
}

TEST(ForbiddenPlaces, LinkageTables) {
  const Mapping own = MappingOf(reinterpret_cast<uint64_t>(stillframe_test_rseq_start));
  const auto system = MakeLinuxTextSystem();
  const auto ranges = ReadForbiddenRanges(own, *system);
  ASSERT_TRUE(ranges.ok()) << ranges.status().ToString();
  int tables = 0;
  for (const ForbiddenRange& range : *ranges) {
    if (std::string(range.why).find("linkage table") == std::string::npos) continue;
    ++tables;
    EXPECT_EQ(MappingOf(range.start).path, own.path);
    ExpectRefused(range.start, "linkage table");
    ExpectRefused(range.end - 16, "linkage table");
  }
  EXPECT_GE(tables, 1);
}

TEST(ForbiddenPlaces, IfuncResolvers) {
  EXPECT_EQ(stillframe_test_ifunc(), 42);
  const auto resolver = reinterpret_cast<uint64_t>(&stillframe_test_resolver);
  ExpectRefused(resolver, "ifunc resolver");
}

TEST(ForbiddenPlaces, SignalReturn) {
  TestModule module(4096);
  module.Put(64, "\x48\xC7\xC0\x0F\x00\x00\x00\x0F\x05\x90\x90\x90\x90\x90\x90\x90\x90"sv);
  module.Seal();
  auto installer = MakeInstaller();
  for (const uint64_t offset : {64, 71}) {
    const auto prepared = installer->Prepare(module.site(offset), module.text());
    ASSERT_FALSE(prepared.ok());
    EXPECT_NE(prepared.status().message().find("signal return"), std::string::npos);
  }
}

TEST(ForbiddenPlaces, AFileThatIsGoneHasNoRanges) {
  const auto system = MakeLinuxTextSystem();
  Mapping mapping = MappingOf(reinterpret_cast<uint64_t>(stillframe_test_rseq_start));
  mapping.inode += 1;
  EXPECT_EQ(ReadForbiddenRanges(mapping, *system).status().code(), Code::kNotFound);
}

// The text that runs is the file's again, byte for byte, and a probe in it is seen while it is in.
TEST(TextCheck, SeesAProbeAndThatItIsGone) {
  const auto site = reinterpret_cast<uint64_t>(stillframe_test_rseq_commit);
  const auto system = MakeLinuxTextSystem();
  const auto compare = [&] {
    const auto maps = ReadProcessMaps();
    return CompareTextWithFiles(maps.ok() ? *maps : std::vector<Mapping>(), *system);
  };
  const TextReport before = compare();
  EXPECT_EQ(before.different_bytes, 0u) << before.first.front().path;
  EXPECT_GT(before.compared_bytes, 1u << 20);
  auto installer = MakeInstaller();
  const Mapping mapping = MappingOf(site);
  const ModuleText module{mapping.path, mapping.start, mapping.end};
  ASSERT_TRUE(PrepareAndArm(*installer, RuntimeAddress(site), module).ok());
  const TextReport armed = compare();
  ASSERT_GE(armed.different_bytes, 1u);
  EXPECT_LE(armed.different_bytes, 15u);
  EXPECT_GE(armed.first.front().address, site);
  EXPECT_LT(armed.first.front().address, site + 16);
  ASSERT_TRUE(installer->Disarm(RuntimeAddress(site)).ok());
  EXPECT_EQ(compare().different_bytes, 0u);
}

}  // namespace
}  // namespace stillframe::probe
