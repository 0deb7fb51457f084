// What a DISTRIBUTION tracepoint measures, and how it is reported.
#ifndef STILLFRAME_AGENT_MEASURE_PLAN_H_
#define STILLFRAME_AGENT_MEASURE_PLAN_H_

#include <vector>

#include "agent/hit/measure.h"
#include "base/status.h"
#include "model/tracepoint.h"
#include "plan/plan.h"

namespace stillframe::agent {

// One per site of the plan, of its first expression; may append programs to the plan. Errors:
// kBadExpression (not a number), the expression's own reason when no site has it.
Result<std::vector<hit::MeasureSite>> MakeMeasureSites(ProbePlan& plan);

void AddDistribution(const hit::DistributionSums& from, hit::DistributionSums& into);
model::Distribution DescribeDistribution(const hit::DistributionSums& sums);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_MEASURE_PLAN_H_
