#include "agent/caller_plans.h"

#include <algorithm>
#include <deque>
#include <set>
#include <utility>

#include "agent/tick_clock.h"
#include "base/log.h"
#include "plan/plan_codec.h"

namespace stillframe::agent {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kPreparePerSecondNs = kSecondNs / 10;
constexpr size_t kMaxEntries = 4096;  // beyond that new callers are resolved but not kept published

uint32_t TableSize(size_t entries) {
  uint32_t size = 16;
  while (size < entries * 2) size *= 2;
  return size;
}

void AddWanted(const CallerPlan& plan, const LoadedModule& module, uint32_t level,
               std::vector<CallerPlans::WantedEntry>& wanted) {
  if (plan.unit.frames.empty()) return;
  const FramePlan& frame = plan.unit.frames[0];
  if (frame.uses_entry_values == 0 || frame.function_entry.value == 0) return;
  uint32_t cells = 0;
  for (const Insn& insn : plan.unit.code) {
    if (insn.op == Op::kEntryValue && insn.a < kStashCells) cells |= uint32_t{1} << insn.a;
  }
  if (cells != 0) wanted.push_back({&module, frame.function_entry, cells, level});
}

}  // namespace

void CallerPlans::Note(RuntimeAddress pc, bool pc_is_exact, const Entry& entry) {
  durable::CallerEntry note;
  note.pc = pc.value;
  note.pc_is_exact = pc_is_exact;
  note.load_bias = entry.meaning.load_bias;
  note.tls_module = entry.meaning.tls_module;
  note.module = entry.meaning.module;
  note.build_id = entry.meaning.build_id;
  note.function = entry.meaning.function;
  if (entry.has_plan) note.plan = EncodeCallerPlan(entry.plan);
  durable_->NoteCaller(note);
}

CallerPlans::Entry& CallerPlans::Compile(RuntimeAddress pc, bool pc_is_exact,
                                         const LoadedModule* module) {
  auto& slot = entries_[{pc.value, pc_is_exact}];
  if (slot != nullptr) return *slot;
  changed_ = true;
  slot = std::make_unique<Entry>();
  slot->id = next_id_++;
  if (module == nullptr) return *slot;
  CompileNew(*slot, pc, pc_is_exact, *module);
  if (durable_ != nullptr) Note(pc, pc_is_exact, *slot);
  return *slot;
}

void CallerPlans::CompileNew(Entry& entry, RuntimeAddress pc, bool pc_is_exact,
                             const LoadedModule& found) {
  const LoadedModule* const module = &found;
  entry.meaning.module = module->FileName();
  entry.meaning.build_id = module->build_id;
  entry.meaning.load_bias = module->bias.value;
  entry.meaning.tls_module = module->tls_module;
  auto opened = symbolizer_.OpenModule(module->path, module->build_id);
  if (!opened.ok()) return;
  const LinkAddress link = module->bias.ToLink(pc);
  if (module->is_agent) {  // nothing to be seen there, and our classes take long to read
    entry.meaning.function = (*opened)->SymbolName(pc_is_exact ? link : link - 1);
    return;
  }
  auto plan = (*opened)->CompileCaller(link, pc_is_exact, CaptureLimits());
  if (!plan.ok()) {
    LogDebug("caller plan: " + plan.status().ToString());
    entry.meaning.function = (*opened)->SymbolName(pc_is_exact ? link : link - 1);
    return;
  }
  entry.plan = std::move(*plan);
  entry.has_plan = true;
  entry.arrays = std::make_unique<UnitArrays>(entry.plan.unit);
  entry.meaning.unit = &entry.plan.unit;
  entry.meaning.frame = 0;
  changed_ = true;
}

decode::FrameMeaning CallerPlans::Resolve(RuntimeAddress pc, bool pc_is_exact,
                                          const std::vector<LoadedModule>& modules) {
  // A return address may be the first byte after the module's text.
  const LoadedModule* module = FindModule(modules, pc_is_exact ? pc : pc - 1);
  return Compile(pc, pc_is_exact, module).meaning;
}

const std::vector<model::Frame>& CallerPlans::EndedBetween(
    RuntimeAddress called, RuntimeAddress running, const std::vector<LoadedModule>& modules) {
  if (ended_.size() >= kMaxEntries) ended_.clear();
  const auto [known, is_new] = ended_.try_emplace({called.value, running.value});
  std::vector<model::Frame>& frames = known->second;
  const LoadedModule* const module = is_new ? FindModule(modules, called) : nullptr;
  if (module == nullptr || module != FindModule(modules, running)) return frames;
  auto opened = symbolizer_.OpenModule(module->path, module->build_id);
  if (!opened.ok()) return frames;
  for (EndedFunction& function :
       (*opened)->EndedBetween(module->bias.ToLink(called), module->bias.ToLink(running))) {
    for (SourceFrame& source : function.frames) {
      model::Frame frame;
      frame.function = std::move(source.function);
      frame.file = std::move(source.file);
      frame.line = source.line;
      frame.inlined = source.inlined;
      frame.pc = function.pc.value;
      frames.push_back(std::move(frame));
    }
  }
  return frames;
}

bool CallerPlans::MayPrepare(int64_t now_ns) {
  if (now_ns - second_began_ns_ >= kSecondNs) {
    second_began_ns_ = now_ns;
    prepared_for_ns_ = 0;
  }
  return prepared_for_ns_ < kPreparePerSecondNs;
}

void CallerPlans::Prepare(const LoadedModule& module, LinkAddress site, uint32_t levels,
                          uint32_t max, std::vector<WantedEntry>* wanted) {
  auto opened = symbolizer_.OpenModule(module.path, module.build_id);
  if (!opened.ok()) return;
  std::deque<std::pair<LinkAddress, uint32_t>> queue{{site, 0}};
  std::set<uint64_t> seen;
  int64_t now_ns = MonotonicNanos();
  while (!queue.empty() && seen.size() < max && MayPrepare(now_ns)) {
    const auto [address, level] = queue.front();
    queue.pop_front();
    if (level >= levels) continue;
    for (LinkAddress caller : (*opened)->LikelyCallers(address, max)) {
      if (seen.size() >= max || !MayPrepare(now_ns)) break;
      if (!seen.insert(caller.value).second) continue;
      const Entry& entry = Compile(module.bias.ToRuntime(caller), false, &module);
      if (wanted != nullptr && entry.has_plan) AddWanted(entry.plan, module, level, *wanted);
      const int64_t then_ns = std::exchange(now_ns, MonotonicNanos());
      prepared_for_ns_ += now_ns - then_ns;
      queue.emplace_back(caller - 1, level + 1);
    }
  }
}

void CallerPlans::Place(Table& table, uint64_t return_address, const Entry& entry) {
  // The hash of hit/callers: see FindCaller.
  uint32_t at = hit::CallerHash(return_address) & table.head.mask;
  while (table.slots[at].return_address != 0) at = (at + 1) & table.head.mask;
  table.slots[at] =
      hit::CallerEntry{.return_address = return_address,
                       .caller_plan_id = entry.id,
                       .load_bias = entry.meaning.load_bias,
                       .tls_module = entry.meaning.tls_module,
                       .unit = entry.has_plan ? entry.arrays->view() : hit::UnitView{}};
}

void CallerPlans::Publish() {
  if (!changed_) return;
  changed_ = false;
  size_t count = 0;
  for (const auto& [key, entry] : entries_) count += !key.second;
  auto table = std::make_unique<Table>();
  table->slots.resize(TableSize(std::min(count, kMaxEntries)));
  table->head.mask = static_cast<uint32_t>(table->slots.size() - 1);
  // Plans first: where there are too many, what has none is copied blindly at each hit, no more.
  size_t placed = 0;
  for (const bool planned : {true, false}) {
    for (const auto& [key, entry] : entries_) {
      if (key.second || entry->has_plan != planned || placed == kMaxEntries) continue;
      Place(*table, key.first, *entry);
      ++placed;
    }
  }
  table->head.entries = table->slots.data();
  hit::PublishCallers(&table->head);
  if (published_ != nullptr) retired_tables_.push_back(std::move(published_));
  published_ = std::move(table);
}

void CallerPlans::Forget(RuntimeAddress start, RuntimeAddress end) {
  ended_.clear();
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->first.first >= start.value && it->first.first <= end.value) {
      retired_entries_.push_back(std::move(it->second));
      it = entries_.erase(it);
      changed_ = true;
    } else {
      ++it;
    }
  }
}

}  // namespace stillframe::agent
