#include "agent/tracepoint_store.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <set>

#include "agent/hit_times.h"
#include "agent/log_message.h"
#include "agent/measure_plan.h"
#include "agent/next_instruction.h"
#include "agent/ring/ring.h"
#include "agent/span_plan.h"
#include "agent/tick_clock.h"
#include "base/log.h"
#include "symbolizer/path_match.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kCallerLevels = 5;  // frames 1 to 4 show variables, which 1 to 5 pass on
constexpr uint32_t kMaxPreparedCallers = 128;
constexpr uint32_t kMaxPreparedThrowers = 64;
constexpr int kMaxInstructionsBehind = 3;
constexpr int64_t kBudgetEveryNs = 50'000'000;
constexpr int64_t kFirstPauseNs = 1'000'000'000;
constexpr int64_t kMaxPauseNs = 64'000'000'000;
constexpr int64_t kMaxLifeMs = 100ll * 365 * 24 * 3'600'000;  // fits into 64 bits of nanoseconds
constexpr int64_t kFreeSlotsEveryNs = 1'000'000'000;
constexpr int64_t kLookForModulesNs = 25'000'000;

// What this agent does not do yet is refused by name.
Status CheckSupported(const model::TracepointSpec& spec) {
  const auto refuse = [](const std::string& what) {
    return Status(Code::kUnsupported, what + " not supported by this version of the agent");
  };
  if (spec.kind == model::Kind::kSpan && spec.location.function.empty() &&
      (spec.location.file.empty() || spec.end_location.file.empty())) {
    return refuse("spans between other places than two lines are");
  }
  if (!spec.location.exception.empty()) {
    if (spec.kind != model::Kind::kSnapshot && spec.kind != model::Kind::kCounter) {
      return refuse("throws can only be SNAPSHOT or COUNTER; other kinds are");
    }
    if (!spec.condition.empty() || !spec.expressions.empty()) {
      return refuse("conditions and expressions over a thrown object are");
    }
  }
  if (!spec.selector.trace_id.empty()) return refuse("trace-scoped tracepoints are");
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
      .line_addresses = {},
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

// The wall clock is asked once: it may jump, and a tracepoint's life must not (HAZARDS D8).
int64_t MonotonicExpiry(uint64_t expires_unix_ms) {
  if (expires_unix_ms == 0) return 0;
  const int64_t left_ms = static_cast<int64_t>(expires_unix_ms) - RealtimeNanos() / 1'000'000;
  return MonotonicNanos() + std::clamp<int64_t>(left_ms, 0, kMaxLifeMs) * 1'000'000;
}

void AddSums(hit::CounterSums& into, const hit::CounterSums& from) {
  for (int i = 0; i < hit::kCounterCount; ++i) into.count[i] += from.count[i];
  into.ticks += from.ticks;
  into.fast_ticks += from.fast_ticks;
  for (int i = 0; i < 32; ++i) into.histogram[i] += from.histogram[i];
}

uint64_t CountedBy(const ModuleProbe& probe) {
  const hit::Action action = probe.runtime().action;
  if (action != hit::Action::kCount && action != hit::Action::kMeasure) return 0;
  return hit::SumCounters(probe.runtime()).count[hit::kCaptured];
}

bool IsMeant(const model::Location& location, const LoadedModule& module, bool is_executable) {
  if (location.module.empty()) return !location.address || is_executable;
  return module.build_id == location.module || HasPathSuffix(module.path, location.module);
}

// Which of two failures says more: the file's own problem over "not in this module". That the
// executable itself has no debug information weighs more than that a library lacks the file.
int Weight(Code code, bool is_executable) {
  if (code == Code::kFileNotFound || code == Code::kFunctionNotFound) return 1;
  if (code == Code::kNoDebugInfo || code == Code::kBuildMismatch) return is_executable ? 2 : 0;
  return 3;
}

// A bad file is one line, and as if it were not there.
Formatters ReadFormatters(const std::vector<std::string>& files) {
  Formatters formatters;
  for (const std::string& file : files) {
    const Status status = formatters.AddFile(file);
    if (!status.ok()) LogError("formatters: " + status.ToString());
  }
  return formatters;
}

}  // namespace

TracepointStore::TracepointStore(StoreOptions options)
    : options_(std::move(options)),
      formatters_(ReadFormatters(options_.formatter_files)),
      symbolizer_(Symbolizer::Create(SymbolizerOptions{.debug_path = options_.debug_path,
                                                       .redaction = options_.redaction,
                                                       .formatters = &formatters_,
                                                       .max_sites = 1000})),
      callers_(*symbolizer_) {}

TracepointStore::~TracepointStore() = default;

Status TracepointStore::Prepare() {
  if (prepared_) return installer_status_;
  prepared_ = true;
  // The function itself, not a wrapper: only it is compiled for the hit path.
  auto installer =
      probe::ProbeInstaller::Create(reinterpret_cast<probe::HitFunction>(&hit::stillframe_hit));
  if (!installer.ok()) {
    installer_status_ = installer.status();
    return installer_status_;
  }
  installer_ = std::move(*installer);
  MeasureHits();
  sites_ = std::make_unique<SiteTable>(*installer_);
  return Status();
}

void TracepointStore::MeasureHits() {
  const auto cost = installer_->MeasureFastHits();
  hit::SetFastHitTicks(cost.counted, cost.logged);
}

void TracepointStore::ForgetUnloaded(const std::vector<LoadedModule>& now) {
  for (const LoadedModule& old : modules_) {
    const bool still_there = std::any_of(now.begin(), now.end(), [&](const LoadedModule& m) {
      return m.path == old.path && m.bias.value == old.bias.value && m.build_id == old.build_id;
    });
    if (still_there && !WasReloaded(old)) continue;
    callers_.Forget(old.start, old.end);
    if (sites_ != nullptr) sites_->Forget(old.start, old.end);
    for (auto& [id, active] : active_) {
      const auto gone = [&](const auto& probe) {
        return probe->module().bias.value == old.bias.value && probe->module().path == old.path;
      };
      if (std::none_of(active.probes.begin(), active.probes.end(), gone)) continue;
      for (auto& probe : active.probes) {
        if (gone(probe)) probe->ForgetSites();
      }
      TakeOut(active);
      SetState(active, model::State::kPending,
               Status(Code::kModuleUnloaded, old.FileName() + " was unloaded"));
    }
  }
}

bool TracepointStore::WasReloaded(const LoadedModule& module) const {
  return sites_ != nullptr && sites_->LostPatches(module.start, module.end);
}

void TracepointStore::RefreshModules() {
  module_generation_ = ModuleGeneration();
  std::vector<LoadedModule> now = ListLoadedModules();
  ForgetUnloaded(now);
  modules_ = std::move(now);
  unwind_.Refresh(modules_, *symbolizer_);
}

void TracepointStore::SetDesired(const std::vector<model::DesiredTracepoint>& desired) {
  // What was unloaded is forgotten first: its text is not there to be restored.
  bool refreshed = modules_.size() > 0 && module_generation_ == ModuleGeneration();
  if (!active_.empty() && !refreshed) {
    RefreshModules();
    refreshed = true;
  }
  std::set<std::string> wanted;
  for (const auto& tracepoint : desired) wanted.insert(tracepoint.id);
  for (auto it = active_.begin(); it != active_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    TakeOut(it->second);
    gone_ticks_ += it->second.retired_sums.ticks;
    it = active_.erase(it);
    ++status_version_;
  }
  for (const auto& tracepoint : desired) {
    const auto [entry, is_new] = active_.try_emplace(tracepoint.id);
    Active& active = entry->second;
    if (!is_new && active.desired.revision == tracepoint.revision) continue;
    if (!is_new) {
      TakeOut(active);
      active.captured_before = Sums(active).count[hit::kCaptured];
      active.admitted = 0;
    }
    active.desired = tracepoint;
    active.expires_ns = MonotonicExpiry(tracepoint.expires_unix_ms);
    if (!refreshed) RefreshModules();
    refreshed = true;
    Arm(active);
  }
  UpdateGuard();
  callers_.Publish();
}

void TracepointStore::TakeAllOut() {
  if (!active_.empty() && module_generation_ != ModuleGeneration()) RefreshModules();
  for (auto& [id, active] : active_) TakeOut(active);
  UpdateGuard();
}

Status TracepointStore::CompileEverywhere(const Active& active, Plans& plans) {
  Status status = CompileEverywhere(active, false, plans);
  // Most modules lack the file: only when all do are they asked again for similar names.
  if (status.code() == Code::kFileNotFound) status = CompileEverywhere(active, true, plans);
  return status;
}

Status TracepointStore::CompileEverywhere(const Active& active, bool name_near_files,
                                          Plans& plans) {
  SF_ASSIGN_OR_RETURN(const model::LogTemplate log, ReadLogTemplate(active.desired.spec));
  PlanRequest request = MakeRequest(active.desired.spec, log, options_.bytes_per_snapshot);
  request.name_near_files = name_near_files;
  request.own_code_only = active.desired.spec.kind == model::Kind::kSpan;
  if (!active.desired.spec.location.exception.empty()) {
    request.thrown = ThrownTypes(active.desired.spec.location.exception);
    ++request.limits.frames;  // the runtime's own is not shown
    ++request.limits.local_frames;
  }
  Status worst;
  int weight = -1;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso || module.text.empty()) continue;
    if (!IsMeant(active.desired.spec.location, module, &module == &modules_.front())) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    Status status = opened.status();
    if (opened.ok()) {
      auto plan = (*opened)->Compile(request);
      status = NameLogMessage(plan.status(), log);
      if (plan.ok() && active.desired.spec.kind == model::Kind::kDistribution) {
        ProbePlan trial = *plan;
        status = MakeMeasureSites(trial).status();
        if (!status.ok()) plan = status;
      }
      if (plan.ok()) plans.emplace_back(&module, std::move(*plan));
    }
    if (!status.ok()) LogDebug(module.path + ": " + status.ToString());
    if (status.ok()) continue;
    const int says = Weight(status.code(), &module == &modules_.front());
    if (says > weight) worst = status.WithContext(module.FileName());
    weight = std::max(weight, says);
  }
  if (!plans.empty()) return Status();
  if (weight < 0 && !active.desired.spec.location.module.empty()) {
    return Status(Code::kFileNotFound,
                  "no module '" + active.desired.spec.location.module + "' is loaded");
  }
  return worst;
}

// The type may be defined, or only known, in any module.
std::vector<std::string> TracepointStore::ThrownTypes(const std::string& type) {
  if (type == "*") return {type};
  std::set<std::string> names;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    if (!opened.ok()) continue;
    for (std::string& name : (*opened)->TypeInfoNames(type)) names.insert(std::move(name));
  }
  // No symbol and no plain name: nothing matches.
  if (names.empty()) names.insert(type);
  return {names.begin(), names.end()};
}

// Who throws, so that the first hit has their values too.
void TracepointStore::PrepareThrowers() {
  uint32_t left = kMaxPreparedThrowers;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso || left == 0) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    if (!opened.ok() || !(*opened)->debug_status().ok()) continue;
    for (const LinkAddress after : (*opened)->CallersOfImport("__cxa_throw", left)) {
      callers_.PrepareCaller(module, after, kCallerLevels - 1, kMaxPreparedCallers);
      if (left > 0) --left;
    }
  }
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
  active.sites.clear();
  if (Status status = CheckSupported(active.desired.spec); !status.ok()) {
    return SetState(active, model::State::kError, status);
  }
  if (Status status = Prepare(); !status.ok()) {
    return SetState(active, model::State::kError, status);
  }
  const bool logs = active.desired.spec.kind == model::Kind::kLog;
  if (logs && !hit::HasStreams() && hit::PrepareStreams().ok()) MeasureHits();
  Plans plans;
  if (Status status = CompileEverywhere(active, plans); !status.ok()) {
    // The file may come with a library that is not loaded yet.
    const bool may_come =
        status.code() == Code::kFileNotFound || status.code() == Code::kFunctionNotFound;
    return SetState(active, may_come ? model::State::kPending : model::State::kError, status);
  }
  for (auto& [module, plan] : plans) {
    if (!plan.sites.empty()) {
      callers_.Prepare(*module, plan.sites[0].address, kCallerLevels, kMaxPreparedCallers);
    }
  }
  if (!active.desired.spec.location.exception.empty()) PrepareThrowers();
  callers_.Publish();
  if (active.desired.spec.kind == model::Kind::kSpan) {
    Plans ends;
    if (Status status = CompileEnds(active, plans, ends); !status.ok()) {
      return SetState(active, model::State::kError, status);
    }
    ArmSpan(active, std::move(plans), std::move(ends));
    plans.clear();
  }
  for (auto& [module, plan] : plans) {
    ArmIn(active, *module, std::move(plan));
    // An address is meant exactly; of a line, its beginning.
    if (active.desired.spec.location.address) continue;
    ArmBehind(active, *module, *active.probes.back(), kMaxInstructionsBehind);
  }
  size_t armed = 0;
  Status refusal;
  for (const auto& probe : active.probes) {
    armed += probe->armed_sites();
    if (refusal.ok()) refusal = probe->refusal();
    active.sites.insert(active.sites.end(), probe->sites().begin(), probe->sites().end());
  }
  if (armed == 0) {
    TakeOut(active);
    SetState(active, model::State::kError,
             refusal.ok() ? Status(Code::kLineHasNoCode, "no site to arm") : refusal);
  } else {
    SetState(active, model::State::kArmed, Status());
  }
}

Status TracepointStore::CompileEnds(const Active& active, const Plans& begins, Plans& ends) {
  const model::TracepointSpec& spec = active.desired.spec;
  if (spec.location.function.empty()) {
    Active end;
    end.desired = active.desired;
    end.desired.spec.location = spec.end_location;
    end.desired.spec.condition.clear();
    SF_RETURN_IF_ERROR(CompileEverywhere(end, ends).WithContext("endLocation"));
  } else {
    for (const auto& [module, plan] : begins) {
      SF_ASSIGN_OR_RETURN(SymbolModule* const opened,
                          symbolizer_->OpenModule(module->path, module->build_id));
      PlanRequest request = MakeRequest(spec, {}, options_.bytes_per_snapshot);
      request.condition.clear();
      SF_ASSIGN_OR_RETURN(request.line_addresses, FunctionExits(*opened, plan));
      if (request.line_addresses.empty()) {
        return Status(Code::kLineHasNoCode, "the function never returns");
      }
      SF_ASSIGN_OR_RETURN(ProbePlan end, opened->Compile(request));
      ends.emplace_back(module, std::move(end));
    }
  }
  for (auto& [module, plan] : ends) DropVariables(plan);
  return Status();
}

void TracepointStore::ArmIn(Active& active, const LoadedModule& module, ProbePlan plan,
                            const SpanRole& span) {
  std::vector<hit::MeasureSite> measure;
  if (active.desired.spec.kind == model::Kind::kDistribution) {
    auto sites = MakeMeasureSites(plan);  // worked before: CompileEverywhere asked
    if (!sites.ok()) return;
    measure = std::move(*sites);
  }
  auto probe = std::make_unique<ModuleProbe>(active.desired.id, next_probe_id_++, std::move(plan),
                                             std::move(measure), span, module, active.desired.spec,
                                             options_.ticks_per_second);
  by_id_[probe->id()] = probe.get();
  // In the list before it is armed: hits may then use it, so nothing may destroy it.
  active.probes.push_back(std::move(probe));
  active.probes.back()->Arm(*sites_);
}

// Ends first: a span that begins finds them.
void TracepointStore::ArmSpan(Active& active, Plans begins, Plans ends) {
  std::set<std::string> functions;
  const auto names = [&functions](const ProbePlan& plan) {
    for (const SitePlan& site : plan.sites) functions.insert(plan.unit.strings[site.function]);
  };
  for (const auto& [module, plan] : begins) names(plan);
  const bool by_function = !active.desired.spec.location.function.empty();
  const size_t begun_in = functions.size();
  for (const auto& [module, plan] : ends) names(plan);
  SpanRole role;
  role.id = next_span_id_++;
  role.any_frame = !by_function && functions.size() != begun_in;
  role.ends = true;
  for (auto& [module, plan] : ends) {
    ArmIn(active, *module, std::move(plan), role);
    if (by_function) ArmBefore(active, *module, *active.probes.back(), role);
  }
  role.ends = false;
  for (auto& [module, plan] : begins) {
    DropVariables(plan);
    ArmIn(active, *module, std::move(plan), role);
  }
}

void TracepointStore::ArmBefore(Active& active, const LoadedModule& module,
                                const ModuleProbe& probe, const SpanRole& role) {
  auto opened = symbolizer_->OpenModule(module.path, module.build_id);
  if (!opened.ok()) return;
  const ModuleProbe* refused = &probe;
  for (int tries = 0; tries < kMaxInstructionsBehind; ++tries) {
    PlanRequest request = MakeRequest(active.desired.spec, {}, options_.bytes_per_snapshot);
    request.condition.clear();
    for (const model::SiteStatus& site : refused->sites()) {
      if (!site.reason.starts_with(CodeName(Code::kUnsafeSite))) continue;
      const auto before = PreviousInSequence(**opened, LinkAddress(site.address));
      if (before) request.line_addresses.push_back(*before);
    }
    if (request.line_addresses.empty()) return;
    auto plan = (*opened)->Compile(request);
    if (!plan.ok()) return;
    DropVariables(*plan);
    ArmIn(active, module, std::move(*plan), role);
    refused = active.probes.back().get();
  }
}

void TracepointStore::ArmBehind(Active& active, const LoadedModule& module,
                                const ModuleProbe& probe, int tries) {
  if (tries == 0) return;
  auto opened = symbolizer_->OpenModule(module.path, module.build_id);
  const auto log = ReadLogTemplate(active.desired.spec);
  if (!opened.ok() || !log.ok()) return;
  PlanRequest request = MakeRequest(active.desired.spec, *log, options_.bytes_per_snapshot);
  for (const model::SiteStatus& site : probe.sites()) {
    if (!site.reason.starts_with(CodeName(Code::kUnsafeSite))) continue;
    const auto next = NextOfSameLine(**opened, LinkAddress(site.address));
    if (next) request.line_addresses.push_back(*next);
  }
  if (request.line_addresses.empty()) return;
  auto plan = (*opened)->Compile(request);
  if (!plan.ok()) return;
  ArmIn(active, module, std::move(*plan));
  ArmBehind(active, module, *active.probes.back(), tries - 1);
}

void TracepointStore::TakeOut(Active& active) {
  retired_.reserve(retired_.size() + active.probes.size());
  for (auto& probe : active.probes) {
    if (sites_ != nullptr) probe->Disarm(*sites_);
    // Its counters go on until quiescence: FreeRetired takes the sums.
    retired_.push_back(std::move(probe));
  }
  active.probes.clear();
}

// The fault handler behind fast condition reads is in force only while a probe is.
void TracepointStore::UpdateGuard() {
  const bool wanted = std::any_of(active_.begin(), active_.end(),
                                  [](const auto& entry) { return !entry.second.probes.empty(); });
  if (wanted && guarded_ && !hit::RefreshGuardedReads(MonotonicNanos()) && !guard_lost_) {
    guard_lost_ = true;
    LogInfo("conditions over the heap are slow: the program has its own SIGSEGV handler");
  }
  if (wanted == guarded_) return;
  guarded_ = wanted;
  if (Status status = hit::SetGuardedReads(wanted); !status.ok()) {
    LogInfo("conditions over the heap are slow: " + status.ToString());
  }
}

void TracepointStore::SetState(Active& active, model::State state, const Status& why) {
  const std::string reason = why.ok() ? "" : std::string(CodeName(why.code()));
  if (active.state == state && active.reason == reason && active.message == why.message()) return;
  active.state = state;
  active.reason = reason;
  active.message = why.message();
  ++status_version_;
  LogInfo("tracepoint " + active.desired.id + ": " + std::string(model::StateName(state)) +
          (why.ok() ? "" : " (" + why.ToString() + ")"));
}

hit::CounterSums TracepointStore::Sums(const Active& active) const {
  hit::CounterSums sums = active.retired_sums;
  for (const auto& probe : active.probes) AddSums(sums, hit::SumCounters(probe->runtime()));
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() == active.desired.id) {
      AddSums(sums, hit::SumCounters(probe->runtime()));
    }
  }
  return sums;
}

uint64_t TracepointStore::Counted(const Active& active) const {
  uint64_t sum = active.retired_counted;
  for (const auto& probe : active.probes) sum += CountedBy(*probe);
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() == active.desired.id) sum += CountedBy(*probe);
  }
  return sum;
}

hit::DistributionSums TracepointStore::Distribution(const Active& active) const {
  hit::DistributionSums sums = active.retired_distribution;
  for (const auto& probe : active.probes) {
    AddDistribution(hit::SumDistribution(probe->runtime()), sums);
  }
  for (const auto& probe : retired_) {
    if (probe->tracepoint_id() != active.desired.id) continue;
    AddDistribution(hit::SumDistribution(probe->runtime()), sums);
  }
  return sums;
}

void TracepointStore::Tick(int64_t now_ns) {
  if (installer_ != nullptr) installer_->Tick();
  if (active_.empty()) return;
  // A library that arrives is looked at within 100 ms; asking takes the loader's lock, so not more.
  bool modules_changed = false;
  if (now_ns - looked_at_ns_ >= kLookForModulesNs) {
    looked_at_ns_ = now_ns;
    modules_changed = module_generation_ != ModuleGeneration();
  }
  if (modules_changed) RefreshModules();
  for (auto& [id, active] : active_) {
    using model::State;
    if (active.expires_ns != 0 && now_ns >= active.expires_ns && active.state != State::kExpired) {
      TakeOut(active);
      SetState(active, State::kExpired, Status());
      continue;
    }
    const bool waits = active.state == State::kPending || active.state == State::kError;
    if (modules_changed && waits) {
      Arm(active);
      continue;
    }
    if (active.state == State::kThrottled) {
      if (MonotonicNanos() >= active.paused_until_ns) Resume(active);
      continue;
    }
    if (active.state != State::kArmed && active.state != State::kEmitting) continue;
    const uint64_t captured = Sums(active).count[hit::kCaptured] - active.captured_before;
    const uint64_t max_hits = active.desired.spec.limits.max_hits;
    if (max_hits != 0 && captured >= max_hits) {
      TakeOut(active);
      SetState(active, State::kCompleted, Status());
    } else if (captured > 0) {
      SetState(active, State::kEmitting, Status());
    }
  }
  if (now_ns - slots_freed_ns_ >= kFreeSlotsEveryNs) {
    slots_freed_ns_ = now_ns;
    hit::FreeDeadSlots();
  }
  CheckBudget();
  UpdateGuard();
  callers_.Publish();
}

// The hit path keeps its own budget at each hit. Hits that compiled code decides alone are too
// short for that, so their number is looked at here: the tracepoint that took more than half of the
// process's share, or the most when all together took more than it, is taken out of the text for a
// while.
void TracepointStore::CheckBudget() {
  if (options_.cpu_percent <= 0) return;
  const int64_t now = MonotonicNanos();
  const int64_t elapsed_ns = now - budget_checked_ns_;
  if (elapsed_ns < kBudgetEveryNs) return;
  budget_checked_ns_ = now;
  const double share = options_.cpu_percent / 100 * static_cast<double>(options_.ticks_per_second) *
                       static_cast<double>(elapsed_ns) / 1e9;
  double total = 0;
  double most = 0;
  Active* worst = nullptr;
  for (auto& [id, active] : active_) {
    const uint64_t ticks = Sums(active).fast_ticks;
    const auto used = static_cast<double>(ticks - std::min(ticks, active.fast_ticks_seen));
    active.fast_ticks_seen = ticks;
    total += used;
    if (active.state == model::State::kThrottled || used <= most) continue;
    most = used;
    worst = &active;
  }
  if (worst != nullptr && (most > share / 2 || total > share)) {
    Pause(*worst, most / share * options_.cpu_percent);
  }
}

void TracepointStore::Pause(Active& active, double percent) {
  active.pause_ns =
      active.pause_ns == 0 ? kFirstPauseNs : std::min(active.pause_ns * 2, kMaxPauseNs);
  active.paused_until_ns = MonotonicNanos() + active.pause_ns;
  for (const auto& probe : active.probes) probe->Pause(*sites_);
  char text[128];
  std::snprintf(text, sizeof text, "its hits took %.2f %% of a processor; taken out for %lld s",
                percent, static_cast<long long>(active.pause_ns / 1'000'000'000));
  SetState(active, model::State::kThrottled, Status(Code::kOverBudget, text));
}

void TracepointStore::Resume(Active& active) {
  for (const auto& probe : active.probes) probe->Resume(*sites_);
  active.fast_ticks_seen = Sums(active).fast_ticks;
  const bool emitted = Sums(active).count[hit::kCaptured] > active.captured_before;
  SetState(active, emitted ? model::State::kEmitting : model::State::kArmed, Status());
}

const ModuleProbe* TracepointStore::FindProbe(uint64_t probe_id) const {
  const auto found = by_id_.find(probe_id);
  return found == by_id_.end() ? nullptr : found->second;
}

bool TracepointStore::AdmitSnapshot(const std::string& tracepoint_id) {
  const auto found = active_.find(tracepoint_id);
  if (found == active_.end()) return true;  // removed meanwhile: the capture is still wanted
  Active& active = found->second;
  const uint64_t max_hits = active.desired.spec.limits.max_hits;
  if (max_hits != 0 && active.admitted >= max_hits) {
    ++active.over_limit;
    return false;
  }
  ++active.admitted;
  return true;
}

std::vector<model::TracepointReport> TracepointStore::Reports() const {
  std::vector<model::TracepointReport> reports;
  for (const auto& [id, active] : active_) {
    const hit::CounterSums sums = Sums(active);
    model::TracepointReport report;
    report.id = id;
    model::AgentStatus& status = report.status;
    status.state = active.state;
    status.reason = active.reason;
    status.message = active.message;
    status.sites = active.sites;
    status.revision = active.desired.revision;
    model::Counters& counters = status.counters;
    counters.hits = sums.count[hit::kHits];
    counters.condition_false = sums.count[hit::kConditionFalse];
    counters.condition_error = sums.count[hit::kConditionError];
    counters.rate_limited = sums.count[hit::kRateLimited];
    counters.budget_stopped = sums.count[hit::kBudgetStopped];
    counters.reentrant = sums.count[hit::kReentrant];
    counters.ring_full = sums.count[hit::kRingFull];
    counters.unsafe_context = sums.count[hit::kUnsafeContext];
    counters.captured = sums.count[hit::kCaptured];
    counters.acked = std::min(Counted(active), counters.captured);  // hits go on meanwhile
    if (active.over_limit > 0) counters.dropped["overHitLimit"] = active.over_limit;
    if (active.desired.spec.kind == model::Kind::kDistribution) {
      status.distribution = DescribeDistribution(Distribution(active));
    }
    status.hit_nanos_p50 = HitNanos(sums, 0.5, options_.ticks_per_second);
    status.hit_nanos_p99 = HitNanos(sums, 0.99, options_.ticks_per_second);
    reports.push_back(std::move(report));
  }
  return reports;
}

double TracepointStore::HitSeconds() const {
  uint64_t ticks = gone_ticks_;
  for (const auto& [id, active] : active_) ticks += Sums(active).ticks;
  for (const auto& probe : retired_) {
    if (!active_.contains(probe->tracepoint_id()))
      ticks += hit::SumCounters(probe->runtime()).ticks;
  }
  return static_cast<double>(ticks) / static_cast<double>(options_.ticks_per_second);
}

uint64_t TracepointStore::MemoryBytes() const { return unwind_.bytes() + ring::ResidentBytes(); }

bool TracepointStore::waits_for_module() const {
  return std::any_of(active_.begin(), active_.end(), [](const auto& entry) {
    return entry.second.state == model::State::kPending;
  });
}

bool TracepointStore::active() const {
  return NeedsCollection() || std::any_of(active_.begin(), active_.end(), [](const auto& entry) {
           return !entry.second.probes.empty();
         });
}

bool TracepointStore::NeedsCollection() const {
  return !retired_.empty() || callers_.has_retired() ||
         (sites_ != nullptr && sites_->has_retired());
}

void TracepointStore::FreeRetired() {
  for (const auto& probe : retired_) {
    by_id_.erase(probe->id());
    const auto found = active_.find(probe->tracepoint_id());
    if (found != active_.end()) {
      AddSums(found->second.retired_sums, hit::SumCounters(probe->runtime()));
      found->second.retired_counted += CountedBy(*probe);
      AddDistribution(hit::SumDistribution(probe->runtime()), found->second.retired_distribution);
    } else {
      gone_ticks_ += hit::SumCounters(probe->runtime()).ticks;
    }
  }
  retired_.clear();
  callers_.FreeRetired();
  unwind_.FreeRetired();
  if (sites_ != nullptr) sites_->FreeRetired();
}

}  // namespace stillframe::agent
