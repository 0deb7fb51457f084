// A PlanUnit as the bare arrays that the hit path reads.
#ifndef STILLFRAME_AGENT_UNIT_VIEW_H_
#define STILLFRAME_AGENT_UNIT_VIEW_H_

#include <vector>

#include "agent/hit/hit.h"
#include "plan/plan.h"

namespace stillframe::agent {

// Keeps pointers into `unit`, which must outlive it unchanged.
class UnitArrays {
 public:
  explicit UnitArrays(const PlanUnit& unit) {
    strings_.reserve(unit.strings.size());
    for (const std::string& text : unit.strings) {
      strings_.push_back(hit::StringRef{text.data(), text.size()});
    }
    view_ = hit::UnitView{
        .code = unit.code.data(),
        .strings = strings_.data(),
        .types = unit.types.data(),
        .members = unit.members.data(),
        .views = unit.views.data(),
        .pieces = unit.pieces.data(),
        .variables = unit.variables.data(),
        .extents = unit.extents.data(),
        .virtual_frames = unit.virtual_frames.data(),
        .frames = unit.frames.data(),
        .call_parameters = unit.call_parameters.data(),
        .derived = unit.derived.data(),
    };
  }
  UnitArrays(const UnitArrays&) = delete;
  UnitArrays& operator=(const UnitArrays&) = delete;
  const hit::UnitView& view() const { return view_; }

 private:
  std::vector<hit::StringRef> strings_;
  hit::UnitView view_{};
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_UNIT_VIEW_H_
