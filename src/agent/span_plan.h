// The plans of SPAN tracepoints.
#ifndef STILLFRAME_AGENT_SPAN_PLAN_H_
#define STILLFRAME_AGENT_SPAN_PLAN_H_

#include "plan/plan.h"

namespace stillframe::agent {

// Spans show where they were, not what was there.
void DropVariables(ProbePlan& plan);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_SPAN_PLAN_H_
