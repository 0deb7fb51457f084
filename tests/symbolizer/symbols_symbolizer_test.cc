// The whole symbolizer through its interface.
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <set>

#include "plan/verifier.h"
#include "symbolizer/path_match.h"
#include "symbolizer/symbolizer.h"
#include "tests/symbolizer/symbols_support.h"

namespace stillframe {
namespace {

using symbols_test::MarkedLine;
using symbols_test::RunTool;
using symbols_test::ScratchFolder;
using symbols_test::SplitLines;
using symbols_test::TargetPath;

class SymbolsSymbolizer : public testing::Test {
 protected:
  SymbolModule* Open(const std::string& path) {
    auto module = symbolizer_->OpenModule(path, "");
    EXPECT_TRUE(module.ok()) << module.status().ToString();
    return module.ok() ? *module : nullptr;
  }
  // Line number of a mark, through the path that the module itself names.
  static uint32_t Line(SymbolModule* module, const std::string& file, const std::string& mark) {
    const auto files = module->Files(file);
    EXPECT_TRUE(files.ok() && files->size() == 1);
    return MarkedLine((*files)[0], mark);
  }
  static Status CompileError(SymbolModule* module, const std::string& file, uint32_t line,
                             const std::string& condition = "",
                             std::vector<std::string> expressions = {}) {
    PlanRequest request;
    request.file = file;
    request.line = line;
    request.condition = condition;
    request.expressions = std::move(expressions);
    const auto plan = module->Compile(request);
    return plan.status();
  }

  std::unique_ptr<Symbolizer> symbolizer_ = Symbolizer::Create({});
};

// `addr2line -i -f -C -a`: per address "0xADDRESS", then (function, file:line) pairs.
std::vector<std::vector<SourceFrame>> AddrToLine(const std::string& path,
                                                 const std::vector<LinkAddress>& addresses) {
  const ScratchFolder folder;
  std::ofstream input(folder.path() + "/addresses");
  for (const LinkAddress address : addresses) input << std::hex << "0x" << address.value << "\n";
  input.close();
  const std::string text =
      RunTool("addr2line -i -f -C -a -e '" + path + "' < " + folder.path() + "/addresses");
  std::vector<std::vector<SourceFrame>> chains;
  const std::vector<std::string> lines = SplitLines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].substr(0, 2) == "0x") {
      chains.emplace_back();
      continue;
    }
    SourceFrame frame;
    frame.function = lines[i];
    const std::string& place = lines[++i];
    const size_t colon = place.find(':');
    frame.file = place.substr(0, colon);
    frame.line = static_cast<uint32_t>(std::strtoul(place.c_str() + colon + 1, nullptr, 10));
    chains.back().push_back(frame);
  }
  return chains;
}

TEST_F(SymbolsSymbolizer, FramesOfEveryStatementAgreeWithAddr2line) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    SymbolModule* module = Open(TargetPath(variant));
    ASSERT_NE(module, nullptr);
    const auto addresses = module->StatementAddresses(100000);
    ASSERT_TRUE(addresses.ok()) << addresses.status().ToString();
    ASSERT_GT(addresses->size(), 20u);
    const auto oracle = AddrToLine(TargetPath(variant), *addresses);
    ASSERT_EQ(oracle.size(), addresses->size());
    for (size_t i = 0; i < addresses->size(); ++i) {
      SCOPED_TRACE((*addresses)[i].value);
      const std::vector<SourceFrame> frames = module->Symbolize((*addresses)[i]);
      ASSERT_EQ(frames.size(), oracle[i].size());
      for (size_t depth = 0; depth < frames.size(); ++depth) {
        EXPECT_EQ(frames[depth].inlined, depth + 1 < frames.size());
        EXPECT_FALSE(frames[depth].function.empty());
        if (depth == 0) continue;  // the line table's; GDB is the oracle of that below
        EXPECT_EQ(NormalizePath(frames[depth].file), NormalizePath(oracle[i][depth].file));
        EXPECT_EQ(frames[depth].line, oracle[i][depth].line);
      }
      // addr2line names the function around an inlined one wrongly now and then, so only the
      // outermost name counts.
      const std::string& outer = oracle[i].back().function;
      const std::string bare = outer.substr(0, outer.find('('));
      EXPECT_NE(frames.back().function.find(bare.substr(bare.rfind(':') + 1)), std::string::npos)
          << frames.back().function << " against " << outer;
    }
  }
}

// At an address with several rows binutils shows the first line and GDB the last one, which is the
// one whose variables the location lists describe.
TEST_F(SymbolsSymbolizer, InnermostLinesAgreeWithGdb) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    SymbolModule* module = Open(TargetPath(variant));
    ASSERT_NE(module, nullptr);
    const auto addresses = module->StatementAddresses(100000);
    ASSERT_TRUE(addresses.ok());
    const ScratchFolder folder;
    std::ofstream script(folder.path() + "/script");
    for (const LinkAddress address : *addresses) script << "info line *" << address.value << "\n";
    script.close();
    const std::vector<std::string> lines =
        SplitLines(RunTool("gdb -nx -batch -ex 'set width 0' -x " + folder.path() + "/script '" +
                           TargetPath(variant) + "' 2>&1"));
    ASSERT_EQ(lines.size(), addresses->size());
    for (size_t i = 0; i < lines.size(); ++i) {
      // Line 26 of "FILE" starts at address ...
      const size_t open = lines[i].find('"');
      ASSERT_NE(open, std::string::npos) << lines[i];
      const std::string file = lines[i].substr(open + 1, lines[i].find('"', open + 1) - open - 1);
      const SourceFrame frame = module->Symbolize((*addresses)[i])[0];
      EXPECT_TRUE(HasPathSuffix(NormalizePath(frame.file), NormalizePath(file))) << lines[i];
      EXPECT_EQ(frame.line, std::strtoul(lines[i].c_str() + 5, nullptr, 10)) << lines[i];
    }
  }
}

TEST_F(SymbolsSymbolizer, PlanHasASitePerCopyAndIsVerified) {
  for (const std::string& variant : symbols_test::DebugVariants()) {
    SCOPED_TRACE(variant);
    SymbolModule* module = Open(TargetPath(variant));
    ASSERT_NE(module, nullptr);
    PlanRequest request;
    request.file = "symbols/shapes.h";
    request.line = Line(module, "shapes.h", "inlined");
    request.limits.frames = 7;
    const auto plan = module->Compile(request);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    EXPECT_GE(plan->sites.size(), 3u);
    EXPECT_EQ(plan->build_id, module->build_id());
    EXPECT_EQ(plan->limits.frames, 7u);
    EXPECT_TRUE(VerifyPlan(*plan).ok());
    const auto lines = module->Lines("shapes.h", request.line, request.line);
    ASSERT_TRUE(lines.ok() && lines->size() == 1);
    ASSERT_EQ((*lines)[0].addresses.size(), plan->sites.size());
    int in_clamp = 0;
    for (size_t i = 0; i < plan->sites.size(); ++i) {
      EXPECT_EQ(plan->sites[i].address, (*lines)[0].addresses[i]);
      EXPECT_EQ(plan->unit.frames[plan->sites[i].frame].pc, plan->sites[i].address);
      const std::string& function = plan->unit.strings[plan->sites[i].function];
      EXPECT_FALSE(function.empty());
      if (function.find("Clamp") != std::string::npos) ++in_clamp;
    }
    // GCC leaves some rows of an inlined line just outside the inlined block.
    EXPECT_GE(in_clamp, 2);
  }
}

TEST_F(SymbolsSymbolizer, ConditionsAndExpressionsAreCompiledAtEverySite) {
  SymbolModule* module = Open(TargetPath("gcc_O0_dwarf5"));
  ASSERT_NE(module, nullptr);
  PlanRequest request;
  request.file = "shapes.cc";
  request.line = Line(module, "shapes.cc", "call");
  request.condition = "width > 3 && w < 100";
  request.expressions = {"width * 2", "counter.count"};
  const auto plan = module->Compile(request);
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  ASSERT_FALSE(plan->sites.empty());
  for (const SitePlan& site : plan->sites) {
    EXPECT_FALSE(site.condition.empty());
    ASSERT_EQ(site.expression_count, 2u);
    for (uint32_t i = 0; i < 2; ++i) {
      const Variable& watch = plan->unit.variables[site.first_expression + i];
      EXPECT_EQ(plan->unit.strings[watch.name], request.expressions[i]);
      EXPECT_NE(watch.location.kind, LocationKind::kUnavailable);
    }
  }
}

TEST_F(SymbolsSymbolizer, MistakesAreNamed) {
  SymbolModule* module = Open(TargetPath("gcc_O0_dwarf5"));
  ASSERT_NE(module, nullptr);
  const uint32_t line = Line(module, "shapes.cc", "call");
  EXPECT_EQ(CompileError(module, "shapes.cc", line, "width >").code(), Code::kBadExpression);
  EXPECT_EQ(CompileError(module, "shapes.cc", line, "widht > 3").code(), Code::kUnknownVariable);
  EXPECT_NE(CompileError(module, "shapes.cc", line, "widht > 3").message().find("width"),
            std::string::npos);
  EXPECT_EQ(CompileError(module, "shapes.cc", line, "", {"nothing"}).code(),
            Code::kUnknownVariable);
  EXPECT_EQ(CompileError(module, "none.cc", 1).code(), Code::kFileNotFound);
  EXPECT_EQ(CompileError(module, "shapes.cc", 4000).code(), Code::kLineHasNoCode);
  EXPECT_EQ(CompileError(module, "", 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(CompileError(module, "shapes.cc", 0).code(), Code::kInvalidArgument);
}

TEST_F(SymbolsSymbolizer, TooManySitesIsSaidWithBothNumbers) {
  SymbolizerOptions options;
  options.max_sites = 1;
  symbolizer_ = Symbolizer::Create(options);
  SymbolModule* module = Open(TargetPath("gcc_O2_dwarf5"));
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(CompileError(module, "shapes.h", Line(module, "shapes.h", "inlined")).code(),
            Code::kTooManySites);
}

// The return address after each call of Area shows the caller's line; without debug information its
// name only.
TEST_F(SymbolsSymbolizer, CallersHaveOneFrame) {
  SymbolModule* module = Open(TargetPath("gcc_O2_dwarf5"));
  ASSERT_NE(module, nullptr);
  const uint64_t entry = std::stoull(
      RunTool("nm '" + TargetPath("gcc_O2_dwarf5") + "' | grep _ZN6shapes4AreaEii"), nullptr, 16);
  const std::vector<LinkAddress> callers = module->LikelyCallers(LinkAddress(entry), 10);
  ASSERT_FALSE(callers.empty());
  for (const LinkAddress caller : callers) {
    const auto plan = module->CompileCaller(caller, false, {});
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    ASSERT_EQ(plan->unit.frames.size(), 1u);
    EXPECT_EQ(plan->unit.frames[0].pc, caller);
    const VirtualFrame& frame = plan->unit.virtual_frames[plan->unit.frames[0].first_virtual];
    EXPECT_NE(plan->unit.strings[frame.function].find("Loop"), std::string::npos);
    EXPECT_EQ(frame.line, Line(module, "main.cc", "loop"));
    EXPECT_TRUE(VerifyUnit(plan->unit).ok());
  }
}

TEST_F(SymbolsSymbolizer, WithoutDebugInformationSymbolsRemain) {
  const std::string path = TargetPath("gcc_nodebug");
  SymbolModule* module = Open(path);
  ASSERT_NE(module, nullptr);
  EXPECT_EQ(module->debug_status().code(), Code::kNoDebugInfo);
  EXPECT_EQ(module->debug_file(), "");
  EXPECT_EQ(CompileError(module, "main.cc", 5).code(), Code::kNoDebugInfo);
  const LinkAddress area(
      std::stoull(RunTool("nm '" + path + "' | grep _ZN6shapes4AreaEii"), nullptr, 16));
  EXPECT_EQ(module->Symbolize(area + 1)[0].function, "shapes::Area(int, int)");
  EXPECT_EQ(module->SymbolName(area), "shapes::Area(int, int)");
  EXPECT_EQ(module->SymbolName(area + 3), "shapes::Area(int, int)+3");
  EXPECT_EQ(module->SymbolName(LinkAddress(1)), "");
  const auto caller = module->CompileCaller(area + 5, false, {});
  ASSERT_TRUE(caller.ok());
  ASSERT_EQ(caller->unit.virtual_frames.size(), 1u);
  EXPECT_EQ(caller->unit.strings[caller->unit.virtual_frames[0].function],
            "shapes::Area(int, int)");
  EXPECT_EQ(module->Symbolize(LinkAddress(1)).size(), 1u);
  EXPECT_TRUE(module->BuildUnwindTable().ok());
}

TEST_F(SymbolsSymbolizer, ReplacedFilesAreRefused) {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/program";
  RunTool("cp '" + TargetPath("gcc_O2_dwarf5") + "' " + path);
  const auto module = symbolizer_->OpenModule(path, "");
  ASSERT_TRUE(module.ok());
  const std::string id = (*module)->build_id();
  EXPECT_TRUE(symbolizer_->OpenModule(path, id).ok());
  EXPECT_EQ(*symbolizer_->OpenModule(path, id), *module);
  symbolizer_->ReleaseMemory();
  RunTool("cp '" + TargetPath("gcc_O0_dwarf5") + "' " + path);
  EXPECT_EQ(symbolizer_->OpenModule(path, id).status().code(), Code::kBuildMismatch);
  EXPECT_TRUE(symbolizer_->OpenModule(path, "").ok());
  // As the kernel names the mapping of a file that was unlinked.
  EXPECT_EQ(symbolizer_->OpenModule(path + " (deleted)", id).status().code(), Code::kBuildMismatch);
  RunTool("cp '" + TargetPath("gcc_O2_dwarf5") + "' " + path);
  EXPECT_TRUE(symbolizer_->OpenModule(path + " (deleted)", id).ok());
  EXPECT_EQ(symbolizer_->OpenModule("/nowhere (deleted)", id).status().code(), Code::kIoError);
  symbolizer_->ReleaseMemory();
  EXPECT_EQ(symbolizer_->OpenModule(path + " (deleted)", "").status().code(), Code::kBuildMismatch);
}

// What a dead process left may be of another build of the program that reads it.
TEST_F(SymbolsSymbolizer, TheProgramThatRunsIsNoOtherBuild) {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  ASSERT_GT(size, 0);
  const std::string own(path, static_cast<size_t>(size));
  const auto module = symbolizer_->OpenModule(own, "");
  ASSERT_TRUE(module.ok());
  const std::string id = (*module)->build_id();
  ASSERT_FALSE(id.empty());
  symbolizer_->ReleaseMemory();
  EXPECT_EQ(symbolizer_->OpenModule(own, "0123").status().code(), Code::kBuildMismatch);
  EXPECT_TRUE(symbolizer_->OpenModule(own, id).ok());
}

TEST_F(SymbolsSymbolizer, MutatedBinariesGiveErrorsOrSoundPlans) {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/program";
  const symbols_test::OpenProgram sound = symbols_test::OpenTarget(TargetPath("gcc_O2_dwarf4"));
  const uint32_t line = Line(Open(TargetPath("gcc_O2_dwarf4")), "shapes.cc", "call");
  symbols_test::Mutator mutator(symbols_test::ReadAll(TargetPath("gcc_O2_dwarf4")), 11);
  for (int i = 0; i < 300; ++i) {
    symbols_test::WriteAll(path, mutator.Next(sound.elf->sections()));
    const auto module = symbolizer_->OpenModule(path, "");
    if (module.ok()) {
      PlanRequest request;
      request.file = "shapes.cc";
      request.line = line;
      request.condition = i % 2 == 0 ? "width > 1" : "";
      const auto plan = (*module)->Compile(request);
      EXPECT_TRUE(!plan.ok() || VerifyPlan(*plan).ok());
      for (uint64_t pc = 0x1080; pc < 0x1300; pc += 37) {
        EXPECT_FALSE((*module)->Symbolize(LinkAddress(pc)).empty());
        (void)(*module)->CompileCaller(LinkAddress(pc), false, {});
      }
    }
    symbolizer_->ReleaseMemory();
  }
}

}  // namespace
}  // namespace stillframe
