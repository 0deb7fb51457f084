#include "symbolizer/type_units.h"

#include <dwarf.h>

#include <cstring>
#include <mutex>
#include <unordered_map>

namespace stillframe::dwarf {
namespace {

// A reference tells which Dwarf it is in and nothing of who opened that. Never destroyed: the
// agent's thread may outlive the host's static objects.
struct Sources {
  std::mutex mutex;
  std::unordered_map<const Dwarf*, TypeUnitSource*> by_dwarf;
};

Sources& AllSources() {
  static Sources* const sources = new Sources;
  return *sources;
}

}  // namespace

void AddTypeUnitSource(const Dwarf* dwarf, TypeUnitSource* source) {
  Sources& sources = AllSources();
  const std::lock_guard lock(sources.mutex);
  sources.by_dwarf[dwarf] = source;
}

void RemoveTypeUnitSource(const TypeUnitSource* source) {
  Sources& sources = AllSources();
  const std::lock_guard lock(sources.mutex);
  std::erase_if(sources.by_dwarf, [&](const auto& entry) { return entry.second == source; });
}

std::optional<Dwarf_Die> FindTypeUnit(const Dwarf_Attribute& reference) {
  if (reference.form != DW_FORM_ref_sig8) return std::nullopt;
  TypeUnitSource* source = nullptr;
  {
    Sources& sources = AllSources();
    const std::lock_guard lock(sources.mutex);
    const auto found = sources.by_dwarf.find(dwarf_cu_getdwarf(reference.cu));
    if (found == sources.by_dwarf.end()) return std::nullopt;
    source = found->second;
  }
  uint64_t signature = 0;
  std::memcpy(&signature, reference.valp, sizeof signature);
  return source->TypeUnit(signature);
}

}  // namespace stillframe::dwarf
