#include "symbolizer/frame_compiler_tables.h"

namespace stillframe::dwarf {

StringId PlanTables::Intern(std::string_view text) {
  for (; strings_seen_ < unit_.strings.size(); ++strings_seen_) {
    strings_.emplace(unit_.strings[strings_seen_], static_cast<StringId>(strings_seen_));
  }
  const auto [at, added] =
      strings_.emplace(std::string(text), static_cast<StringId>(unit_.strings.size()));
  if (added) {
    unit_.strings.emplace_back(text);
    ++strings_seen_;
  }
  return at->second;
}

Program PlanTables::AddProgram(std::span<const Insn> code) {
  if (code.empty()) return {};
  // Insn has no padding but its own zeroed `pad`, so equal programs have equal bytes.
  const std::string key(reinterpret_cast<const char*>(code.data()), code.size_bytes());
  const Program fresh{static_cast<uint32_t>(unit_.code.size()), static_cast<uint32_t>(code.size())};
  const auto [at, added] = programs_.emplace(key, fresh);
  if (added) unit_.code.insert(unit_.code.end(), code.begin(), code.end());
  return at->second;
}

}  // namespace stillframe::dwarf
