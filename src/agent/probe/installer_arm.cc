// Arming and restoring: text changes, level by level.
#include <time.h>

#include <algorithm>

#include "agent/hit/hit.h"
#include "agent/probe/installer.h"
#include "agent/probe/trap_handler.h"
#include "base/log.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kReach = arch::kPatchWindowBytes;
constexpr int64_t kTrapCheckNs = 1'000'000'000;

int64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace

TextChange Installer::Change(const Site& site, bool arm) const {
  const std::span<const uint8_t> original(site.plan.original.data(),
                                          site.plan.option.dependent_end);
  const std::span<const uint8_t> patched(site.plan.patched.data(), site.plan.option.dependent_end);
  return TextChange{site.address, arm ? original : patched, arm ? patched : original,
                    arch::GuardBytes(), site.protection};
}

void Installer::ArmSet::Drop(uint64_t address, Status why) {
  wanted.erase(address);
  dropped.emplace(address, std::move(why));
  displaced.clear();
  replacements.clear();
}

std::vector<Status> Installer::ArmAll(std::span<const RuntimeAddress> addresses) {
  if (Status status = CheckProcess(); !status.ok()) {
    return std::vector<Status>(addresses.size(), status);
  }
  std::map<uint64_t, Status> results;
  ArmSet set;
  for (const RuntimeAddress address : addresses) {
    const auto found = sites_.find(address.value);
    Status& result = results[address.value];
    if (found == sites_.end()) {
      result = Status(Code::kInvalidArgument, "the site is not prepared");
    } else if (found->second.state == State::kForgotten) {
      result = Status(Code::kModuleUnloaded, "the site's module was unloaded");
    } else if (found->second.plan.option.method == Method::kNone) {
      result = Status(Code::kInvalidArgument, "the site could not be prepared");
    } else if (found->second.state == State::kPrepared) {
      set.wanted.insert(address.value);
    }
  }
  while (!set.wanted.empty() && !FitPlans(set)) {
  }
  RouteTraps(set);
  while (!set.wanted.empty() && !FitPlans(set)) {
  }
  for (auto& [address, status] : set.dropped) results[address] = status;

  std::map<uint64_t, State> states;
  for (const uint64_t address : set.displaced) states[address] = sites_.at(address).state;
  std::map<uint64_t, Status> changed;
  Restore(set.displaced, changed);
  std::set<uint64_t> all = set.wanted;
  for (const uint64_t address : set.displaced) {
    Site& site = sites_.at(address);
    if (site.patched()) continue;  // somebody else's bytes: it stays as it is
    site.plan = set.replacements.at(address);
    all.insert(address);
  }
  changed.clear();
  Patch(all, changed);
  WithdrawUnsafeTraps(all, changed);
  for (auto& [address, status] : changed) {
    Site& site = sites_.at(address);
    if (status.ok()) site.state = State::kHeld;
    const auto before = states.find(address);
    if (before == states.end()) {
      if (results.contains(address)) results[address] = status;
    } else if (!status.ok()) {
      LogError("a neighbouring probe was lost: " + status.ToString());
    } else if (before->second == State::kArmed) {
      site.state = State::kArmed;
      ++armed_count_;
    }
  }
  // Helpers of what failed.
  std::set<uint64_t> idle;
  for (const uint64_t address : set.wanted) {
    const bool held = sites_.at(address).state == State::kHeld;
    if (held && !results.contains(address) && !IsNeeded(address, {})) idle.insert(address);
  }
  if (!idle.empty()) Restore(idle, changed);
  std::vector<Status> statuses;
  for (const RuntimeAddress address : addresses) {
    const Status& result = results[address.value];
    statuses.push_back(result);
    const auto found = sites_.find(address.value);
    if (!result.ok() || found->second.state != State::kHeld) continue;
    found->second.state = State::kArmed;
    ++armed_count_;
  }
  return statuses;
}

void Installer::RouteTraps(ArmSet& set) {
  Status safe;
  bool looked = false;
  for (const uint64_t address : std::set<uint64_t>(set.wanted)) {
    const Site& site = sites_.at(address);
    if (site.plan.option.method != Method::kTrap) continue;
    if (!looked) safe = CheckTrapIsSafe();
    looked = true;
    const Status routed = safe.ok() ? RouteTrap(address, site.body) : safe;
    if (!routed.ok()) set.Drop(address, routed);
  }
}

// A thread may have blocked the signal since it was looked at.
void Installer::WithdrawUnsafeTraps(const std::set<uint64_t>& addresses,
                                    std::map<uint64_t, Status>& results) {
  std::set<uint64_t> traps;
  for (const uint64_t address : addresses) {
    const auto result = results.find(address);
    const bool patched = result != results.end() && result->second.ok();
    if (patched && sites_.at(address).plan.option.method == Method::kTrap) traps.insert(address);
  }
  if (traps.empty()) return;
  const Status safe = CheckTrapIsSafe();
  if (safe.ok()) return;
  std::map<uint64_t, Status> restored;
  Restore(traps, restored);
  for (const uint64_t address : traps) results[address] = safe;
}

std::set<uint64_t> Installer::ArmedTraps() const {
  std::set<uint64_t> traps;
  for (const auto& [address, site] : sites_) {
    if (site.patched() && site.plan.option.method == Method::kTrap) traps.insert(address);
  }
  return traps;
}

// While a trap is armed: what has changed in the process since, once a second.
Status Installer::Tick() {
  if (!CheckProcess().ok()) return Status();
  const int64_t now_ns = MonotonicNanos();
  if (now_ns - traps_checked_ns_ < kTrapCheckNs) return Status();
  traps_checked_ns_ = now_ns;
  const std::set<uint64_t> traps = ArmedTraps();
  ReleaseTraps(!traps.empty(), now_ns);
  if (traps.empty()) return Status();
  Status safe = CheckTrapIsSafe();
  if (safe.ok() && TrapHandlerIsLost()) {
    safe = Status(Code::kUnsafeSite, "the program has installed its own handler of SIGTRAP");
  }
  if (safe.ok()) return safe;
  LogError("traps are taken out: " + safe.ToString());
  std::map<uint64_t, Status> results;
  Restore(traps, results);
  return safe;
}

// What the plans rest on is patched as well, silently.
void Installer::AddRequired(ArmSet& set) const {
  std::vector<uint64_t> open(set.wanted.begin(), set.wanted.end());
  open.insert(open.end(), set.displaced.begin(), set.displaced.end());
  while (!open.empty()) {
    const uint64_t address = open.back();
    open.pop_back();
    const auto replacement = set.replacements.find(address);
    const Plan& plan =
        replacement == set.replacements.end() ? sites_.at(address).plan : replacement->second;
    for (const uint64_t above : plan.required) {
      const auto found = sites_.find(above);
      if (found == sites_.end() || found->second.state != State::kPrepared) continue;
      if (!set.dropped.contains(above) && set.wanted.insert(above).second) open.push_back(above);
    }
  }
}

// Patched sites whose jumps read what changes, and those that need them in turn.
void Installer::AddDisplaced(ArmSet& set) const {
  std::vector<uint64_t> open(set.displaced.begin(), set.displaced.end());
  auto displace = [&](uint64_t below) {
    if (set.displaced.insert(below).second) open.push_back(below);
  };
  for (const uint64_t address : set.wanted) {
    for (const uint64_t below : Disturbed(address, sites_.at(address).plan.option)) displace(below);
  }
  for (const auto& [address, plan] : set.replacements) {
    for (const uint64_t below : Disturbed(address, plan.option)) displace(below);
  }
  while (!open.empty()) {
    const uint64_t address = open.back();
    open.pop_back();
    for (auto it = sites_.lower_bound(address - std::min(address, kReach));
         it != sites_.end() && it->first < address; ++it) {
      const auto& required = it->second.plan.required;
      if (it->second.patched() &&
          std::find(required.begin(), required.end(), address) != required.end()) {
        displace(it->first);
      }
    }
  }
}

bool Installer::FitPlans(ArmSet& set) {
  AddRequired(set);
  AddDisplaced(set);
  const size_t size = set.wanted.size() + set.displaced.size();
  Batch batch(writer_->system());
  std::map<uint64_t, Plan> in_force;
  std::set<uint64_t, std::greater<>> downwards(set.wanted.begin(), set.wanted.end());
  for (const uint64_t address : set.displaced) {
    const Plan& plan = in_force.emplace(address, sites_.at(address).plan).first->second;
    const auto changed = static_cast<size_t>(plan.option.changed_end - plan.option.changed_first);
    (void)batch.view.Overlay(address + plan.option.changed_first,
                             {plan.original.data() + plan.option.changed_first, changed});
    downwards.insert(address);
  }
  Status failure;
  uint64_t failed = 0;
  for (const uint64_t address : downwards) {
    failure = FitPlan(sites_.at(address), batch);
    failed = address;
    if (!failure.ok()) break;
  }
  Status flushed = memory_.Flush();
  for (auto& [address, plan] : in_force) {
    set.replacements[address] = std::exchange(sites_.at(address).plan, plan);
  }
  if (!flushed.ok()) {
    for (const uint64_t address : std::set<uint64_t>(set.wanted)) set.Drop(address, flushed);
  } else if (failure.ok()) {
    // A new plan may rest on, or disturb, what is not in the set yet.
    AddRequired(set);
    AddDisplaced(set);
    return size == set.wanted.size() + set.displaced.size();
  } else if (in_force.contains(failed)) {
    DropDisturbers(sites_.at(failed), failure, set);
  } else {
    set.Drop(failed, failure);
  }
  return false;
}

// Keeps the plan if the bytes are those that it was made for.
Status Installer::FitPlan(Site& site, Batch& batch) {
  arch::PatchWindow window;
  SF_ASSIGN_OR_RETURN(const size_t readable, ReadWindow(site, batch.view, window));
  if (Usable(site.plan, site, window, readable)) return Show(site, batch);
  const uint32_t own = site.analysis->instruction_bytes();
  for (uint32_t i = 0; i < site.plan.option.dependent_end && i < readable; ++i) {
    if (window[i] == site.plan.original[i]) continue;
    if (i < own || !IsOurChange(site.address + i)) {
      return Status(Code::kProbeFailed, "the bytes at the site are not the expected ones");
    }
  }
  SF_RETURN_IF_ERROR(ReadMaps(batch));
  return PlanSite(site, batch);
}

bool Installer::IsOurChange(uint64_t address) const {
  for (auto it = sites_.lower_bound(address - std::min(address, kReach));
       it != sites_.end() && it->first <= address; ++it) {
    const arch::PatchOption& option = it->second.plan.option;
    if (it->second.state != State::kForgotten && address >= it->first + option.changed_first &&
        address < it->first + option.changed_end) {
      return true;
    }
  }
  return false;
}

// The armed site goes first: what would make it move to where it cannot be is refused.
void Installer::DropDisturbers(const Site& displaced, const Status& why, ArmSet& set) const {
  const Status refusal(
      Code::kUnsafeSite,
      "an armed probe's jump reads these bytes and cannot do without: " + why.message());
  std::set<uint64_t> guilty;
  for (const uint64_t address : set.wanted) {
    const auto below = Disturbed(address, sites_.at(address).plan.option);
    const bool near = address > displaced.address && address < displaced.address + kReach;
    if (near && !below.empty()) guilty.insert(address);
  }
  if (guilty.empty()) guilty = set.wanted;
  for (const uint64_t address : guilty) set.Drop(address, refusal);
}

std::vector<std::vector<uint64_t>> Installer::Levels(const std::set<uint64_t>& addresses) const {
  std::map<uint64_t, size_t> level;
  std::vector<std::vector<uint64_t>> levels;
  for (auto it = addresses.rbegin(); it != addresses.rend(); ++it) {
    size_t own = 0;
    for (const uint64_t above : sites_.at(*it).plan.required) {
      const auto found = level.find(above);
      if (found != level.end()) own = std::max(own, found->second + 1);
    }
    level[*it] = own;
    if (levels.size() <= own) levels.resize(own + 1);
    levels[own].push_back(*it);
  }
  return levels;
}

void Installer::Patch(const std::set<uint64_t>& addresses, std::map<uint64_t, Status>& results) {
  const auto levels = Levels(addresses);
  for (size_t i = 0; i < levels.size(); ++i) {
    std::vector<TextChange> changes;
    for (const uint64_t address : levels[i]) changes.push_back(Change(sites_.at(address), true));
    // What lies below reads these bytes, so no thread may be left with the old ones. At the end it
    // does not matter: old and new are both right, each in one piece.
    std::vector<Status> done = writer_->ReplaceAll(changes, /*sync=*/i + 1 < levels.size());
    for (size_t k = 0; k < done.size(); ++k) results[levels[i][k]] = std::move(done[k]);
  }
}

bool Installer::IsNeeded(uint64_t address, const std::set<uint64_t>& but_for) const {
  for (auto it = sites_.lower_bound(address - std::min(address, kReach));
       it != sites_.end() && it->first < address; ++it) {
    const auto& required = it->second.plan.required;
    if (it->second.patched() && !but_for.contains(it->first) &&
        std::find(required.begin(), required.end(), address) != required.end()) {
      return true;
    }
  }
  return false;
}

void Installer::Hold(Site& site) {
  if (site.state == State::kArmed) --armed_count_;
  site.state = State::kHeld;
}

void Installer::Restore(const std::set<uint64_t>& addresses, std::map<uint64_t, Status>& results) {
  const auto levels = Levels(addresses);
  for (auto level = levels.rbegin(); level != levels.rend(); ++level) {
    std::vector<TextChange> changes;
    std::vector<uint64_t> changing;
    for (const uint64_t address : *level) {
      Site& site = sites_.at(address);
      // One below it could not be restored: then these bytes have to stay.
      if (IsNeeded(address, {})) {
        Hold(site);
        continue;
      }
      changes.push_back(Change(site, false));
      changing.push_back(address);
    }
    std::vector<Status> done = writer_->ReplaceAll(changes, /*sync=*/true);
    for (size_t k = 0; k < done.size(); ++k) {
      Site& site = sites_.at(changing[k]);
      if (done[k].ok()) {
        if (site.state == State::kArmed) --armed_count_;
        site.state = State::kPrepared;
      }
      results[changing[k]] = std::move(done[k]);
    }
  }
}

}  // namespace stillframe::probe
