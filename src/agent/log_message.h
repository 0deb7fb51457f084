// What a LOG tracepoint's template means to the plan, the status and the collector.
#ifndef STILLFRAME_AGENT_LOG_MESSAGE_H_
#define STILLFRAME_AGENT_LOG_MESSAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/log_template.h"
#include "model/tracepoint.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// The template of a LOG tracepoint; an empty one for other kinds. kBadExpression names the column:
// the server has checked it already, but it is not trusted.
Result<model::LogTemplate> ReadLogTemplate(const model::TracepointSpec& spec);

// What a plan for the tracepoint must capture: the template's expressions, then its own.
std::vector<std::string> ExpressionsOf(const model::LogTemplate& log,
                                       const model::TracepointSpec& spec);

// "expression 'order.idd': column 7: …" of a compiler's error becomes "logMessage column 13: …"
// when the expression is one of the template's; any other error stays as it is.
Status NameLogMessage(const Status& status, const model::LogTemplate& log);

// Turns a snapshot whose expressions are ExpressionsOf() into the event of a LOG: the message, the
// site's place, and the tracepoint's own expressions. `redaction`: of values; nullptr: the built-in
// patterns alone.
void MakeLogEvent(const model::LogTemplate& log, model::Snapshot& snapshot,
                  const RedactionPolicy* redaction = nullptr);

// At most so many events a second, a second's worth at once. Not safe for several threads.
class RateGate {
 public:
  explicit RateGate(uint32_t per_second) : per_second_(per_second) {}
  // `now_ns` is monotonic. Always true when the limit is 0.
  bool Take(int64_t now_ns);

 private:
  uint32_t per_second_;
  int64_t full_again_ns_ = 0;  // when a second's worth may come at once again
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LOG_MESSAGE_H_
