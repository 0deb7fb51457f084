#include "agent/span_plan.h"

namespace stillframe::agent {

void DropVariables(ProbePlan& plan) {
  for (VirtualFrame& frame : plan.unit.virtual_frames) frame.variable_count = 0;
  plan.limits.frames = 1;
  plan.limits.local_frames = 0;
}

}  // namespace stillframe::agent
