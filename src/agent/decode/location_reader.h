// Re-evaluates a variable's location over a record: registers of the frame, captured memory.
#ifndef STILLFRAME_AGENT_DECODE_LOCATION_READER_H_
#define STILLFRAME_AGENT_DECODE_LOCATION_READER_H_

#include <vector>

#include "agent/decode/object.h"
#include "agent/hit/interpreter.h"
#include "plan/plan.h"

namespace stillframe::decode {

// One machine frame of a record.
class LocationReader {
 public:
  // `frame_index` counts machine frames; 0 is the site's, whose registers are all known.
  // `entry` (may be nullptr) must outlive this.
  LocationReader(const RecordView& record, uint32_t frame_index, const PlanUnit& unit,
                 uint64_t load_bias, uint64_t tls_module, const hit::EntryValues* entry);
  LocationReader(const LocationReader&) = delete;  // the context points into it
  LocationReader& operator=(const LocationReader&) = delete;

  // The object that the location names, `size_bytes` long, or why it cannot be had.
  Result<Object> Resolve(const Location& location, uint32_t size_bytes) const;

  Result<uint64_t> Run(const Program& program) const;
  // Variable::filter for the element at `address`.
  Result<uint64_t> RunFilter(const Program& filter, uint64_t address) const;

 private:
  void SetFacts();
  Status ReadPiece(const Piece& piece, uint64_t size_bytes, uint8_t* out) const;

  const RecordView& record_;
  const PlanUnit& unit_;
  uint64_t registers_[kRegisterCount] = {};
  hit::FrameContext context_{};
  hit::HitFacts facts_{};
  std::vector<hit::StringRef> strings_;
};

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_LOCATION_READER_H_
