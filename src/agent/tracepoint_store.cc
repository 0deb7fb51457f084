#include "agent/tracepoint_store.h"

#include <algorithm>
#include <set>

#include "agent/loader_guard.h"
#include "agent/probe/unwinder_hook.h"
#include "agent/ring/ring.h"
#include "agent/tick_clock.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr int64_t kFreeSlotsEveryNs = 1'000'000'000;
constexpr size_t kMaxGone = 256;
constexpr int64_t kLookForModulesNs = 25'000'000;

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
      callers_(*symbolizer_) {
  callers_.SetDurable(options_.durable);
}

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
  LogDebug("a short hit takes " + std::to_string(cost.counted) + " ticks, with a message " +
           std::to_string(cost.logged));
  hit::SetFastHitTicks(cost.counted, cost.logged);
}

void TracepointStore::ForgetUnloaded(const std::vector<LoadedModule>& now) {
  for (const LoadedModule& old : modules_) {
    const bool still_there =
        std::any_of(now.begin(), now.end(), [&](const LoadedModule& m) { return m.IsSame(old); });
    if (still_there && !WasReloaded(old)) continue;
    callers_.Forget(old.start, old.end);
    if (sites_ != nullptr) sites_->Forget(old.start, old.end);
    for (auto& [id, active] : active_) {
      if (active.stash != nullptr) active.stash->ForgetSites(old);
      const auto gone = [&](const auto& probe) { return probe->module().IsSame(old); };
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
  ++modules_version_;
  for (LoadedModule& module : now) {
    const auto old = std::find_if(modules_.begin(), modules_.end(),
                                  [&](const LoadedModule& m) { return m.IsSame(module); });
    module.listed_since = old == modules_.end() ? modules_version_ : old->listed_since;
  }
  modules_ = std::move(now);
  if (options_.durable != nullptr) options_.durable->NoteModules(modules_);
  unwind_.Refresh(modules_, *symbolizer_);
  HookUnwinders();
}

void TracepointStore::HookUnwinders() {
  const LoaderGuard guard;
  const Status hooked = probe::HookUnwinders();
  if (!hooked.ok() && !unhooked_) LogInfo(hooked.message());
  unhooked_ = !hooked.ok();
}

void TracepointStore::SetDesired(const model::DesiredSet& set) {
  // What was unloaded is forgotten first: its text is not there to be restored.
  if (!active_.empty() && module_generation_ != ModuleGeneration()) RefreshModules();
  stop_ = set.stop;
  if (Stop()) {
    for (auto& [id, active] : active_) Block(active);
  }
  std::set<std::string> wanted;
  for (const auto& tracepoint : set.tracepoints) wanted.insert(tracepoint.id);
  for (auto it = active_.begin(); it != active_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    TakeOut(it->second);
    gone_ticks_ += it->second.retired_sums.ticks;
    if (gone_.size() >= kMaxGone) gone_.erase(gone_.begin());
    const auto gone = it++;
    gone_.insert(active_.extract(gone));
    ++status_version_;
  }
  if (!set.tracepoints.empty() && module_generation_ != ModuleGeneration()) RefreshModules();
  for (const auto& tracepoint : set.tracepoints) {
    // One that comes back, renewed after its end perhaps, goes on counting: what was acknowledged
    // of it is still known.
    auto gone = gone_.extract(tracepoint.id);
    const bool is_back = !gone.empty();
    if (is_back) {
      gone_ticks_ -= gone.mapped().retired_sums.ticks;
      active_.insert(std::move(gone));
    }
    const auto [entry, is_new] = active_.try_emplace(tracepoint.id);
    Accept(entry->second, tracepoint, is_new || is_back);
  }
  UpdateGuard();
  callers_.Publish();
}

void TracepointStore::TakeAllOut() {
  if (!active_.empty() && module_generation_ != ModuleGeneration()) RefreshModules();
  for (auto& [id, active] : active_) TakeOut(active);
  UpdateGuard();
}

void TracepointStore::ReleaseUnwinders() {
  const LoaderGuard guard;
  probe::UnhookUnwinders();
}

void TracepointStore::TakeOut(Active& active) {
  retired_.reserve(retired_.size() + active.probes.size());
  for (auto& probe : active.probes) {
    if (sites_ != nullptr) probe->Disarm(*sites_);
    // Its counters go on until quiescence: FreeRetired takes the sums.
    retired_.push_back(std::move(probe));
  }
  active.probes.clear();
  // After the tracepoint's own: a hit that still runs began before, as did the calls it looks at.
  if (active.stash == nullptr) return;
  retired_stashes_.reserve(retired_stashes_.size() + 1);
  if (sites_ != nullptr) active.stash->Disarm(*sites_);
  retired_stashes_.push_back(std::move(active.stash));
  active.stash_ticks_seen = 0;
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

void TracepointStore::Tick(int64_t now_ns) {
  if (installer_ != nullptr) {
    if (const Status traps = installer_->Tick(); !traps.ok()) DropTraps(traps);
  }
  const bool files_changed = StepDebugFiles(now_ns);
  if (active_.empty()) return;
  // A library that arrives is looked at within 100 ms; asking takes the loader's lock, so not more.
  bool modules_changed = false;
  if (now_ns - looked_at_ns_ >= kLookForModulesNs) {
    looked_at_ns_ = now_ns;
    modules_changed = module_generation_ != ModuleGeneration();
  }
  if (modules_changed) RefreshModules();
  for (auto& [id, active] : active_) TickOne(active, now_ns, files_changed);
  if (now_ns - slots_freed_ns_ >= kFreeSlotsEveryNs) {
    slots_freed_ns_ = now_ns;
    hit::FreeDeadSlots();
    HookUnwinders();  // imports that were resolved since
  }
  CheckBudget();
  UpdateGuard();
  callers_.Publish();
}

const ModuleProbe* TracepointStore::FindProbe(uint64_t probe_id) const {
  const auto found = by_id_.find(probe_id);
  return found == by_id_.end() ? nullptr : found->second;
}

bool TracepointStore::AdmitSnapshot(const std::string& tracepoint_id) {
  const auto found = active_.find(tracepoint_id);
  if (found == active_.end()) return true;  // removed meanwhile: the capture is still wanted
  Active& active = found->second;
  if (active.desired.spec.limits.max_hits != 0 && active.admitted >= Allowed(active)) {
    ++active.over_limit;
    return false;
  }
  ++active.admitted;
  return true;
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
  return !retired_.empty() || !retired_stashes_.empty() || callers_.has_retired() ||
         (sites_ != nullptr && sites_->has_retired());
}

}  // namespace stillframe::agent
