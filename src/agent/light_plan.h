// Which tracepoints leave light records (plan/light_record.h), and what is in them. Agent thread.
#ifndef STILLFRAME_AGENT_LIGHT_PLAN_H_
#define STILLFRAME_AGENT_LIGHT_PLAN_H_

#include <vector>

#include "plan/light_record.h"
#include "plan/plan.h"

namespace stillframe::agent {

class LightPlan {
 public:
  // False when some expression is more than a scalar or a text: then hits capture records instead.
  // Texts are cut at plan.limits.string_bytes and at what a light record holds.
  bool Make(const ProbePlan& plan);
  // Of a span's end. False when it has expressions: then hits capture records instead.
  bool MakeSpan(const ProbePlan& plan);
  // By site index; lives as long as this object.
  const std::vector<LightSite>& sites() const { return sites_; }

 private:
  std::vector<LightSite> sites_;
  std::vector<LightField> fields_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LIGHT_PLAN_H_
