// Evaluates the variables of frames and gives what they hold to the walker. Hit-path contract as in
// hit.h. Whatever a location program reads goes into the record too, so that the decoder can run
// the same program again.
#ifndef STILLFRAME_AGENT_HIT_LOCALS_H_
#define STILLFRAME_AGENT_HIT_LOCALS_H_

#include <cstdint>

#include "agent/hit/hit.h"
#include "agent/hit/memory.h"
#include "agent/hit/record_writer.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

class Locals {
 public:
  // `cells`: as EvaluateWithStack wants them.
  Locals(RecordWriter& record, Walker& walker, FastReader& reader, uint64_t* cells)
      : record_(record), walker_(walker), reader_(reader), cells_(cells) {}

  // Variables [first, first + count) of the unit, as seen by `context`.
  void AddVariables(uint16_t frame, const UnitView& unit, const FrameContext& context,
                    uint32_t first, uint32_t count);
  // One program in such a frame; false when it has no value.
  bool Evaluate(const UnitView& unit, const FrameContext& context, const Program& program,
                uint64_t& value) {
    unit_ = &unit;
    context_ = &context;
    return Run(program, value);
  }
  // All source-level frames of unit.frames[plan].
  void AddFrame(uint16_t frame, const UnitView& unit, const FrameContext& context, uint32_t plan);

 private:
  void AddVariable(const Variable& variable);
  void AddPieces(const Variable& variable, uint32_t size_bytes);
  // An array whose size only this frame knows, or a pointer or reference to one.
  void AddCounted(const Variable& variable);
  // One part of a value, into the scratch space at offset `at`.
  void AddPart(LocationKind kind, uint8_t reg, const Program& program, uint32_t size_bytes,
               uint32_t at);
  bool Run(const Program& program, uint64_t& value);
  static bool ReadThunk(void* self, uint64_t address, void* out, uint32_t size_bytes);

  RecordWriter& record_;
  Walker& walker_;
  FastReader& reader_;
  uint64_t* cells_;
  const UnitView* unit_ = nullptr;
  const FrameContext* context_ = nullptr;
  uint16_t frame_ = 0;
};

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_LOCALS_H_
