// Plans as bytes, for a process that decodes what another one captured.
#ifndef STILLFRAME_PLAN_PLAN_CODEC_H_
#define STILLFRAME_PLAN_PLAN_CODEC_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "plan/plan.h"

namespace stillframe {

// Sites that were refused are left out: nothing is captured there.
std::string EncodePlan(const ProbePlan& plan);
std::string EncodeCallerPlan(const CallerPlan& plan);

// The bytes are hostile: what is returned has passed the verifier. kCorrupt; kUnsupported for
// another version's form.
Result<ProbePlan> DecodePlan(std::string_view bytes);
Result<CallerPlan> DecodeCallerPlan(std::string_view bytes);

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_PLAN_CODEC_H_
