// ELF reading, separate debug files, symbols, and what damaged files do.
#include <chrono>
#include <map>
#include <set>

#include "symbolizer/call_sites.h"
#include "symbolizer/cfi_table.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/line_sites.h"
#include "symbolizer/section_bytes.h"
#include "symbolizer/symbol_table.h"
#include "tests/symbolizer/symbols_support.h"

namespace stillframe {
namespace {

using symbols_test::Mutator;
using symbols_test::OpenProgram;
using symbols_test::OpenTarget;
using symbols_test::ReadAll;
using symbols_test::RunTool;
using symbols_test::ScratchFolder;
using symbols_test::SplitLines;
using symbols_test::TargetPath;
using symbols_test::WriteAll;

std::string BuildIdByTool(const std::string& path) {
  const std::string text =
      RunTool("readelf -n '" + path + "' 2>/dev/null | sed -n 's/.*Build ID: //p'");
  return text.substr(0, text.find('\n'));
}

TEST(SymbolsElf, BuildIdIsReadelfs) {
  for (const std::string& path : {TargetPath("gcc_O2_dwarf5"), TargetPath("gcc_nodebug"),
                                  std::string("/lib/x86_64-linux-gnu/libc.so.6"),
                                  std::string("/lib64/ld-linux-x86-64.so.2")}) {
    const auto elf = ElfFile::Open(path);
    ASSERT_TRUE(elf.ok()) << elf.status().ToString();
    EXPECT_EQ((*elf)->build_id(), BuildIdByTool(path));
    EXPECT_EQ((*elf)->build_id().size(), 40u);
  }
}

TEST(SymbolsElf, OtherFilesAreRefusedWithAReason) {
  const ScratchFolder folder;
  EXPECT_EQ(ElfFile::Open(folder.path() + "/none").status().code(), Code::kIoError);
  EXPECT_EQ(ElfFile::Open(folder.path()).status().code(), Code::kUnsupported);
  WriteAll(folder.path() + "/text", std::string(1000, 'x'));
  EXPECT_EQ(ElfFile::Open(folder.path() + "/text").status().code(), Code::kCorrupt);
  RunTool("mkfifo " + folder.path() + "/pipe");
  EXPECT_EQ(ElfFile::Open(folder.path() + "/pipe").status().code(), Code::kUnsupported);
}

// A stripped program with its debug file in `.build-id`, in `.debug` by link, and of another build.
class SymbolsDebugFile : public testing::Test {
 protected:
  void SetUp() override {
    program_ = folder_.path() + "/program";
    debug_ = folder_.path() + "/program.dbg";
    RunTool("objcopy --only-keep-debug '" + TargetPath("gcc_O2_dwarf5") + "' " + debug_);
    RunTool("cd " + folder_.path() + " && objcopy --strip-all --add-gnu-debuglink=program.dbg '" +
            TargetPath("gcc_O2_dwarf5") + "' program");
  }
  DebugFile Find() {
    auto elf = ElfFile::Open(program_);
    EXPECT_TRUE(elf.ok()) << elf.status().ToString();
    return FindDebugFile(**elf, program_, {folder_.path() + "/root"});
  }

  ScratchFolder folder_;
  std::string program_;
  std::string debug_;
};

TEST_F(SymbolsDebugFile, IsFoundByDebugLink) {
  const DebugFile beside = Find();
  EXPECT_TRUE(beside.status.ok()) << beside.status.ToString();
  EXPECT_EQ(beside.path, debug_);
  RunTool("mkdir " + folder_.path() + "/.debug && mv " + debug_ + " " + folder_.path() +
          "/.debug/");
  EXPECT_EQ(Find().path, folder_.path() + "/.debug/program.dbg");
}

TEST_F(SymbolsDebugFile, IsFoundByBuildId) {
  const std::string id = BuildIdByTool(program_);
  const std::string place = folder_.path() + "/root/.build-id/" + id.substr(0, 2);
  RunTool("mkdir -p " + place + " && mv " + debug_ + " " + place + "/" + id.substr(2) + ".debug");
  const DebugFile found = Find();
  EXPECT_TRUE(found.status.ok()) << found.status.ToString();
  EXPECT_EQ(found.path, place + "/" + id.substr(2) + ".debug");
  ASSERT_NE(found.separate, nullptr);
  auto elf = ElfFile::Open(program_);
  ASSERT_TRUE(elf.ok());
  auto debug = ModuleDebug::Open(**elf, *found.separate);
  ASSERT_TRUE(debug.ok()) << debug.status().ToString();
  EXPECT_TRUE((*debug)->lines.Find("shapes.cc")->size() == 1);
  EXPECT_GT(SymbolTable::Read(**elf, found.separate.get()).size(),
            SymbolTable::Read(**elf, nullptr).size());
}

TEST_F(SymbolsDebugFile, OfAnotherBuildIsRefused) {
  RunTool("objcopy --only-keep-debug '" + TargetPath("gcc_O0_dwarf5") + "' " + debug_);
  const DebugFile found = Find();
  EXPECT_EQ(found.status.code(), Code::kBuildMismatch);
  EXPECT_NE(found.status.message().find(debug_), std::string::npos) << found.status.ToString();
  EXPECT_EQ(found.path, "");
}

TEST_F(SymbolsDebugFile, WithoutBuildIdIsCheckedByCrc) {
  RunTool("objcopy -R .note.gnu.build-id " + program_ + " && objcopy -R .note.gnu.build-id " +
          debug_);
  EXPECT_EQ(Find().status.code(), Code::kBuildMismatch);  // the CRC is of the file as it was
  RunTool("cd " + folder_.path() +
          " && objcopy -R .gnu_debuglink program && "
          "objcopy --add-gnu-debuglink=program.dbg program");
  EXPECT_TRUE(Find().status.ok()) << Find().status.ToString();
}

TEST_F(SymbolsDebugFile, MissingIsNoDebugInfo) {
  RunTool("rm " + debug_);
  EXPECT_EQ(Find().status.code(), Code::kNoDebugInfo);
}

// Every sized function and object of `nm -S` is found by its address, at the start and inside.
TEST(SymbolsTable, AgreesWithNm) {
  const std::string path = TargetPath("gcc_O2_dwarf5");
  auto elf = ElfFile::Open(path);
  ASSERT_TRUE(elf.ok());
  const SymbolTable table = SymbolTable::Read(**elf, nullptr);
  std::map<std::string, std::set<std::string>> names;
  std::map<std::string, uint64_t> sizes;
  for (const std::string& line : SplitLines(RunTool("nm -S -C --defined-only '" + path + "'"))) {
    if (line.size() < 38 || line[16] != ' ' || line[33] != ' ') continue;
    names[line.substr(0, 16)].insert(line.substr(36));
    sizes[line.substr(0, 16)] = std::stoull(line.substr(17, 16), nullptr, 16);
  }
  EXPECT_GT(names.size(), 5u);
  for (const auto& [text, expected] : names) {
    const uint64_t address = std::stoull(text, nullptr, 16);
    const auto start = table.Find(LinkAddress(address));
    ASSERT_TRUE(start.has_value()) << text;
    EXPECT_EQ(expected.count(start->name), 1u) << start->name;
    EXPECT_EQ(start->offset, 0u);
    const auto last = table.Find(LinkAddress(address + sizes[text] - 1));
    ASSERT_TRUE(last.has_value()) << text;
    EXPECT_EQ(last->offset, sizes[text] - 1);
  }
  EXPECT_FALSE(table.Find(LinkAddress(0x10)).has_value());
}

// Made as the GDB manual ("MiniDebugInfo") and Fedora's packages do.
TEST(SymbolsTable, ReadsWhatAStrippedProgramWasLeft) {
  const ScratchFolder folder;
  RunTool("cd " + folder.path() + " && cp '" + TargetPath("gcc_O2_dwarf5") +
          "' program && nm program --format=posix --defined-only | awk '$2 ~ /[Tt]/ {print $1}' | "
          "sort > names && objcopy --only-keep-debug program debug && "
          "objcopy -S --keep-symbols=names debug mini && cp program whole && strip -s program && "
          "xz mini && objcopy --add-section .gnu_debugdata=mini.xz program packed");
  const auto area = [&folder](const std::string& name) {
    const auto elf = ElfFile::Open(folder.path() + "/" + name);
    EXPECT_TRUE(elf.ok());
    const auto found = SymbolTable::Read(**elf, nullptr).FindByName("_ZN6shapes4AreaEii");
    return found ? found->value : 0;
  };
  const uint64_t address = area("whole");
  EXPECT_NE(address, 0u);
  EXPECT_EQ(area("program"), 0u);
  EXPECT_EQ(area("packed"), address);
  // Damaged, it is as if there were none.
  const auto elf = ElfFile::Open(folder.path() + "/packed");
  const ElfSection* const section = (*elf)->FindSection(".gnu_debugdata");
  ASSERT_NE(section, nullptr);
  std::string bytes = ReadAll(folder.path() + "/packed");
  for (const uint64_t at : {uint64_t{0}, uint64_t{12}, section->size_bytes / 2}) {
    std::string damaged = bytes;
    damaged[section->offset.value + at] ^= 0x55;
    WriteAll(folder.path() + "/damaged", damaged);
    EXPECT_EQ(area("damaged"), 0u) << at;
  }
}

TEST(SymbolsTable, NamesPltSlotsAsObjdumpDoes) {
  for (const char* variant : {"gcc_O2_dwarf5", "gcc_cet", "gcc_nopie"}) {
    SCOPED_TRACE(variant);
    auto elf = ElfFile::Open(TargetPath(variant));
    ASSERT_TRUE(elf.ok());
    const SymbolTable table = SymbolTable::Read(**elf, nullptr);
    size_t compared = 0;
    for (const std::string& line :
         SplitLines(RunTool("objdump -d '" + TargetPath(variant) + "' | grep '@plt>:$'"))) {
      const uint64_t address = std::stoull(line, nullptr, 16);
      const size_t open = line.find('<');
      const auto found = table.Find(LinkAddress(address));
      ASSERT_TRUE(found.has_value()) << line;
      EXPECT_EQ(found->name, line.substr(open + 1, line.size() - open - 3));
      ++compared;
    }
    EXPECT_GE(compared, 1u);
  }
}

TEST(SymbolsCalls, CallersAreTheReturnAddressesOfTheDisassembly) {
  for (const char* variant :
       {"gcc_O2_dwarf4", "gcc_O2_dwarf5", "clang_O2_dwarf4", "clang_O2_dwarf5"}) {
    SCOPED_TRACE(variant);
    OpenProgram program = OpenTarget(TargetPath(variant));
    ASSERT_NE(program.debug, nullptr);
    // The instruction after each `call <shapes::Area>`.
    std::set<uint64_t> expected;
    const std::string text = RunTool("objdump -d --no-show-raw-insn '" + TargetPath(variant) +
                                     "' | grep -A1 'call.*<_ZN6shapes4AreaEii>' | grep -v '^--'");
    const std::vector<std::string> lines = SplitLines(text);
    for (size_t i = 0; i + 1 < lines.size(); ++i) {
      if (lines[i].find("call") == std::string::npos) continue;
      expected.insert(std::stoull(lines[i + 1], nullptr, 16));
    }
    ASSERT_FALSE(expected.empty());
    const uint64_t entry = std::stoull(
        RunTool("nm '" + TargetPath(variant) + "' | grep _ZN6shapes4AreaEii"), nullptr, 16);
    std::set<uint64_t> actual;
    for (const LinkAddress address :
         program.debug->calls.FindCallers(program.debug->units, LinkAddress(entry + 1), 100)) {
      actual.insert(address.value);
    }
    EXPECT_EQ(actual, expected);
  }
}

// Everything that reads files, over one file; must end with values or errors.
void ReadEverything(const std::string& path) {
  auto elf = ElfFile::Open(path);
  if (!elf.ok()) return;
  (void)BuildModuleUnwindTable(**elf, nullptr);
  const SymbolTable symbols = SymbolTable::Read(**elf, nullptr);
  (void)symbols.Find(LinkAddress(0x1180));
  const DebugFile found = FindDebugFile(**elf, path, {});
  if (!found.status.ok()) return;
  auto debug = ModuleDebug::Open(**elf, found.separate ? *found.separate : **elf);
  if (!debug.ok()) return;
  (void)(*debug)->lines.Paths("");
  for (const char* name : {"main.cc", "shapes.cc", "shapes.h"}) {
    for (uint32_t line = 5; line < 40; line += 3) (void)FindLineSites(**debug, name, line);
  }
  (void)(*debug)->lines.AllStatements(100000);
  for (const LinkAddress address : (*debug)->lines.AllStatements(20)) {
    (void)(*debug)->calls.FindCallers((*debug)->units, address, 10);
  }
}

void MutationLoop(const std::string& variant, uint32_t seed, int count) {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/mutated";
  const auto sound = ElfFile::Open(TargetPath(variant));
  ASSERT_TRUE(sound.ok());
  Mutator mutator(ReadAll(TargetPath(variant)), seed);
  for (int i = 0; i < count; ++i) {
    WriteAll(path, mutator.Next((*sound)->sections()));
    const auto start = std::chrono::steady_clock::now();
    ReadEverything(path);
    const auto took = std::chrono::steady_clock::now() - start;
    ASSERT_LT(took, std::chrono::seconds(5)) << variant << " seed " << seed << " round " << i;
  }
}

TEST(SymbolsSections, CompressedOnesAreThePlainOnes) {
  const auto plain = ElfFile::Open(TargetPath("gcc_O2_dwarf5"));
  ASSERT_TRUE(plain.ok());
  const ScratchFolder folder;
  for (const std::string& path :
       {TargetPath("gcc_zstd"), folder.path() + "/zlib", folder.path() + "/zlib-gnu"}) {
    SCOPED_TRACE(path);
    if (path.starts_with(folder.path())) {
      RunTool("objcopy --compress-debug-sections=" + path.substr(path.rfind('/') + 1) + " '" +
              TargetPath("gcc_O2_dwarf5") + "' " + path);
    }
    const auto packed = ElfFile::Open(path);
    ASSERT_TRUE(packed.ok());
    size_t compressed = 0;
    for (const ElfSection& section : (*plain)->sections()) {
      if (!section.name.starts_with(".debug_")) continue;
      const ElfSection* const same = FindByPlainName(**packed, section.name);
      ASSERT_NE(same, nullptr) << section.name;
      compressed += IsCompressed(*same) ? 1 : 0;
      const auto wanted = (*plain)->ReadSection(section);
      const auto read = ReadUncompressed(**packed, *same, 1 << 20);
      ASSERT_TRUE(wanted.ok());
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      EXPECT_EQ(*read, *wanted) << section.name;
      EXPECT_EQ(ReadUncompressed(**packed, *same, wanted->size() - 1).status().code(),
                Code::kOverLimit);
    }
    EXPECT_GE(compressed, 3u);
  }
}

// Every field of the compression header, and the end of the data.
TEST(SymbolsSections, DamagedZstdIsRefusedByName) {
  const std::string path = TargetPath("gcc_zstd");
  const std::string sound = ReadAll(path);
  const auto elf = ElfFile::Open(path);
  ASSERT_TRUE(elf.ok());
  const ElfSection* const section = (*elf)->FindSection(".debug_info");
  ASSERT_TRUE(section != nullptr && IsCompressed(*section));
  const ScratchFolder folder;
  const auto read = [&](size_t at, uint64_t value, size_t bytes) {
    std::string damaged = sound;
    memcpy(&damaged[section->offset.value + at], &value, bytes);
    WriteAll(folder.path() + "/damaged", damaged);
    const auto file = ElfFile::Open(folder.path() + "/damaged");
    EXPECT_TRUE(file.ok());
    const auto result = ReadUncompressed(**file, *(*file)->FindSection(".debug_info"), 1 << 30);
    EXPECT_FALSE(result.ok());
    EXPECT_NE(result.status().message().find(".debug_info"), std::string::npos);
    EXPECT_FALSE(DwarfFile::Open(**file).ok());
    return result.status();
  };
  const auto size = UncompressedSize(**elf, *section);
  ASSERT_TRUE(size.ok());
  const Status unknown = read(0, 77, 4);
  EXPECT_EQ(unknown.code(), Code::kUnsupported);
  EXPECT_NE(unknown.message().find("type 77"), std::string::npos) << unknown.ToString();
  EXPECT_EQ(read(0, 1, 4).code(), Code::kCorrupt);  // zstd data that says it is zlib's
  EXPECT_EQ(read(8, *size + 1, 8).code(), Code::kCorrupt);
  EXPECT_EQ(read(8, *size - 1, 8).code(), Code::kCorrupt);
  EXPECT_NE(read(8, UINT64_MAX, 8).message().find("absurd"), std::string::npos);
  EXPECT_EQ(read(24, 0, 4).code(), Code::kCorrupt);  // the frame's magic number
  EXPECT_EQ(read(section->size_bytes - 8, UINT64_MAX, 8).code(), Code::kCorrupt);
}

TEST(SymbolsCorrupt, MutatedGccBinaryNeverCrashesOrHangs) { MutationLoop("gcc_O2_dwarf5", 1, 300); }
TEST(SymbolsCorrupt, MutatedClangBinaryNeverCrashesOrHangs) {
  MutationLoop("clang_O2_dwarf4", 2, 300);
}
TEST(SymbolsCorrupt, MutatedCompressedBinaryNeverCrashesOrHangs) {
  MutationLoop("gcc_compressed", 3, 200);
}
TEST(SymbolsCorrupt, MutatedZstdBinaryNeverCrashesOrHangs) { MutationLoop("gcc_zstd", 4, 200); }

// A length field that says "everything" in each place of the frame information.
TEST(SymbolsCorrupt, FrameInformationIsCheckedAtEveryByte) {
  auto elf = ElfFile::Open(TargetPath("gcc_O2_dwarf5"));
  ASSERT_TRUE(elf.ok());
  const ElfSection* section = (*elf)->FindSection(".eh_frame");
  ASSERT_NE(section, nullptr);
  const auto sound = (*elf)->ReadSection(*section);
  ASSERT_TRUE(sound.ok());
  for (size_t at = 0; at < sound->size(); ++at) {
    FileBytes bytes = *sound;
    for (const uint8_t value : {uint8_t{0xff}, uint8_t{0x80}, uint8_t{0}}) {
      bytes[at] = value;
      const auto table =
          BuildUnwindTableFrom({bytes, section->address, CfiFormat::kEhFrame}, **elf);
      if (!table.ok()) continue;
      EXPECT_EQ(table->pcs.size(), table->row_rules.size());
      EXPECT_TRUE(std::is_sorted(table->pcs.begin(), table->pcs.end()));
    }
  }
}

}  // namespace
}  // namespace stillframe
