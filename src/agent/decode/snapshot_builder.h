// From a raw record and its plan to a model::Snapshot: types, values, symbols, redaction.
// Agent thread. Everything in the record is hostile; nothing outside it is read from the
// target, but where BuildInput says so.
#ifndef STILLFRAME_AGENT_DECODE_SNAPSHOT_BUILDER_H_
#define STILLFRAME_AGENT_DECODE_SNAPSHOT_BUILDER_H_

#include <functional>
#include <span>

#include "base/status.h"
#include "model/snapshot.h"
#include "plan/plan.h"
#include "plan/record.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::decode {

// Where one machine frame's meaning comes from.
struct FrameMeaning {
  const PlanUnit* unit = nullptr;  // nullptr: no debug information, `function` alone is shown
  uint32_t frame = 0;              // index into unit->frames
  uint64_t load_bias = 0;
  uint64_t tls_module = 0;  // hit::FrameContext
  std::string module;       // file name without folders
  std::string build_id;
  std::string function;  // from the symbol table, used when unit is nullptr
};

struct BuildInput {
  std::span<const uint8_t> record;
  const ProbePlan* plan = nullptr;
  uint64_t load_bias = 0;   // of the plan's module
  uint64_t tls_module = 0;  // its number with the dynamic loader
  bool live = false;  // the thread stands still: what the record lacks is read from the process
  CaptureLimits limits;
  const RedactionPolicy* redaction = nullptr;  // of values and keys; nullptr: the built-in lists
  // Meaning of the frame at `pc` (runtime). Called for frames after the first.
  std::function<FrameMeaning(uint64_t pc, bool pc_is_exact)> resolve_frame;
  // Functions that ended by tail calls between a call of `called` and the function `running`, which
  // both begin there (runtime), the last one first; not set: nobody knows.
  std::function<std::vector<model::Frame>(uint64_t called, uint64_t running)> ended_between;
  // "<symbol+off>" of a runtime address; "" when none.
  std::function<std::string(uint64_t address)> symbol_name;
};

// Fills frames, expressions, trace, thread id, captureNanos is left to the caller (it knows the
// tick rate), as are id, time, service and names. kCorrupt when the record breaks its own format.
Result<model::Snapshot> BuildSnapshot(const BuildInput& input);

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_SNAPSHOT_BUILDER_H_
