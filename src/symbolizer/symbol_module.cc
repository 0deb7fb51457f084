#include "symbolizer/symbol_module.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>

#include "plan/verifier.h"
#include "symbolizer/call_site_reader.h"
#include "symbolizer/cfi_table.h"
#include "symbolizer/debug_file.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/expression.h"
#include "symbolizer/expression_check.h"
#include "symbolizer/frame_compiler.h"
#include "symbolizer/function_names.h"
#include "symbolizer/function_sites.h"
#include "symbolizer/inline_chain_lines.h"
#include "symbolizer/line_sites.h"
#include "symbolizer/module_debug.h"
#include "symbolizer/plan_builder.h"
#include "symbolizer/return_sites.h"
#include "symbolizer/symbol_table.h"
#include "symbolizer/tail_calls.h"
#include "symbolizer/throw_plan.h"
#include "symbolizer/thrown_object.h"

namespace stillframe {
namespace {

constexpr uint32_t kMaxCallers = 4096;
constexpr size_t kRecentPlans = 32;
constexpr uint64_t kMaxScannedBytes = 256 << 20;

class DwarfModule : public SymbolModule {
 public:
  DwarfModule(std::string path, std::unique_ptr<ElfFile> elf, const SymbolizerOptions& options,
              SourceNamesCache& names)
      : path_(std::move(path)), elf_(std::move(elf)), options_(options), names_(names) {}

  const std::string& path() const override { return path_; }
  const std::string& build_id() const override { return elf_->build_id(); }
  Status debug_status() const override { return Located().status; }
  const std::string& debug_file() const override { return Located().path; }

  Result<ProbePlan> Compile(const PlanRequest& request) override;
  Status AddThrown(const ThrownRequest& request, ProbePlan& plan) override;
  Result<std::vector<CheckedExpression>> Check(const PlanRequest& request,
                                               std::string_view expression) override;
  Result<CallerPlan> CompileCaller(LinkAddress return_address, bool pc_is_exact,
                                   const CaptureLimits& limits) override;
  std::vector<LinkAddress> LikelyCallers(LinkAddress address, uint32_t max) override;
  std::vector<EndedFunction> EndedBetween(LinkAddress called, LinkAddress running) override;
  std::vector<uint8_t> ReadCode(LinkAddress address, uint32_t size_bytes) override;
  std::vector<std::string> TypeInfoNames(std::string_view type) override {
    return stillframe::TypeInfoNames(Symbols(), type);
  }
  std::vector<LinkAddress> CallersOfImport(std::string_view name, uint32_t max) override;
  std::pair<LinkAddress, LinkAddress> FunctionRange(LinkAddress address) override;
  std::vector<std::pair<LinkAddress, LinkAddress>> FunctionParts(LinkAddress address) override;
  std::vector<TailJump> TailJumps(LinkAddress address) override;
  bool SameLine(LinkAddress a, LinkAddress b) override;
  std::vector<LinkAddress> LineRows(LinkAddress begin, LinkAddress end, uint32_t line,
                                    Rows rows) override;
  std::vector<SourceFrame> Symbolize(LinkAddress pc) override;
  std::string SymbolName(LinkAddress address) override;
  Result<std::vector<std::string>> Files(std::string_view suffix) override;
  Result<std::vector<LineInfo>> Lines(std::string_view file, uint32_t first,
                                      uint32_t last) override;
  Result<std::vector<LinkAddress>> StatementAddresses(uint64_t max) override;
  Result<UnwindTable> BuildUnwindTable() override {
    return BuildModuleUnwindTable(*elf_, Located().separate.get());
  }

 private:
  const DebugFile& Located() const {
    if (!located_) located_ = FindDebugFile(*elf_, path_, options_.debug_path);
    return *located_;
  }
  const ElfFile& DebugElf() const { return Located().separate ? *Located().separate : *elf_; }
  Result<ProbePlan> CompileAnew(const PlanRequest& request);
  Result<ProbePlan> CompileThrows(const PlanRequest& request);
  Result<ProbePlan> CompileEnd(const PlanRequest& request);
  Status CheckCount(size_t sites, const PlanRequest& request) const;
  Result<std::vector<LineSite>> FindSites(ModuleDebug& debug, const PlanRequest& request);
  Result<ModuleDebug*> Debug();
  // What a plan was made of is hardly what the next one is made of.
  void GiveBackPages() const {
    if (debug_ != nullptr) debug_->file->GiveBackPages();
  }
  // OK also when there is no telling.
  Status CheckMayHave(const std::string& file) const;
  const SymbolTable& Symbols();
  // What only the module as a whole tells about a frame that wants entry values, or passes them.
  void CompleteFrame(ModuleDebug& debug, FramePlan& frame);
  // Gives the machine function its name among a coroutine's parts.
  void NameParts(PlanUnit& unit, const FramePlan& frame);
  // What the direct call that returns to frame.pc calls.
  void ReadCallee(FramePlan& frame);
  const FunctionEntry* FunctionAt(LinkAddress address);  // nullptr: none is known
  // A plan with the symbol's name and nothing else.
  CallerPlan PlanFromSymbol(LinkAddress return_address, LinkAddress lookup);

  std::string path_;
  std::unique_ptr<ElfFile> elf_;
  const SymbolizerOptions& options_;
  SourceNamesCache& names_;
  mutable std::optional<DebugFile> located_;  // looked for at the first question
  Status open_status_;
  std::unique_ptr<ModuleDebug> debug_;
  std::optional<SymbolTable> symbols_;
  TailCallGraph tail_calls_;
  // Tracepoints are switched off and on, and their limits edited: the file does not change.
  std::deque<std::pair<PlanRequest, ProbePlan>> recent_plans_;
};

Result<ModuleDebug*> DwarfModule::Debug() {
  dwarf::EnsureRoom();
  if (debug_ != nullptr) return debug_.get();
  SF_RETURN_IF_ERROR(Located().status);
  SF_RETURN_IF_ERROR(open_status_);
  const auto packages = PackageCandidates(*elf_, path_, Located().path, options_.debug_path);
  auto opened = ModuleDebug::Open(*elf_, DebugElf(), packages, options_.debug_path);
  if (!opened.ok()) {
    open_status_ = opened.status();  // broken now is broken at the next question too
    return open_status_;
  }
  debug_ = std::move(opened).value();
  debug_->unit_cache.set_formatters(options_.formatters);
  return debug_.get();
}

Status DwarfModule::CheckMayHave(const std::string& file) const {
  SF_RETURN_IF_ERROR(Located().status);
  if (names_.Get(*elf_, DebugElf()).MayHave(file)) return Status();
  return Status(Code::kFileNotFound, "no file '" + file + "' in the debug information");
}

const SymbolTable& DwarfModule::Symbols() {
  if (!symbols_) symbols_ = SymbolTable::Read(*elf_, Located().separate.get());
  return *symbols_;
}

Status CheckRequest(const PlanRequest& request) {
  if (request.function.empty() && !request.address && (request.file.empty() || request.line == 0)) {
    return Status(Code::kInvalidArgument, "a location needs a file and a line from 1");
  }
  // Mistakes in the text come before any search: they are the same for every module.
  if (!request.condition.empty()) {
    SF_RETURN_IF_ERROR(CheckExpressionSyntax(request.condition).WithContext("condition"));
  }
  for (const std::string& text : request.expressions) {
    SF_RETURN_IF_ERROR(CheckExpressionSyntax(text).WithContext("expression '" + text + "'"));
  }
  return Status();
}

Result<ProbePlan> DwarfModule::Compile(const PlanRequest& request) {
  for (const auto& [asked, plan] : recent_plans_) {
    if (asked == request) return plan;
  }
  auto compiled = CompileAnew(request);
  GiveBackPages();  // below: what is missing may stand in a unit that must not be read
  if (!compiled.ok() && debug_ && !debug_->checks.refused().ok()) return debug_->checks.refused();
  SF_ASSIGN_OR_RETURN(ProbePlan plan, std::move(compiled));
  if (recent_plans_.size() >= kRecentPlans) recent_plans_.pop_front();
  recent_plans_.emplace_back(request, plan);
  return plan;
}

// The addresses that the request names, of the file and line (or function) that it names too.
Result<std::vector<LineSite>> ChosenSites(ModuleDebug& debug, const PlanRequest& request) {
  std::vector<LineSite> sites;
  for (const LinkAddress address : request.line_addresses) {
    Dwarf_Die* const unit = debug.units.FindByAddress(address);
    if (unit == nullptr) return Status(Code::kNotFound, "no debug information covers an address");
    LineSite site;
    site.address = address;
    site.unit = unit;
    const dwarf::SourceLine line = dwarf::LineAt(*unit, address);
    site.file = line.file;
    site.line = line.line;
    sites.push_back(std::move(site));
  }
  return sites;
}

Result<std::vector<LineSite>> DwarfModule::FindSites(ModuleDebug& debug,
                                                     const PlanRequest& request) {
  if (!request.line_addresses.empty()) return ChosenSites(debug, request);
  if (!request.returns.empty()) return FindReturnSites(debug, DebugElf(), request.returns);
  if (request.address) return FindAddressSite(debug, *elf_, *request.address);
  if (!request.function.empty()) {
    return FindFunctionSites(debug, *elf_, Symbols(), request.function, request.own_code_only);
  }
  return FindLineSites(debug, request.file, request.line, request.name_near_files);
}

Result<ProbePlan> DwarfModule::CompileThrows(const PlanRequest& request) {
  const bool any = request.thrown.size() == 1 && request.thrown[0] == "*";
  SF_ASSIGN_OR_RETURN(
      ProbePlan plan,
      CompileThrow(*elf_, Symbols(), any ? std::vector<std::string>() : request.thrown,
                   request.thrown_as_is, request.limits));
  plan.module_path = path_;
  SF_RETURN_IF_ERROR(VerifyPlan(plan).WithContext("plan for " + path_));
  return plan;
}

Result<ProbePlan> DwarfModule::CompileEnd(const PlanRequest& request) {
  const auto read = [this](LinkAddress at, uint32_t bytes) { return ReadCode(at, bytes); };
  SF_ASSIGN_OR_RETURN(ProbePlan plan, CompileTerminate(*elf_, Symbols(), read, request.limits));
  plan.module_path = path_;
  SF_RETURN_IF_ERROR(VerifyPlan(plan).WithContext("plan for " + path_));
  return plan;
}

Status DwarfModule::AddThrown(const ThrownRequest& request, ProbePlan& plan) {
  SF_ASSIGN_OR_RETURN(ModuleDebug* const debug, Debug());
  ProbePlan extended = plan;
  SF_RETURN_IF_ERROR(AddThrownObject(*debug, request, options_.redaction, extended));
  SF_RETURN_IF_ERROR(VerifyPlan(extended).WithContext("plan for " + path_));
  plan = std::move(extended);
  return Status();
}

std::vector<LinkAddress> DwarfModule::CallersOfImport(std::string_view name, uint32_t max) {
  constexpr size_t kCallBytes = 5;
  constexpr uint8_t kCallRel32 = 0xe8;
  std::vector<LinkAddress> found;
  for (const CodeRange& range : elf_->code_ranges()) {
    const uint64_t size = std::min(range.end.value - range.start.value, kMaxScannedBytes);
    const std::vector<uint8_t> code = ReadCode(range.start, static_cast<uint32_t>(size));
    for (size_t at = 0; at + kCallBytes <= code.size() && found.size() < max; ++at) {
      if (code[at] != kCallRel32) continue;
      int32_t distance = 0;
      std::memcpy(&distance, code.data() + at + 1, sizeof distance);
      const LinkAddress after = range.start + at + kCallBytes;
      const LinkAddress target = after + static_cast<uint64_t>(int64_t{distance});
      if (Symbols().PltName(target) == name) found.push_back(after);
    }
  }
  return found;
}

Result<ProbePlan> DwarfModule::CompileAnew(const PlanRequest& request) {
  if (!request.thrown.empty()) return CompileThrows(request);
  if (request.terminate) return CompileEnd(request);
  SF_RETURN_IF_ERROR(CheckRequest(request));
  if (!request.file.empty() && !request.name_near_files) {
    SF_RETURN_IF_ERROR(CheckMayHave(request.file));
  }
  SF_ASSIGN_OR_RETURN(ModuleDebug* const debug, Debug());
  SF_ASSIGN_OR_RETURN(const std::vector<LineSite> sites, FindSites(*debug, request));
  SF_RETURN_IF_ERROR(CheckCount(sites.size(), request));
  ProbePlan plan;
  plan.module_path = path_;
  plan.build_id = build_id();
  plan.limits = request.limits;
  SF_RETURN_IF_ERROR(BuildSites(*debug, sites, request, options_.redaction, plan));
  for (FramePlan& frame : plan.unit.frames) {
    CompleteFrame(*debug, frame);
    NameParts(plan.unit, frame);
  }
  for (SitePlan& site : plan.sites) {
    const FramePlan& frame = plan.unit.frames[site.frame];
    if (frame.virtual_count != 0) {
      site.function = plan.unit.virtual_frames[frame.first_virtual].function;
    }
  }
  SF_RETURN_IF_ERROR(VerifyPlan(plan).WithContext("plan for " + path_));
  return plan;
}

Status DwarfModule::CheckCount(size_t sites, const PlanRequest& request) const {
  if (sites <= options_.max_sites) return Status();
  const std::string what = request.function.empty()
                               ? request.file + ":" + std::to_string(request.line)
                               : request.function;
  return Status(Code::kTooManySites, what + " is " + std::to_string(sites) +
                                         " places in the program, more than the limit of " +
                                         std::to_string(options_.max_sites));
}

Result<std::vector<CheckedExpression>> DwarfModule::Check(const PlanRequest& request,
                                                          std::string_view expression) {
  SF_RETURN_IF_ERROR(CheckExpressionSyntax(expression));
  if (!request.thrown.empty()) {
    SF_ASSIGN_OR_RETURN(ModuleDebug* const debug, Debug());
    return CheckThrownObject(*debug, request.thrown.front(), expression, options_.redaction);
  }
  PlanRequest place = request;
  place.condition.clear();
  place.expressions.clear();
  SF_RETURN_IF_ERROR(CheckRequest(place));
  SF_ASSIGN_OR_RETURN(ModuleDebug* const debug, Debug());
  SF_ASSIGN_OR_RETURN(const std::vector<LineSite> sites, FindSites(*debug, place));
  SF_RETURN_IF_ERROR(CheckCount(sites.size(), place));
  return CheckSites(*debug, sites, expression, options_.redaction);
}

void DwarfModule::NameParts(PlanUnit& unit, const FramePlan& frame) {
  if (frame.virtual_count == 0 || frame.function_entry.value == 0) return;
  const auto symbol = Symbols().Find(frame.function_entry);
  if (!symbol || symbol->offset != 0) return;
  VirtualFrame& function = unit.virtual_frames[frame.first_virtual + frame.virtual_count - 1];
  std::string name = NameCoroutinePart(unit.strings[function.function], symbol->name);
  if (name == unit.strings[function.function]) return;
  function.function = static_cast<StringId>(unit.strings.size());
  unit.strings.push_back(std::move(name));
}

void DwarfModule::CompleteFrame(ModuleDebug& debug, FramePlan& frame) {
  if (frame.uses_entry_values == 0 || frame.function_entry.value == 0) return;
  frame.may_tail_call_itself =
      tail_calls_.MayReachItself(frame.function_entry, debug.units, Symbols()) ? 1 : 0;
}

std::vector<uint8_t> DwarfModule::ReadCode(LinkAddress address, uint32_t size_bytes) {
  return elf_->ReadCode(address, size_bytes);
}

const FunctionEntry* DwarfModule::FunctionAt(LinkAddress address) {
  const auto debug = Debug();
  Dwarf_Die* const unit = debug.ok() ? (*debug)->units.FindByAddress(address) : nullptr;
  return unit == nullptr ? nullptr : (*debug)->units.FindFunction(unit, address);
}

std::pair<LinkAddress, LinkAddress> DwarfModule::FunctionRange(LinkAddress address) {
  const FunctionEntry* const function = FunctionAt(address);
  if (function == nullptr || address < function->entry || address >= function->entry_end) return {};
  return {function->entry, function->entry_end};
}

std::vector<std::pair<LinkAddress, LinkAddress>> DwarfModule::FunctionParts(LinkAddress address) {
  const FunctionEntry* const function = FunctionAt(address);
  return function == nullptr ? std::vector<std::pair<LinkAddress, LinkAddress>>()
                             : dwarf::RangesOf(function->die);
}

std::vector<SymbolModule::TailJump> DwarfModule::TailJumps(LinkAddress address) {
  std::vector<TailJump> jumps;
  const FunctionEntry* const function = FunctionAt(address);
  if (function == nullptr) return jumps;
  for (const auto& call : dwarf::TailCalls(function->die)) jumps.push_back({call.at, call.after});
  return jumps;
}

bool DwarfModule::SameLine(LinkAddress a, LinkAddress b) {
  const auto debug = Debug();
  Dwarf_Die* const unit = debug.ok() ? (*debug)->units.FindByAddress(a) : nullptr;
  if (unit == nullptr || (*debug)->units.FindByAddress(b) != unit) return false;
  const dwarf::SourceLine first = dwarf::LineAt(*unit, a), second = dwarf::LineAt(*unit, b);
  return first.line != 0 && first.line == second.line && first.file == second.file;
}

std::vector<LinkAddress> DwarfModule::LineRows(LinkAddress begin, LinkAddress end, uint32_t line,
                                               Rows rows) {
  const auto debug = Debug();
  if (!debug.ok()) return {};
  return LineRowsIn(**debug, begin, end, line, rows);
}

// The debug information names the function that the source calls; the instruction, what runs.
void DwarfModule::ReadCallee(FramePlan& frame) {
  constexpr uint32_t kCallBytes = 5;
  constexpr uint8_t kCallRel32 = 0xe8;
  const std::vector<uint8_t> call = ReadCode(frame.pc - kCallBytes, kCallBytes);
  if (call.size() != kCallBytes || call[0] != kCallRel32) return;
  int32_t distance = 0;
  std::memcpy(&distance, call.data() + 1, sizeof distance);
  const LinkAddress target = frame.pc + static_cast<uint64_t>(int64_t{distance});
  const std::string_view imported = Symbols().PltName(target);
  frame.callee = {};  // a direct call needs no program
  if (imported.empty()) {
    frame.callee_entry = target;
  } else {
    frame.callee_name = dwarf::NameHash(imported);
  }
}

CallerPlan DwarfModule::PlanFromSymbol(LinkAddress return_address, LinkAddress lookup) {
  CallerPlan plan;
  plan.build_id = build_id();
  VirtualFrame frame;
  if (const auto symbol = Symbols().Find(lookup)) {
    frame.function = static_cast<StringId>(plan.unit.strings.size());
    plan.unit.strings.push_back(symbol->name);
  }
  plan.unit.virtual_frames.push_back(frame);
  FramePlan machine;
  machine.pc = return_address;
  machine.virtual_count = 1;
  plan.unit.frames.push_back(machine);
  return plan;
}

Result<CallerPlan> DwarfModule::CompileCaller(LinkAddress return_address, bool pc_is_exact,
                                              const CaptureLimits&) {
  const LinkAddress lookup = pc_is_exact ? return_address : return_address - 1;
  const auto debug = Debug();
  Dwarf_Die* unit = debug.ok() ? (*debug)->units.FindByAddress(lookup) : nullptr;
  if (unit == nullptr) return PlanFromSymbol(return_address, lookup);
  CallerPlan plan;
  plan.build_id = build_id();
  const auto frames = FrameCompiler::Create((*debug)->file->dwarf(), options_.redaction, plan.unit,
                                            &(*debug)->unit_cache);
  // Never innermost: even at an exact pc (under a signal handler) only what the unwinder recovers
  // is known.
  const auto frame = frames->AddFrame(unit, return_address, lookup, false);
  if (!frame.ok()) return PlanFromSymbol(return_address, lookup);
  CompleteFrame(**debug, plan.unit.frames[*frame]);
  NameParts(plan.unit, plan.unit.frames[*frame]);
  if (!pc_is_exact) ReadCallee(plan.unit.frames[*frame]);
  GiveBackPages();
  SF_RETURN_IF_ERROR(VerifyUnit(plan.unit).WithContext("caller plan for " + path_));
  return plan;
}

std::vector<EndedFunction> DwarfModule::EndedBetween(LinkAddress called, LinkAddress running) {
  const auto debug = Debug();
  if (!debug.ok()) return {};
  std::vector<EndedFunction> ended;
  for (const auto& step : tail_calls_.Between(called, running, (*debug)->units, Symbols())) {
    const bool is_known = step.inside.value != 0;
    EndedFunction function{is_known ? step.inside : step.function, {}};
    function.frames = Symbolize(function.pc);
    if (!is_known) {  // of its entry only the function is true
      function.frames.erase(function.frames.begin(), function.frames.end() - 1);
      function.frames[0].line = 0;
    }
    ended.push_back(std::move(function));
  }
  return ended;
}

std::vector<LinkAddress> DwarfModule::LikelyCallers(LinkAddress address, uint32_t max) {
  const auto debug = Debug();
  if (!debug.ok()) return {};
  return (*debug)->calls.FindCallers((*debug)->units, address, std::min(max, kMaxCallers));
}

std::vector<SourceFrame> DwarfModule::Symbolize(LinkAddress pc) {
  std::vector<SourceFrame> frames;
  if (const auto debug = Debug(); debug.ok()) {
    Dwarf_Die* unit = (*debug)->units.FindByAddress(pc);
    if (unit != nullptr) frames = InlineChain(unit, pc);
    const FunctionEntry* const function =
        unit == nullptr ? nullptr : (*debug)->units.FindFunction(unit, pc);
    const auto symbol = function == nullptr ? std::nullopt : Symbols().Find(function->entry);
    if (symbol && symbol->offset == 0 && !frames.empty()) {
      frames.back().function = NameCoroutinePart(frames.back().function, symbol->name);
    }
  }
  if (frames.empty()) frames.emplace_back();
  if (frames.back().function.empty()) {
    if (const auto symbol = Symbols().Find(pc)) frames.back().function = symbol->name;
  }
  return frames;
}

std::string DwarfModule::SymbolName(LinkAddress address) {
  const auto symbol = Symbols().Find(address);
  if (!symbol) return "";
  return symbol->offset == 0 ? symbol->name : symbol->name + "+" + std::to_string(symbol->offset);
}

Result<std::vector<std::string>> DwarfModule::Files(std::string_view suffix) {
  SF_ASSIGN_OR_RETURN(const ModuleDebug* const debug, Debug());
  return debug->lines.Paths(suffix);
}

Result<std::vector<LineInfo>> DwarfModule::Lines(std::string_view file, uint32_t first,
                                                 uint32_t last) {
  SF_ASSIGN_OR_RETURN(ModuleDebug* const debug, Debug());
  SF_ASSIGN_OR_RETURN(const std::vector<SourceFile> files, debug->lines.Find(file));
  if (files.empty()) return FileNotFound(*debug, file, true);
  std::vector<LineInfo> lines;
  for (const SourceFile& source : files) {
    for (const auto& [line, sites] : AllLineSites(*debug, source, first, last)) {
      lines.push_back(MakeLineInfo(source.path, line, sites));
    }
  }
  return lines;
}

Result<std::vector<LinkAddress>> DwarfModule::StatementAddresses(uint64_t max) {
  SF_ASSIGN_OR_RETURN(const ModuleDebug* const debug, Debug());
  return debug->lines.AllStatements(max);
}

}  // namespace

std::unique_ptr<SymbolModule> MakeSymbolModule(std::string path, std::unique_ptr<ElfFile> elf,
                                               const SymbolizerOptions& options,
                                               SourceNamesCache& names) {
  return std::make_unique<DwarfModule>(std::move(path), std::move(elf), options, names);
}

}  // namespace stillframe
