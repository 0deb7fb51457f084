#include "agent/site_table.h"

#include <iterator>

#include "base/log.h"

namespace stillframe::agent {
namespace {

// The executable segment that holds the address; empty when none does.
probe::ModuleText TextOf(const LoadedModule& module, RuntimeAddress address) {
  for (const TextRange& range : module.text) {
    if (range.start <= address && address < range.end) {
      return probe::ModuleText{module.path, range.start, range.end};
    }
  }
  return probe::ModuleText{module.path, RuntimeAddress(), RuntimeAddress()};
}

}  // namespace

void SiteTable::Replace(Site& site, std::unique_ptr<hit::SiteProbeList> next) {
  // The full way serves every list, so it is in force while the list changes. Release: a hit that
  // sees the new list sees its probes (acquire in stillframe_hit).
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
  const hit::ProbeRuntime& probe = *entry.probe;
  const Program& condition = probe.sites[entry.site_index].condition;
  // The probe's own limits are the hit path's to keep.
  const bool logs_all =
      probe.action == hit::Action::kLog && probe.max_hits == 0 && probe.ticks_per_permit == 0;
  if (condition.empty() && probe.action != hit::Action::kCount && !logs_all) return;
  probe::ProbeCodeSpec spec;
  spec.condition = {probe.unit.code + condition.first, condition.count};
  spec.strings = probe.unit.strings;
  spec.load_bias = probe.load_bias;
  spec.first_counter = reinterpret_cast<uint64_t>(&probe.shards->count[0]);
  spec.action = probe.action;
  if (logs_all) spec.light = &probe.light[entry.site_index];
  spec.code = probe.unit.code;
  spec.probe_id = probe.probe_id;
  spec.site_index = entry.site_index;
  const uint64_t address = site.runtime->address;
  spec.cfa.known = hit::SimpleCfaAt(address, spec.cfa.dwarf_register, spec.cfa.offset);
  const auto code = installer_.PlaceProbeCode(RuntimeAddress{address}, spec);
  if (!code.ok()) return LogDebug("a condition is interpreted: " + code.status().ToString());
  site.code = *code;
  site.runtime->entry.store(site.code, std::memory_order_release);
}

void SiteTable::FreeRetired() {
  retired_.clear();
  for (const uint64_t code : retired_code_) installer_.FreeProbeCode(code);
  retired_code_.clear();
}

Result<probe::Method> SiteTable::Add(RuntimeAddress address, const LoadedModule& module,
                                     hit::SiteProbe probe) {
  const auto found = sites_.find(address.value);
  if (found != sites_.end()) {
    Site& site = found->second;
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
  const probe::ModuleText text = TextOf(module, address);
  if (text.text_start == text.text_end) {
    return Status(Code::kUnsafeSite, "the address is not in an executable segment");
  }
  SF_ASSIGN_OR_RETURN(const probe::InstalledSite installed, installer_.Prepare(address, text));
  Site site{installed.runtime, installed.method, nullptr};
  auto list = std::make_unique<hit::SiteProbeList>();
  list->count = 1;
  list->entries[0] = probe;
  Replace(site, std::move(list));
  if (Status armed = installer_.Arm(address); !armed.ok()) {
    Replace(site, nullptr);
    return armed;
  }
  const probe::Method method = site.method;
  sites_.emplace(address.value, std::move(site));
  return method;
}

Status SiteTable::Remove(RuntimeAddress address, const hit::ProbeRuntime* probe) {
  const auto found = sites_.find(address.value);
  if (found == sites_.end()) return Status();
  Site& site = found->second;
  auto next = std::make_unique<hit::SiteProbeList>();
  for (uint32_t i = 0; i < site.list->count; ++i) {
    if (site.list->entries[i].probe != probe) next->entries[next->count++] = site.list->entries[i];
  }
  if (next->count > 0) {
    Replace(site, std::move(next));
    return Status();
  }
  // Text first, so that the counters of the last hits still find their probe.
  const Status restored = installer_.Disarm(address);
  Replace(site, nullptr);
  sites_.erase(found);
  return restored;
}

void SiteTable::Forget(RuntimeAddress start, RuntimeAddress end) {
  const auto first = sites_.lower_bound(start.value);
  const auto last = sites_.lower_bound(end.value);
  for (auto it = first; it != last; ++it) Replace(it->second, nullptr);
  sites_.erase(first, last);
  installer_.Forget(start, end);
}

}  // namespace stillframe::agent
