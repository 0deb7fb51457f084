// Of the store: probes at function entries that stash arguments for a tracepoint.
#include <algorithm>
#include <cstdio>

#include "agent/tracepoint_store.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr size_t kMaxFunctions = 64;  // a line of a header may be in thousands
constexpr size_t kMaxCallers = 8;

bool CapturesFrames(const model::TracepointSpec& spec) {
  return spec.kind == model::Kind::kSnapshot && !spec.dry_run;
}

}  // namespace

Status TracepointStore::Fine(const Active& active) {
  return Status(Code::kOk, active.stash != nullptr ? active.stash->note() : "");
}

Status TracepointStore::ArmStash(Active& active, Plans& plans, Plans& ends,
                                 const CallersWanted& callers) {
  const model::TracepointSpec& spec = active.desired.spec;
  std::vector<EntryStash::Function> functions;
  for (Plans* const some : {&plans, &ends}) {
    for (const ModulePlan& plan : *some) {
      const LoadedModule& module = *plan.module;
      auto opened = symbolizer_->OpenModule(module.path, module.build_id);
      if (!opened.ok()) continue;
      for (const auto& [entry, cells] : WantedEntries(plan.plan, CapturesFrames(spec))) {
        const auto same = [&, at = entry](const EntryStash::Function& function) {
          return function.module == &module && function.entry == at;
        };
        const auto known = std::find_if(functions.begin(), functions.end(), same);
        if (known != functions.end()) {
          known->cells |= cells;
        } else if (functions.size() < kMaxFunctions) {
          functions.push_back({&module, *opened, entry, cells});
        }
      }
    }
  }
  if (!spec.dry_run) AddCallers(spec.capture.local_frames, callers, functions);
  if (functions.empty()) return Status();
  active.stash = std::make_unique<EntryStash>();
  active.stash->Arm(functions, *sites_);
  for (Plans* const some : {&plans, &ends}) {
    for (ModulePlan& plan : *some) SF_RETURN_IF_ERROR(DropUnstashed(active, plan));
  }
  return Status();
}

// Nearest first: of those that are often called, and whose frames are seldom above the line, the
// budget takes them all out again.
void TracepointStore::AddCallers(uint32_t local_frames, const CallersWanted& callers,
                                 std::vector<EntryStash::Function>& functions) {
  size_t left = kMaxCallers;
  for (const CallerPlans::WantedEntry& caller : callers) {
    if (caller.level + 1 >= local_frames) continue;
    const auto same = [&](const EntryStash::Function& function) {
      return function.module == caller.module && function.entry == caller.entry;
    };
    const auto known = std::find_if(functions.begin(), functions.end(), same);
    if (known != functions.end()) {
      known->cells |= caller.cells;
      continue;
    }
    auto opened = symbolizer_->OpenModule(caller.module->path, caller.module->build_id);
    if (!opened.ok() || left == 0) continue;
    functions.push_back({caller.module, *opened, caller.entry, caller.cells, true});
    --left;
  }
}

Status TracepointStore::DropUnstashed(const Active& active, ModulePlan& plan) {
  Status refusal;
  size_t kept = 0;
  for (size_t i = 0; i < plan.plan.sites.size(); ++i) {
    const SitePlan& site = plan.plan.sites[i];
    if (AsksAtOnce(plan.plan, plan.measure, i)) {
      const LinkAddress entry = plan.plan.unit.frames[site.frame].function_entry;
      Status covered(Code::kUnsafeSite, "its entry is not known");
      if (active.stash != nullptr) {
        covered = active.stash->Covers(plan.module->bias.ToRuntime(entry));
        active.stash->SetNeeded();
      }
      if (!covered.ok()) {
        if (refusal.ok()) refusal = covered;
        continue;
      }
    }
    if (i < plan.measure.size()) plan.measure[kept] = plan.measure[i];
    plan.plan.sites[kept++] = site;
  }
  plan.plan.sites.resize(kept);
  plan.measure.resize(std::min(kept, plan.measure.size()));
  if (kept != 0 || refusal.ok()) return Status();
  return Status(Code::kOptimizedOut,
                "a variable is only known where the function is entered, and cannot be stashed "
                "there: " +
                    refusal.message());
}

// A tracepoint that can do without its entries goes on without them once they alone take half of
// the process's share, as much as it may take itself.
void TracepointStore::CheckStashBudget(double share) {
  for (auto& [id, active] : active_) {
    if (active.stash == nullptr) continue;
    const uint64_t ticks = active.stash->Ticks();
    const auto used = static_cast<double>(ticks - active.stash_ticks_seen);
    active.stash_ticks_seen = ticks;
    if (used <= share / 2 || active.stash->has_given_up()) continue;
    if (active.stash->GiveUpCallers(*sites_)) {
      LogInfo("tracepoint " + id + ": callers' arguments are not stashed any more");
      continue;
    }
    if (active.stash->is_needed()) continue;
    active.stash->GiveUp(*sites_,
                         "arguments are not stashed at function entries any more: that took " +
                             std::to_string(static_cast<int>(100 * used / share)) +
                             " % of what all tracepoints together may take");
    LogInfo("tracepoint " + id + ": " + active.stash->note());
    if (active.state == model::State::kArmed || active.state == model::State::kEmitting) {
      SetState(active, active.state, Fine(active));
    }
  }
}

}  // namespace stillframe::agent
