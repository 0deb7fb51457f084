#include "agent/unwind_modules.h"

#include <algorithm>
#include <new>

#include "base/log.h"

namespace stillframe::agent {
namespace {

std::unique_ptr<UnwindTable> BuildTable(const LoadedModule& module, Symbolizer& symbolizer) {
  try {
    auto opened = symbolizer.OpenModule(module.path, module.build_id);
    if (!opened.ok()) return nullptr;
    auto table = (*opened)->BuildUnwindTable();
    if (table.ok()) return std::make_unique<UnwindTable>(std::move(*table));
    LogInfo("no unwind table for " + module.path + ": " + table.status().ToString());
  } catch (const std::bad_alloc&) {
    LogInfo("no memory for an unwind table");
  }
  return nullptr;
}

}  // namespace

void UnwindModules::Refresh(const std::vector<LoadedModule>& modules, Symbolizer& symbolizer) {
  auto next = std::make_unique<Published>();
  for (const LoadedModule& module : modules) {
    if (module.is_vdso || module.text.empty()) continue;
    auto [entry, is_new] = tables_.try_emplace(module.path + '\n' + module.build_id);
    if (is_new) {
      // A module without a table is not an error: frames end there, and the snapshot says so.
      entry->second = BuildTable(module, symbolizer);
    }
    const UnwindTable* table = entry->second.get();
    if (table == nullptr || table->pcs.empty()) continue;
    const RuntimeAddress base = module.bias.ToRuntime(table->base);
    next->modules.push_back(
        hit::ViewOf(*table, module.bias.value, base.value, base.value + table->size_bytes));
  }
  std::sort(next->modules.begin(), next->modules.end(),
            [](const auto& a, const auto& b) { return a.start < b.start; });
  next->head.count = static_cast<uint32_t>(next->modules.size());
  next->head.modules = next->modules.data();
  hit::PublishUnwindModules(&next->head);
  if (current_ != nullptr) retired_.push_back(std::move(current_));
  current_ = std::move(next);
}

uint64_t UnwindModules::bytes() const {
  uint64_t bytes = 0;
  for (const auto& [key, table] : tables_) {
    if (table == nullptr) continue;
    bytes += table->pcs.capacity() * 4 + table->row_rules.capacity() * 2 +
             table->rules.capacity() * sizeof(UnwindRule) + table->blocks.capacity() * 4;
  }
  return bytes;
}

}  // namespace stillframe::agent
