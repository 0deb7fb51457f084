// From a light record (plan/light_record.h) to a model::Snapshot that holds the values of a LOG
// tracepoint's expressions and the frame that it stands in, or the frame where a span ended. Agent
// thread. The record is hostile.
#ifndef STILLFRAME_AGENT_DECODE_LIGHT_BUILDER_H_
#define STILLFRAME_AGENT_DECODE_LIGHT_BUILDER_H_

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/status.h"
#include "model/snapshot.h"
#include "plan/light_record.h"
#include "plan/plan.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::decode {

struct LightInput {
  std::span<const uint8_t> record;
  const ProbePlan* plan = nullptr;
  std::span<const LightSite> sites;            // as the hit had them
  const RedactionPolicy* redaction = nullptr;  // as BuildInput has it
  std::function<std::string(uint64_t address)> symbol_name;
};

// The header of a record that is long enough; kCorrupt.
Result<LightHeader> ReadLightHeader(std::span<const uint8_t> record);

// How long the span took that ended, in ticks; nullopt: the record is none of a span. kCorrupt.
Result<std::optional<uint64_t>> ReadSpanTicks(const LightInput& input, const LightHeader& header);

// Fills frames, expressions, trace and thread id. kCorrupt when the record breaks its own format.
Result<model::Snapshot> BuildLightSnapshot(const LightInput& input);

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_LIGHT_BUILDER_H_
