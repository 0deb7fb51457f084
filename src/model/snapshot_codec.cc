#include "model/snapshot_codec.h"

#include "base/archive.h"

namespace stillframe::model {
namespace {

constexpr uint32_t kFormat = 1;  // goes up with every change of the fields below

}  // namespace

template <typename A>
void Fields(A& a, Value& value) {
  a(value.name, value.type, value.value, value.has_value, value.status, value.reason,
    value.children);
}
template <typename A>
void Fields(A& a, Frame& frame) {
  a(frame.function, frame.file, frame.line, frame.module, frame.build_id, frame.pc, frame.inlined,
    frame.variables, frame.variables_reason);
}
template <typename A>
void Fields(A& a, TraceContext& trace) {
  a(trace.trace_id, trace.span_id, trace.sampled);
}
template <typename A>
void Fields(A& a, Snapshot& snapshot) {
  a(snapshot.kind, snapshot.id, snapshot.tracepoint_id, snapshot.service, snapshot.instance,
    snapshot.time_unix_nanos, snapshot.thread_id, snapshot.thread_name, snapshot.trace,
    snapshot.frames, snapshot.expressions, snapshot.message, snapshot.fingerprint,
    snapshot.duration_nanos, snapshot.capture_nanos, snapshot.truncated, snapshot.sequence);
}

namespace {

Status Check(const std::vector<Value>& values) {
  for (const Value& value : values) {
    if (value.status > ValueStatus::kUnavailable) {
      return {Code::kCorrupt, "snapshot: a value's status is unknown"};
    }
    SF_RETURN_IF_ERROR(Check(value.children));
  }
  return {};
}

}  // namespace

std::string EncodeSnapshot(const Snapshot& snapshot) {
  std::string bytes;
  ArchiveWriter writer(bytes);
  writer(kFormat, snapshot);
  return bytes;
}

Result<Snapshot> DecodeSnapshot(std::string_view bytes) {
  ArchiveReader reader(bytes);
  uint32_t format = 0;
  reader(format);
  if (reader.ok() && format != kFormat) {
    return Status(Code::kUnsupported, "snapshot: format " + std::to_string(format) + ", not " +
                                          std::to_string(kFormat));
  }
  Snapshot snapshot;
  reader(snapshot);
  if (!reader.ok()) return Status(Code::kCorrupt, "snapshot: cut off, or a number out of range");
  if (!reader.empty()) return Status(Code::kCorrupt, "snapshot: bytes follow it");
  if (snapshot.kind > Kind::kSpan) return Status(Code::kCorrupt, "snapshot: unknown kind");
  SF_RETURN_IF_ERROR(Check(snapshot.expressions));
  for (const Frame& frame : snapshot.frames) SF_RETURN_IF_ERROR(Check(frame.variables));
  return snapshot;
}

}  // namespace stillframe::model
