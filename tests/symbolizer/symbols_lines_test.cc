// Statement addresses against binutils' decoding of the same line tables.
#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "plan/line_part.h"
#include "symbolizer/line_program.h"
#include "symbolizer/line_sites.h"
#include "symbolizer/path_match.h"
#include "tests/symbolizer/symbols_support.h"

namespace stillframe {
namespace {

using symbols_test::MarkedLine;
using symbols_test::OpenProgram;
using symbols_test::OpenTarget;
using symbols_test::RunTool;
using symbols_test::SplitLines;
using symbols_test::TargetPath;

// By address the view of the line's first statement there.
using Oracle = std::map<std::pair<std::string, uint32_t>, std::map<uint64_t, uint32_t>>;

// (base name, line) -> is_stmt addresses and views, from `readelf --debug-dump=decodedline`:
//   FILE  LINE  ADDRESS  [VIEW]  x      ("x" marks a statement; "-" as line ends a sequence)
Oracle DecodedLines(const std::string& path, const ElfFile& module) {
  Oracle oracle;
  struct Row {
    std::string file;
    uint32_t line;
    uint64_t address;
    uint32_t view;
    bool is_stmt;
  };
  std::vector<Row> sequence;
  const std::string text = RunTool("readelf -W --debug-dump=decodedline '" + path + "'");
  for (const std::string& line : SplitLines(text)) {
    std::istringstream words(line);
    std::string file, number, address, word;
    if (!(words >> file >> number >> address) || address.substr(0, 1) != "0") continue;
    bool is_stmt = false;
    uint32_t view = 0;
    while (words >> word) {
      is_stmt = is_stmt || word == "x";
      if (word.find_first_not_of("0123456789") == std::string::npos) {
        view = static_cast<uint32_t>(std::stoul(word));
      }
    }
    const uint64_t value = std::stoull(address, nullptr, 16);
    if (number != "-" && number.find_first_not_of("0123456789") != std::string::npos) continue;
    if (number != "-") {
      sequence.push_back({file, static_cast<uint32_t>(std::stoul(number)), value, view, is_stmt});
      continue;
    }
    for (const Row& row : sequence) {
      if (!module.IsCode(LinkAddress(sequence[0].address)) || row.address >= value) continue;
      if (row.is_stmt && row.line != 0)
        oracle[{std::string(Basename(row.file)), row.line}].emplace(row.address, row.view);
    }
    sequence.clear();
  }
  return oracle;
}

// Without what begins no statement.
std::map<uint64_t, uint32_t> Values(const std::vector<Statement>& statements) {
  std::map<uint64_t, uint32_t> values;
  for (const Statement& statement : statements) {
    if (!statement.is_run) values.emplace(statement.address.value, statement.view);
  }
  return values;
}

std::string SourcePath(OpenProgram& program, const std::string& name) {
  const auto files = program.debug->lines.Find(name);
  EXPECT_TRUE(files.ok() && files->size() == 1) << name;
  return files.ok() && !files->empty() ? (*files)[0].path : "";
}

TEST(SymbolsLines, StatementsOfEveryLineAgreeWithReadelf) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    OpenProgram program = OpenTarget(TargetPath(variant));
    ASSERT_NE(program.debug, nullptr);
    const Oracle oracle = DecodedLines(TargetPath(variant), *program.elf);
    size_t compared = 0;
    for (const char* name : {"main.cc", "shapes.cc", "shapes.h"}) {
      const auto files = program.debug->lines.Find(name);
      ASSERT_TRUE(files.ok()) << files.status().ToString();
      ASSERT_EQ(files->size(), 1u) << name;
      for (const auto& [line, statements] : program.debug->lines.Statements((*files)[0])) {
        const auto expected = oracle.find({name, line});
        if (expected == oracle.end()) continue;  // a line without is_stmt rows
        EXPECT_EQ(Values(statements), expected->second) << name << ":" << line;
        ++compared;
      }
      for (const auto& [key, addresses] : oracle) {
        if (key.first != name) continue;
        EXPECT_EQ(program.debug->lines.Statements((*files)[0]).count(key.second), 1u)
            << name << ":" << key.second;
      }
    }
    EXPECT_GT(compared, 15u);
  }
}

TEST(SymbolsLines, AllStatementsAreTheUnionOfTheTables) {
  const std::string path = TargetPath("clang_O2_dwarf5");
  OpenProgram program = OpenTarget(path);
  ASSERT_NE(program.debug, nullptr);
  std::set<uint64_t> expected;
  for (const auto& [key, addresses] : DecodedLines(path, *program.elf)) {
    for (const auto& [address, view] : addresses) expected.insert(address);
  }
  std::set<uint64_t> actual;
  for (const LinkAddress address : program.debug->lines.AllStatements(1u << 20)) {
    actual.insert(address.value);
  }
  EXPECT_EQ(actual, expected);
  EXPECT_EQ(program.debug->lines.AllStatements(7).size(), 7u);
}

TEST(SymbolsLines, InlinedLineHasASiteInEveryCopy) {
  for (const char* variant : {"gcc_O2_dwarf5", "clang_O2_dwarf5", "gcc_O0_dwarf4"}) {
    SCOPED_TRACE(variant);
    OpenProgram program = OpenTarget(TargetPath(variant));
    ASSERT_NE(program.debug, nullptr);
    const uint32_t line = MarkedLine(SourcePath(program, "shapes.h"), "inlined");
    const auto sites = FindLineSites(*program.debug, "shapes.h", line);
    ASSERT_TRUE(sites.ok()) << sites.status().ToString();
    std::set<const void*> units;
    for (const LineSite& site : *sites) units.insert(site.unit->addr);
    EXPECT_GE(sites->size(), 3u);  // two in Area, one in Loop
    EXPECT_EQ(units.size(), 2u);
  }
}

// GCC marks no statements in instances of templates: their rows stand for them. Other lines have
// such rows, too, of code that was moved, and a statement in the same copy.
TEST(SymbolsLines, RunsStandForStatementsThatAreNotMarked) {
  struct {
    const char* variant;
    const char* mark;
    uint32_t all;   // every site's part has these bits
    uint32_t none;  // and none of these
  } const cases[] = {
      {"gcc_O2_dwarf5", "template", LinePartBits::kRun, LinePartBits::kExact},
      {"gcc_O2_dwarf5", "inlined", LinePartBits::kExact, LinePartBits::kRun | LinePartBits::kPlain},
      {"gcc_O0_dwarf4", "inlined", LinePartBits::kPlain, LinePartBits::kRun | LinePartBits::kExact},
      {"clang_O2_dwarf5", "template", 0, LinePartBits::kRun | LinePartBits::kExact}};
  for (const auto& expected : cases) {
    SCOPED_TRACE(std::string(expected.variant) + " " + expected.mark);
    OpenProgram program = OpenTarget(TargetPath(expected.variant));
    ASSERT_NE(program.debug, nullptr);
    const uint32_t line = MarkedLine(SourcePath(program, "shapes.h"), expected.mark);
    const auto sites = FindLineSites(*program.debug, "shapes.h", line);
    ASSERT_TRUE(sites.ok()) << sites.status().ToString();
    for (const LineSite& site : *sites) {
      EXPECT_EQ(site.part & expected.all, expected.all) << site.part;
      EXPECT_EQ(site.part & expected.none, 0u) << site.part;
    }
  }
}

TEST(SymbolsLines, DiscardedFunctionHasNoCode) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    OpenProgram program = OpenTarget(TargetPath(variant));
    ASSERT_NE(program.debug, nullptr);
    const uint32_t line = MarkedLine(SourcePath(program, "main.cc"), "discarded");
    const auto sites = FindLineSites(*program.debug, "main.cc", line);
    ASSERT_FALSE(sites.ok());
    EXPECT_EQ(sites.status().code(), Code::kLineHasNoCode);
    EXPECT_NE(sites.status().message().find("nearest lines with code: "), std::string::npos);
  }
}

// `break Area` of GDB stops after the prologue at -O0 and at the entry at -O2 with GCC.
TEST(SymbolsLines, OpeningLineSkipsThePrologueOnlyWithoutOptimization) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    OpenProgram program = OpenTarget(TargetPath(variant));
    ASSERT_NE(program.debug, nullptr);
    const uint32_t line = MarkedLine(SourcePath(program, "shapes.cc"), "opening");
    const auto sites = FindLineSites(*program.debug, "shapes.cc", line);
    ASSERT_TRUE(sites.ok()) << sites.status().ToString();
    const std::string symbols =
        RunTool("nm '" + TargetPath(variant) + "' | grep _ZN6shapes4AreaEii");
    const uint64_t entry = std::stoull(symbols, nullptr, 16);
    const auto at_entry = std::count_if(sites->begin(), sites->end(), [&](const LineSite& site) {
      return site.address.value == entry;
    });
    if (variant.find("_O0_") == std::string::npos) {
      EXPECT_EQ(at_entry, 1);
      continue;
    }
    EXPECT_EQ(at_entry, 0);
    const std::string stop = RunTool("gdb -nx -batch -ex 'break shapes::Area' '" +
                                     TargetPath(variant) + "' 2>/dev/null");
    const size_t at = stop.find(" at 0x");
    ASSERT_NE(at, std::string::npos) << stop;
    EXPECT_EQ((*sites)[0].address.value, std::stoull(stop.substr(at + 4), nullptr, 16));
  }
}

TEST(SymbolsLines, UnknownFileNamesTheNearest) {
  OpenProgram program = OpenTarget(TargetPath("gcc_O2_dwarf5"));
  ASSERT_NE(program.debug, nullptr);
  const auto sites = FindLineSites(*program.debug, "shape.cc", 5);
  ASSERT_FALSE(sites.ok());
  EXPECT_EQ(sites.status().code(), Code::kFileNotFound);
  EXPECT_NE(sites.status().message().find("/shapes.cc"), std::string::npos)
      << sites.status().ToString();
  // Half a component is no suffix; case counts.
  EXPECT_EQ(FindLineSites(*program.debug, "apes.cc", 5).status().code(), Code::kFileNotFound);
  EXPECT_EQ(FindLineSites(*program.debug, "Shapes.cc", 5).status().code(), Code::kFileNotFound);
}

// Two different files of one name: ambiguous on lines where both have code, not on the others.
TEST(SymbolsLines, AmbiguousFileNamesTheCandidates) {
  const symbols_test::ScratchFolder folder;
  const std::string& root = folder.path();
  RunTool("mkdir -p " + root + "/a " + root + "/b");
  std::ofstream(root + "/a/part.cc") << "int a(int x) {\n  return x + 1;\n}\n";
  std::ofstream(root + "/b/part.cc") << "int b(int x) {\n  return x + 2;\n}\n\n\nint c() {\n"
                                     << "  return 4;\n}\n";
  std::ofstream(root + "/main.cc") << "int a(int); int b(int); int main() { return a(b(1)); }\n";
  for (const char* compiler : {"g++-12", "clang++-14"}) {
    SCOPED_TRACE(compiler);
    RunTool("cd " + root + " && " + compiler + " -g main.cc a/part.cc b/part.cc -o program");
    OpenProgram program = OpenTarget(root + "/program");
    ASSERT_NE(program.debug, nullptr);
    const Status both = FindLineSites(*program.debug, "part.cc", 2).status();
    EXPECT_EQ(both.code(), Code::kAmbiguousFile);
    EXPECT_NE(both.message().find(root + "/a/part.cc"), std::string::npos) << both.message();
    EXPECT_NE(both.message().find(root + "/b/part.cc"), std::string::npos) << both.message();
    EXPECT_TRUE(FindLineSites(*program.debug, "part.cc", 7).ok());
    EXPECT_TRUE(FindLineSites(*program.debug, "a/part.cc", 2).ok());
    EXPECT_TRUE(FindLineSites(*program.debug, root + "/x/../b/./part.cc", 2).ok());
    // Through a symlinked folder.
    RunTool("ln -sfn " + root + " " + root + "/link");
    EXPECT_TRUE(FindLineSites(*program.debug, root + "/link/b/part.cc", 2).ok());
  }
}

TEST(SymbolsLines, BrokenHeadersAreErrorsAndNeverReadPastTheEnd) {
  OpenProgram program = OpenTarget(TargetPath("clang_O2_dwarf5"));
  ASSERT_NE(program.debug, nullptr);
  const LineSections& sound = program.debug->file->line_sections();
  // Copies of the exact length, so that a sanitizer sees any read past the end.
  for (size_t length = 0; length < sound.line.size(); ++length) {
    const std::vector<uint8_t> cut(sound.line.begin(),
                                   sound.line.begin() + static_cast<ptrdiff_t>(length));
    const LineSections sections{cut, sound.line_strings, sound.strings};
    LineHeader header;
    uint64_t next = 0;
    EXPECT_FALSE(ReadLineHeader(sections, 0, header, next).ok() && next > length);
  }
}

}  // namespace
}  // namespace stillframe
