// Private to dead_process*.cc.
#ifndef STILLFRAME_AGENT_DURABLE_DEAD_PROCESS_IMPL_H_
#define STILLFRAME_AGENT_DURABLE_DEAD_PROCESS_IMPL_H_

#include <string>

#include "agent/durable/dead_process.h"
#include "agent/ring/ring_file.h"

namespace stillframe::durable {

struct DeadProcess::Probe {
  ProbeEntry entry;
  ProbePlan plan;
  agent::LightPlan light;  // refers to `plan`
  model::LogTemplate log;
};

struct DeadProcess::Caller {
  CallerEntry entry;
  CallerPlan plan;
  bool has_plan = false;
};

}  // namespace stillframe::durable

#endif  // STILLFRAME_AGENT_DURABLE_DEAD_PROCESS_IMPL_H_
