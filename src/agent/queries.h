// Answers the server's questions about lines and variables (GET …/lines, …/variables).
#ifndef STILLFRAME_AGENT_QUERIES_H_
#define STILLFRAME_AGENT_QUERIES_H_

#include <vector>

#include "agent/loaded_modules.h"
#include "model/agent_info.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// Agent thread. Never fails: what cannot be answered is an Answer with an error code.
model::Answer AnswerQuery(const model::Query& query, Symbolizer& symbolizer,
                          const std::vector<LoadedModule>& modules);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_QUERIES_H_
