// Of the store: from a tracepoint to plans, and from plans to probes in force.
#include <algorithm>
#include <array>
#include <new>
#include <set>

#include "agent/function_exits.h"
#include "agent/line_executions.h"
#include "agent/log_message.h"
#include "agent/measure_plan.h"
#include "agent/next_instruction.h"
#include "agent/span_plan.h"
#include "agent/tracepoint_store.h"
#include "agent/variant_calls.h"
#include "base/log.h"
#include "symbolizer/path_match.h"

namespace stillframe::agent {
namespace {

// What this agent does not do yet is refused by name.
Status CheckSupported(const model::TracepointSpec& spec) {
  const auto refuse = [](const std::string& what) {
    return Status(Code::kUnsupported, what + " not supported by this version of the agent");
  };
  if (spec.kind == model::Kind::kSpan && spec.location.function.empty() &&
      (spec.location.file.empty() || spec.end_location.file.empty())) {
    return refuse("spans between other places than two lines are");
  }
  if (!spec.location.fatal.empty()) {
    if (spec.kind != model::Kind::kSnapshot && spec.kind != model::Kind::kCounter) {
      return refuse("the end of a program can only be SNAPSHOT or COUNTER; other kinds are");
    }
    if (!spec.condition.empty() || !spec.expressions.empty()) {
      return refuse("conditions and expressions at the end of a program are");
    }
  }
  return Status();
}

PlanRequest MakeRequest(const model::TracepointSpec& spec, const model::LogTemplate& log,
                        uint32_t bytes_per_snapshot) {
  const model::Capture& capture = spec.capture;
  const bool is_log = spec.kind == model::Kind::kLog;  // of the frames only its own place
  return PlanRequest{
      .file = spec.location.file,
      .line = spec.location.line,
      .function = spec.location.function,
      .address =
          spec.location.address ? std::optional(LinkAddress(*spec.location.address)) : std::nullopt,
      .thrown = {},
      .thrown_as_is = false,
      .terminate = spec.location.fatal == "terminate",
      .line_addresses = {},
      .returns = {},
      .own_code_only = false,
      .condition = spec.condition,
      .expressions = ExpressionsOf(log, spec),
      .limits = {.frames = is_log ? 1 : capture.frames,
                 .local_frames = is_log ? 0 : capture.local_frames,
                 .depth = capture.depth,
                 .items = capture.items,
                 .string_bytes = capture.string_bytes,
                 .bytes = std::min(capture.bytes, bytes_per_snapshot)},
  };
}

// The plan of the places where the function is left. The request then has them.
Result<ProbePlan> CompileReturns(SymbolModule& module, const LoadBias& bias, PlanRequest& request) {
  if (request.returns.empty()) {
    PlanRequest entries = request;
    entries.own_code_only = true;
    entries.condition.clear();
    entries.expressions.clear();
    SF_ASSIGN_OR_RETURN(const ProbePlan plan, module.Compile(entries));
    const auto has_frame_pointer = [&bias](LinkAddress address) {
      constexpr uint8_t kRbp = 6;
      uint8_t reg = 0;
      int32_t offset = 0;
      return hit::SimpleCfaAt(bias.ToRuntime(address).value, reg, offset) && reg == kRbp;
    };
    SF_ASSIGN_OR_RETURN(request.returns, FunctionReturns(module, plan, has_frame_pointer));
  }
  return module.Compile(request);
}

// Bit i is the i-th of hit.h's signals.
uint32_t FatalSignals(const std::string& fatal) {
  constexpr std::array<std::string_view, hit::kFatalSignals> kNames{"SIGSEGV", "SIGBUS", "SIGFPE",
                                                                    "SIGILL", "SIGABRT"};
  if (fatal == "signal") return (uint32_t{1} << kNames.size()) - 1;
  uint32_t signals = 0;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (fatal == kNames[i]) signals |= uint32_t{1} << i;
  }
  return signals;
}

// A plan without a place: which one it is tells the signal.
ProbePlan PlanOfSignals(const std::string& fatal, const LoadedModule& program,
                        const CaptureLimits& limits) {
  ProbePlan plan = PlanOfFunction(fatal);
  plan.module_path = program.path;
  plan.build_id = program.build_id;
  plan.limits = limits;
  plan.fatal_signals = FatalSignals(fatal);
  return plan;
}

bool IsMeant(const model::Location& location, const LoadedModule& module, bool is_executable) {
  if (location.module.empty()) return !location.address || is_executable;
  return module.build_id == location.module || HasPathSuffix(module.ShownPath(), location.module);
}

// Which of two failures says more: the file's own problem over "not in this module". That the
// executable itself has no debug information weighs more than that a library lacks the file.
int Weight(Code code, bool is_executable) {
  if (code == Code::kFileNotFound || code == Code::kFunctionNotFound) return 1;
  if (code == Code::kNoDebugInfo || code == Code::kBuildMismatch) return is_executable ? 2 : 0;
  return 3;
}

// What no module has may be in one whose file cannot be read, or was replaced since it was loaded.
Status NameUnread(const Status& status, const std::vector<Status>& unread) {
  if (unread.empty() || Weight(status.code(), false) != 1) return status;
  const std::string more =
      unread.size() == 1 ? "" : ", and " + std::to_string(unread.size() - 1) + " more";
  return {status.code(), status.message() + "; not looked at: " + unread[0].message() + more};
}

// The place to probe instead of the return at `address`, one of `from`.
void AddNext(SymbolModule& module, LinkAddress address, const std::vector<ReturnSite>& from,
             std::vector<ReturnSite>& out) {
  const auto found = std::find_if(from.begin(), from.end(), [address](const ReturnSite& site) {
    return site.address == address;
  });
  if (found == from.end()) return;
  if (const auto next = NextOfReturn(module, *found)) out.push_back(*next);
}

// Where the condition of a span is decided: it may ask how long the span was.
bool IsDecidedAtEnd(const model::TracepointSpec& spec) {
  return spec.kind == model::Kind::kSpan && spec.condition.find("$duration") != std::string::npos;
}

}  // namespace

Status TracepointStore::CompileEverywhere(const Active& active, Plans& plans) {
  Status status = CompileEverywhere(active, false, plans);
  // Most modules lack the file: only when all do are they asked again for similar names.
  if (status.code() == Code::kFileNotFound) status = CompileEverywhere(active, true, plans);
  return status.ok() ? status : WantDebugFile(active.desired.spec, status);
}

Status TracepointStore::CompileEverywhere(const Active& active, bool name_near_files, Plans& plans,
                                          uint64_t after) {
  SF_ASSIGN_OR_RETURN(const model::LogTemplate log, ReadLogTemplate(active.desired.spec));
  PlanRequest request = MakeRequest(active.desired.spec, log, options_.bytes_per_snapshot);
  request.name_near_files = name_near_files;
  request.own_code_only = active.desired.spec.kind == model::Kind::kSpan;
  if (!active.desired.spec.location.exception.empty()) {
    request.thrown = ThrownTypes(active.desired.spec.location.exception);
    request.thrown_as_is = !request.condition.empty() || !request.expressions.empty();
    request.condition.clear();  // AddThrown has both
    request.expressions.clear();
  }
  if (FatalSignals(active.desired.spec.location.fatal) != 0) {
    ModulePlan plan;
    plan.module = &modules_.front();
    plan.plan = PlanOfSignals(active.desired.spec.location.fatal, modules_.front(), request.limits);
    plans.push_back(std::move(plan));
    return Status();
  }
  if (!request.thrown.empty() || request.terminate) {
    ++request.limits.frames;  // the runtime's own is not shown
    ++request.limits.local_frames;
  }
  Status worst;
  int weight = -1;
  std::vector<Status> unread;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso || module.text.empty()) continue;
    if (module.listed_since <= after) continue;
    if (!IsMeant(active.desired.spec.location, module, &module == &modules_.front())) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    Status status = opened.status();
    if (opened.ok()) {
      auto plan = CompileIn(active.desired.spec, request, **opened, module);
      status = NameLogMessage(plan.status(), log);
      if (plan.ok() && request.thrown_as_is) {
        status = NameLogMessage(AddThrown(active.desired.spec, log, *plan), log);
        if (!status.ok()) return status;
      }
      if (plan.ok()) plans.push_back(std::move(*plan));
    }
    if (!status.ok()) LogDebug(module.path + ": " + status.ToString());
    if (status.ok()) continue;
    int says = Weight(status.code(), &module == &modules_.front());
    if (!opened.ok() && &module != &modules_.front()) {  // it may have had the file, or not
      says = 0;
      unread.push_back(status.WithContext(module.FileName()));
    }
    if (says > weight) worst = status.WithContext(module.FileName());
    weight = std::max(weight, says);
  }
  if (!plans.empty()) return Status();
  if (weight < 0 && !active.desired.spec.location.module.empty()) {
    return Status(Code::kFileNotFound,
                  "no module '" + active.desired.spec.location.module + "' is loaded");
  }
  return NameUnread(worst, unread);
}

Result<TracepointStore::ModulePlan> TracepointStore::CompileIn(const model::TracepointSpec& spec,
                                                               const PlanRequest& request,
                                                               SymbolModule& opened,
                                                               const LoadedModule& module) {
  ModulePlan compiled;
  compiled.module = &module;
  if (spec.location.at_return) {
    PlanRequest returns = request;
    SF_ASSIGN_OR_RETURN(compiled.plan, CompileReturns(opened, module.bias, returns));
    compiled.returns = std::move(returns.returns);
  } else {
    SF_ASSIGN_OR_RETURN(compiled.plan, opened.Compile(request));
  }
  // A span's ends pair by frame, whichever part of the line comes first.
  const bool is_span = spec.kind == model::Kind::kSpan;
  const bool is_line = spec.location.line != 0 && request.line_addresses.empty();
  if (!is_span && (is_line || !spec.location.function.empty())) {
    DropCallersOfVariants(opened, compiled.plan);
  }
  if (is_line && !is_span) {
    compiled.passed_over = DropContinuations(opened, compiled.plan);
  }
  // What is measured of a throw is in the plan only when AddThrown was there.
  if (spec.kind == model::Kind::kDistribution && !request.thrown_as_is) {
    SF_ASSIGN_OR_RETURN(compiled.measure, MakeMeasureSites(compiled.plan));
  }
  if (is_span) DropVariables(compiled.plan);
  return compiled;
}

void TracepointStore::Arm(Active& active) {
  try {
    CompileAndArm(active);
  } catch (const std::bad_alloc&) {
    TakeOut(active);
    SetState(active, model::State::kError, Status(Code::kOverLimit, "no memory for the probe"));
  }
}

void TracepointStore::CompileAndArm(Active& active) {
  const model::TracepointSpec& spec = active.desired.spec;
  active.sites.clear();
  waits_for_file_ = false;
  Status status = CheckSupported(spec);
  if (status.ok()) status = Prepare();
  active.modules_seen = modules_version_;
  if (!status.ok()) return SetState(active, model::State::kError, status);
  const bool streams = spec.kind == model::Kind::kLog || spec.kind == model::Kind::kSpan;
  if (streams && !hit::HasStreams() && hit::PrepareStreams().ok()) MeasureHits();
  Plans plans, ends;
  const bool is_span = spec.kind == model::Kind::kSpan && !spec.dry_run;  // else it only counts
  if (IsDecidedAtEnd(spec) && !spec.dry_run) {
    Active begin;
    begin.desired = active.desired;
    begin.desired.spec.condition.clear();
    status = CompileEverywhere(begin, plans);
  } else {
    status = CompileEverywhere(active, plans);
  }
  if (status.ok() && is_span) status = CompileEnds(active, plans, ends);
  if (!status.ok()) {
    // The file may come with a library that is not loaded yet, or with a debug file.
    const bool may_come = waits_for_file_ || status.code() == Code::kFileNotFound ||
                          status.code() == Code::kFunctionNotFound;
    return SetState(active, may_come ? model::State::kPending : model::State::kError, status);
  }
  status = CheckPolicy(spec, plans);
  if (status.ok()) status = CheckPolicy(spec, ends);
  if (!status.ok()) return SetState(active, model::State::kBlocked, status);
  CallersWanted wanted;
  if (spec.kind == model::Kind::kSnapshot) wanted = PrepareCallers(spec, plans);
  status = ArmStash(active, plans, ends, wanted);
  if (!status.ok()) {
    TakeOut(active);
    return SetState(active, model::State::kError, status);
  }
  if (is_span) {
    ArmSpan(active, std::move(plans), std::move(ends));
  } else {
    for (ModulePlan& plan : plans) ArmNear(active, std::move(plan), {}, NextOfSameLine);
  }
  ConcludeArming(active);
}

// So that the first hit has the values of these frames too.
TracepointStore::CallersWanted TracepointStore::PrepareCallers(const model::TracepointSpec& spec,
                                                               const Plans& plans) {
  CallersWanted wanted;
  for (const ModulePlan& plan : plans) {
    if (plan.plan.sites.empty() || plan.plan.fatal_signals != 0) continue;
    callers_.Prepare(*plan.module, plan.plan.sites[0].address, kCallerLevels, kMaxPreparedCallers,
                     &wanted);
  }
  if (!spec.location.exception.empty() || spec.location.fatal == "terminate") PrepareThrowers();
  callers_.Publish();
  return wanted;
}

void TracepointStore::ConcludeArming(Active& active) {
  size_t armed = 0;
  Status refusal;
  for (const auto& probe : active.probes) {
    armed += probe->armed_sites();
    if (refusal.ok()) refusal = probe->refusal();
    active.sites.insert(active.sites.end(), probe->sites().begin(), probe->sites().end());
  }
  if (armed != 0) return SetState(active, model::State::kArmed, Fine(active));
  TakeOut(active);
  SetState(active, model::State::kError,
           refusal.ok() ? Status(Code::kLineHasNoCode, "no site to arm") : refusal);
}

void TracepointStore::DropTraps(const Status& why) {
  for (auto& [id, active] : active_) {
    bool lost = false;
    for (const auto& probe : active.probes) lost |= probe->DropTraps(*sites_, why);
    if (!lost) continue;
    active.sites.clear();
    ConcludeArming(active);
  }
}

Status TracepointStore::CompileEnds(const Active& active, const Plans& begins, Plans& ends) {
  const model::TracepointSpec& spec = active.desired.spec;
  if (spec.location.function.empty()) {
    Active end;
    end.desired = active.desired;
    end.desired.spec.location = spec.end_location;
    if (!IsDecidedAtEnd(spec)) end.desired.spec.condition.clear();
    return CompileEverywhere(end, ends).WithContext("endLocation");
  }
  for (const ModulePlan& begin : begins) {
    const LoadedModule& module = *begin.module;
    SF_ASSIGN_OR_RETURN(SymbolModule* const opened,
                        symbolizer_->OpenModule(module.path, module.build_id));
    PlanRequest request = MakeRequest(spec, {}, options_.bytes_per_snapshot);
    if (!IsDecidedAtEnd(spec)) request.condition.clear();
    SF_ASSIGN_OR_RETURN(request.line_addresses, FunctionExits(*opened, begin.plan));
    if (request.line_addresses.empty()) {
      return Status(Code::kLineHasNoCode, "the function never returns");
    }
    SF_ASSIGN_OR_RETURN(ModulePlan end, CompileIn(spec, request, *opened, module));
    ends.push_back(std::move(end));
  }
  return Status();
}

const ModuleProbe& TracepointStore::ArmIn(Active& active, ModulePlan plan, const SpanRole& span) {
  auto probe = std::make_unique<ModuleProbe>(
      active.desired.id, next_probe_id_++, std::move(plan.plan), std::move(plan.measure), span,
      *plan.module, active.desired.spec, options_.ticks_per_second);
  // What this revision has captured before (it was out for a while) is not captured again.
  const uint64_t allowed = Allowed(active);
  probe->runtime().captures_left.store(allowed - std::min(allowed, Used(active)),
                                       std::memory_order_relaxed);
  probe->runtime().trace_key =
      std::hash<std::string>()(active.desired.id) + active.desired.revision;
  if (active.stash != nullptr) probe->UseStash(*active.stash);
  by_id_[probe->id()] = probe.get();
  active.last_probe_id = probe->id();
  if (options_.durable != nullptr) NoteProbe(active.desired, *probe);
  // In the list before it is armed: hits may then use it, so nothing may destroy it.
  active.probes.push_back(std::move(probe));
  active.probes.back()->Arm(*sites_);
  return *active.probes.back();
}

// Ends first: a span that begins finds them.
void TracepointStore::ArmSpan(Active& active, Plans begins, Plans ends) {
  std::set<std::string> functions;
  const auto names = [&functions](const ModulePlan& plan) {
    for (const SitePlan& site : plan.plan.sites) {
      functions.insert(plan.plan.unit.strings[site.function]);
    }
  };
  for (const ModulePlan& plan : begins) names(plan);
  const bool by_function = !active.desired.spec.location.function.empty();
  const size_t begun_in = functions.size();
  for (const ModulePlan& plan : ends) names(plan);
  SpanRole role;
  role.id = next_span_id_++;
  role.any_frame = !by_function && functions.size() != begun_in;
  role.ends = true;
  for (ModulePlan& plan : ends) {
    // A function's exits are exact; what comes before one leads to it.
    ArmNear(active, std::move(plan), role, by_function ? PreviousInSequence : NextOfSameLine);
  }
  role.ends = false;
  for (ModulePlan& plan : begins) ArmNear(active, std::move(plan), role, NextOfSameLine);
}

void TracepointStore::ArmNear(Active& active, ModulePlan plan, const SpanRole& span, Step step) {
  const model::TracepointSpec& spec = active.desired.spec;
  const LoadedModule& module = *plan.module;
  const std::vector<LinkAddress> passed_over = std::move(plan.passed_over);
  std::vector<ReturnSite> returns = std::move(plan.returns);
  const ModuleProbe* probe = &ArmIn(active, std::move(plan), span);
  // An address is meant exactly, and a signal has none.
  if (spec.location.address || !spec.location.fatal.empty()) return;
  auto opened = symbolizer_->OpenModule(module.path, module.build_id);
  const auto log = ReadLogTemplate(spec);
  if (!opened.ok() || !log.ok()) return;
  PlanRequest request = MakeRequest(spec, *log, options_.bytes_per_snapshot);
  // It held where the span began, or is decided where it ends.
  const bool is_span = spec.kind == model::Kind::kSpan;
  if (is_span && span.ends != IsDecidedAtEnd(spec)) request.condition.clear();
  const auto arm_at = [&](std::vector<LinkAddress> addresses) {
    if (addresses.empty() && request.returns.empty()) return false;
    request.line_addresses = std::move(addresses);
    auto moved = CompileIn(spec, request, **opened, module);
    if (!moved.ok() || !DropUnstashed(active, *moved).ok()) return false;
    probe = &ArmIn(active, std::move(*moved), span);
    return true;
  };
  size_t armed = probe->armed_sites();
  for (int away = 0; away < kMaxInstructionsAway; ++away) {
    std::vector<LinkAddress> near;
    for (const model::SiteStatus& site : probe->sites()) {
      if (!site.reason.starts_with(CodeName(Code::kUnsafeSite))) continue;
      if (spec.location.at_return) {
        AddNext(**opened, LinkAddress(site.address), returns, request.returns);
        continue;
      }
      if (const auto next = step(**opened, LinkAddress(site.address))) near.push_back(*next);
    }
    if (!arm_at(std::move(near))) break;
    armed += probe->armed_sites();
    returns = std::move(request.returns);
    request.returns.clear();
  }
  if (armed == 0 && !passed_over.empty()) arm_at(passed_over);
}

}  // namespace stillframe::agent
