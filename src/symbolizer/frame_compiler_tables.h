// Appends to a PlanUnit's shared tables; equal strings and equal programs are stored once.
#ifndef STILLFRAME_SYMBOLIZER_FRAME_COMPILER_TABLES_H_
#define STILLFRAME_SYMBOLIZER_FRAME_COMPILER_TABLES_H_

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "plan/plan.h"

namespace stillframe::dwarf {

// Others (the expression compiler) may append to the unit too; what they added is found as well.
class PlanTables {
 public:
  // `unit` must outlive this.
  explicit PlanTables(PlanUnit& unit) : unit_(unit) {}

  PlanUnit& unit() { return unit_; }
  StringId Intern(std::string_view text);
  const std::string& String(StringId id) const { return unit_.strings[id]; }
  // Empty input gives the empty program.
  Program AddProgram(std::span<const Insn> code);

 private:
  PlanUnit& unit_;
  size_t strings_seen_ = 0;
  std::unordered_map<std::string, StringId> strings_;
  std::unordered_map<std::string, Program> programs_;  // by their bytes
};

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_FRAME_COMPILER_TABLES_H_
