// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/locals.h"

#include "agent/hit/bytes.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

SF_HIT_INLINE uint32_t Min(uint32_t a, uint32_t b) { return a < b ? a : b; }

constexpr uint32_t kXmmBytes = 16;
constexpr uint32_t kSmallReadBytes = 64;

}  // namespace

bool Locals::ReadThunk(void* self, uint64_t address, void* out, uint32_t size_bytes) {
  auto* const locals = static_cast<Locals*>(self);
  RecordWriter& record = locals->record_;
  uint32_t data = record.Find(address, size_bytes);
  // Small reads one by one are what loops do: no system call for each.
  if (data == 0 && size_bytes <= kSmallReadBytes && record.Fits(size_bytes) &&
      locals->reader_.Read(address, out, size_bytes)) {
    return record.AppendCopy(address, out, size_bytes) != 0;
  }
  if (data == 0) data = record.AppendRead(address, size_bytes);
  if (data == 0) return false;
  CopyBytes(out, record.slot() + data, size_bytes);
  return true;
}

bool Locals::Run(const Program& program, uint64_t& value) {
  const EvalResult result = EvaluateWithStack(cells_, unit_->code + program.first, program.count,
                                              *context_, {&ReadThunk, this}, unit_->strings);
  value = result.value;
  return result.error == Code::kOk;
}

void Locals::AddPart(LocationKind kind, uint8_t reg, const Program& program, uint32_t size_bytes,
                     uint32_t at) {
  uint8_t* const out = record_.scratch().value + at;
  uint64_t value = 0;
  switch (kind) {
    case LocationKind::kMemory:
      // Through the record: the decoder reads the same bytes, and pointers in them are followed.
      if (Run(program, value)) ReadThunk(this, value, out, size_bytes);
      return;
    case LocationKind::kValue:
      if (Run(program, value)) CopyBytes(out, &value, Min(size_bytes, 8));
      return;
    case LocationKind::kXmm:
      if (context_->xmm == nullptr || reg >= kVectorCount) return;
      CopyBytes(out, context_->xmm[reg], Min(size_bytes, kXmmBytes));
      return;
    default:  // constants hold no live pointers; a hole stays zero and leads nowhere
      return;
  }
}

void Locals::AddPieces(const Variable& variable, uint32_t size_bytes) {
  const Location& location = variable.location;
  uint32_t at = 0;
  for (uint32_t i = 0; i < location.piece_count; ++i) {
    const Piece& piece = unit_->pieces[location.first_piece + i];
    if (piece.size_bytes > size_bytes - at) break;
    AddPart(piece.kind, piece.reg, piece.program, piece.size_bytes, at);
    at += piece.size_bytes;
  }
}

void Locals::AddCounted(const Variable& variable) {
  const TypeNode& type = unit_->types[variable.type];
  const LocationKind kind = variable.location.kind;
  uint64_t address = 0;
  if (kind != LocationKind::kMemory && kind != LocationKind::kValue) return;
  if (!Run(variable.location.program, address)) return;
  const bool is_array = type.kind == TypeKind::kArray;
  // Through the record, where the decoder looks for the pointer.
  if (!is_array && kind == LocationKind::kMemory &&
      !ReadThunk(this, address, &address, sizeof address)) {
    return;
  }
  uint64_t* const counts = record_.scratch().extents;
  for (uint32_t i = 0; i < variable.extent_count; ++i) {
    if (!Run(unit_->extents[variable.first_extent + i], counts[i])) return;
  }
  walker_.AddCounted(frame_, address, is_array ? variable.type : type.target, variable.extent_count,
                     type.kind == TypeKind::kPointer ? 1 : 0);
}

void Locals::AddVariable(const Variable& variable) {
  const TypeNode& type = unit_->types[variable.type];
  const Location& location = variable.location;
  if ((variable.flags & kVariableRedacted) != 0 || (type.flags & kFlagRedacted) != 0) return;
  if (location.kind == LocationKind::kUnavailable || location.kind == LocationKind::kBytes) return;
  if (variable.extent_count != 0) return AddCounted(variable);
  if (location.kind == LocationKind::kMemory) {
    uint64_t address = 0;
    if (!Run(location.program, address)) return;
    if (address != 0) return walker_.AddObject(frame_, address, variable.type);
    record_.AppendUnreadable(0, type.size_bytes);  // a null pointer was followed
    return;
  }
  // The value is not in memory: put it together in the scratch space and look into it there.
  if (type.size_bytes > kValueBytes) return;
  uint8_t* const value = record_.scratch().value;
  ClearBytes(value, type.size_bytes);
  if (location.kind == LocationKind::kPieces) {
    AddPieces(variable, type.size_bytes);
  } else {
    AddPart(location.kind, location.reg, location.program, type.size_bytes, 0);
  }
  walker_.AddValue(frame_, static_cast<uint32_t>(value - record_.slot()), type.size_bytes,
                   variable.type);
}

void Locals::AddVariables(uint16_t frame, const UnitView& unit, const FrameContext& context,
                          uint32_t first, uint32_t count) {
  frame_ = frame;
  unit_ = &unit;
  context_ = &context;
  for (uint32_t i = 0; i < count; ++i) AddVariable(unit.variables[first + i]);
}

void Locals::AddFrame(uint16_t frame, const UnitView& unit, const FrameContext& context,
                      uint32_t plan) {
  const FramePlan& frame_plan = unit.frames[plan];
  for (uint32_t i = 0; i < frame_plan.virtual_count; ++i) {
    const VirtualFrame& source_frame = unit.virtual_frames[frame_plan.first_virtual + i];
    AddVariables(frame, unit, context, source_frame.first_variable, source_frame.variable_count);
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
