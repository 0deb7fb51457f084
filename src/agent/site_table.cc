#include "agent/site_table.h"

#include <algorithm>
#include <iterator>

#include "base/log.h"

namespace stillframe::agent {
namespace {

// The executable segment that holds the address; empty when none does.
probe::ModuleText TextOf(const LoadedModule& module, RuntimeAddress address) {
  for (const TextRange& range : module.text) {
    if (range.start <= address && address < range.end) {
      return probe::ModuleText{module.path, range.start, range.end,
                               RuntimeAddress(hit::InstructionBoundaryBefore(address.value))};
    }
  }
  return probe::ModuleText{module.path, RuntimeAddress(), RuntimeAddress(), RuntimeAddress()};
}

// Sites changed at a time while the module is held and forks wait: some milliseconds.
constexpr size_t kPortion = 64;

// `change` of every site, while the module cannot vanish; the results in the order of the sites.
template <typename Change>
std::vector<Status> InPortions(std::span<const RuntimeAddress> sites, const LoadedModule& module,
                               const Change& change) {
  std::vector<Status> results;
  results.reserve(sites.size());
  while (!sites.empty()) {
    const auto some = sites.first(std::min(kPortion, sites.size()));
    sites = sites.subspan(some.size());
    std::vector<Status> portion;
    const Status held = WhileLoaded(module, [&] {
      portion = change(some);
      return Status();
    });
    if (!held.ok()) portion.assign(some.size(), held);
    std::move(portion.begin(), portion.end(), std::back_inserter(results));
  }
  return results;
}

}  // namespace

void SiteTable::Replace(Site& site, std::unique_ptr<hit::SiteProbeList> next) {
  // The full way serves every list, so it is in force while the list changes. Release: a hit that
  // sees the new list sees its probes (acquire in stillframe_hit).
  retired_.reserve(retired_.size() + 1);  // nothing may fail once the new list is in force
  retired_code_.reserve(retired_code_.size() + 1);
  site.runtime->entry.store(site.runtime->full_entry, std::memory_order_release);
  site.runtime->list.store(next.get(), std::memory_order_release);
  if (site.list != nullptr) retired_.push_back(std::move(site.list));
  if (site.code != 0) retired_code_.push_back(site.code);
  site.list = std::move(next);
  site.code = 0;
  if (site.list != nullptr && site.list->count == 1) Compile(site);
}

void SiteTable::Compile(Site& site) {
  const hit::SiteProbe& entry = site.list->entries[0];
  hit::ProbeRuntime& probe = *entry.probe;
  const Program& condition = probe.sites[entry.site_index].condition;
  // The probe's own limits are the hit path's to keep.
  const bool unlimited = probe.max_hits == 0 && probe.ticks_per_permit == 0 &&
                         probe.per_trace == 0 && probe.scope == nullptr;
  const bool logs_all = probe.action == hit::Action::kLog && unlimited;
  const bool counts_all = probe.action == hit::Action::kCount && unlimited;
  if (condition.empty() && !counts_all && !logs_all) return;
  probe::ProbeCodeSpec spec;
  spec.condition = {probe.unit.code + condition.first, condition.count};
  spec.strings = probe.unit.strings;
  spec.load_bias = probe.load_bias;
  spec.first_counter = reinterpret_cast<uint64_t>(&probe.shards->count[0]);
  const bool limited_count = probe.action == hit::Action::kCount && !unlimited;
  spec.action = limited_count ? hit::Action::kCapture : probe.action;  // the full way
  if (logs_all) spec.light = &probe.light[entry.site_index];
  spec.code = probe.unit.code;
  spec.probe_id = probe.probe_id;
  spec.site_index = entry.site_index;
  const uint64_t address = site.runtime->address;
  spec.cfa.known = hit::SimpleCfaAt(address, spec.cfa.dwarf_register, spec.cfa.offset);
  const auto code = installer_.PlaceProbeCode(RuntimeAddress{address}, spec);
  if (!code.ok()) return LogDebug("a condition is interpreted: " + code.status().ToString());
  site.code = *code;
  probe.compiled = true;
  site.runtime->entry.store(site.code, std::memory_order_release);
}

void SiteTable::FreeRetired() {
  retired_.clear();
  for (const uint64_t code : retired_code_) installer_.FreeProbeCode(code);
  retired_code_.clear();
}

Result<probe::Method> SiteTable::AddToSite(Site& site, hit::SiteProbe probe) {
  constexpr uint32_t kMax = std::size(decltype(site.list->entries){});
  if (site.list->count == kMax) {
    return Status(Code::kOverLimit,
                  "there are " + std::to_string(kMax) + " tracepoints on this address already");
  }
  auto next = std::make_unique<hit::SiteProbeList>(*site.list);
  next->entries[next->count++] = probe;
  Replace(site, std::move(next));
  return site.method;
}

std::vector<Result<probe::Method>> SiteTable::AddAll(std::span<const Addition> additions,
                                                     const LoadedModule& module, bool allow_trap) {
  std::vector<Result<probe::Method>> results(additions.size(), probe::Method::kNone);
  std::vector<size_t> fresh;
  std::vector<probe::ModuleText> texts;
  std::vector<probe::SiteRequest> requests;
  texts.reserve(additions.size());
  for (size_t i = 0; i < additions.size(); ++i) {
    const RuntimeAddress address = additions[i].address;
    if (sites_.contains(address.value)) continue;
    texts.push_back(TextOf(module, address));
    if (texts.back().text_start == texts.back().text_end) {
      results[i] = Status(Code::kUnsafeSite, "the address is not in an executable segment");
      continue;
    }
    fresh.push_back(i);
    requests.push_back({address, &texts.back(), allow_trap});
  }
  const auto prepared = installer_.PrepareAll(requests);
  std::vector<RuntimeAddress> ready;
  std::vector<size_t> ready_index;
  for (size_t k = 0; k < fresh.size(); ++k) {
    const size_t i = fresh[k];
    const Addition& addition = additions[i];
    if (!prepared[k].ok()) {
      results[i] = prepared[k].status();
      continue;
    }
    const auto [entry, is_new] = sites_.try_emplace(addition.address.value);
    if (!is_new) continue;  // twice in one batch: joins below
    Site& site = entry->second;
    site.runtime = prepared[k]->runtime;
    site.method = prepared[k]->method;
    auto list = std::make_unique<hit::SiteProbeList>();
    list->count = 1;
    list->entries[0] = addition.probe;
    Replace(site, std::move(list));
    ready.push_back(addition.address);
    ready_index.push_back(i);
    results[i] = site.method;
  }
  const std::vector<Status> armed =
      InPortions(ready, module,
                 [this](std::span<const RuntimeAddress> some) { return installer_.ArmAll(some); });
  for (size_t k = 0; k < ready.size(); ++k) {
    if (armed[k].ok()) continue;
    const auto found = sites_.find(ready[k].value);
    Replace(found->second, nullptr);
    sites_.erase(found);
    results[ready_index[k]] = armed[k];
  }
  for (size_t i = 0; i < additions.size(); ++i) {
    if (!results[i].ok() || *results[i] != probe::Method::kNone) continue;
    const auto found = sites_.find(additions[i].address.value);
    results[i] = found != sites_.end()
                     ? AddToSite(found->second, additions[i].probe)
                     : Result<probe::Method>(Status(Code::kProbeFailed, "the site failed to arm"));
  }
  return results;
}

std::vector<Status> SiteTable::RemoveAll(std::span<const RuntimeAddress> addresses,
                                         const LoadedModule& module,
                                         const hit::ProbeRuntime* probe) {
  std::vector<RuntimeAddress> empty;
  for (const RuntimeAddress address : addresses) {
    const auto found = sites_.find(address.value);
    if (found == sites_.end()) continue;
    Site& site = found->second;
    auto next = std::make_unique<hit::SiteProbeList>();
    for (uint32_t i = 0; i < site.list->count; ++i) {
      const hit::SiteProbe& entry = site.list->entries[i];
      if (entry.probe != probe) next->entries[next->count++] = entry;
    }
    if (next->count > 0) {
      Replace(site, std::move(next));
    } else {
      empty.push_back(address);
    }
  }
  // Text first, so that the counters of the last hits still find their probe.
  std::vector<Status> restored = InPortions(
      empty, module,
      [this](std::span<const RuntimeAddress> some) { return installer_.DisarmAll(some); });
  // Of a module that is gone nothing is left to restore.
  std::erase_if(restored, [](const Status& status) {
    return status.ok() || status.code() == Code::kModuleUnloaded;
  });
  for (const RuntimeAddress address : empty) {
    const auto found = sites_.find(address.value);
    if (found == sites_.end()) continue;
    Replace(found->second, nullptr);
    sites_.erase(found);
  }
  return restored;
}

bool SiteTable::LostPatches(RuntimeAddress start, RuntimeAddress end) const {
  const auto last = sites_.lower_bound(end.value);
  for (auto it = sites_.lower_bound(start.value); it != last; ++it) {
    if (installer_.LostPatch(RuntimeAddress(it->first))) return true;
  }
  return false;
}

void SiteTable::Forget(RuntimeAddress start, RuntimeAddress end) {
  const auto first = sites_.lower_bound(start.value);
  const auto last = sites_.lower_bound(end.value);
  for (auto it = first; it != last; ++it) Replace(it->second, nullptr);
  sites_.erase(first, last);
  installer_.Forget(start, end);
}

}  // namespace stillframe::agent
