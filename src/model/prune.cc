#include "model/prune.h"

#include <algorithm>

namespace stillframe::model {
namespace {

constexpr char kPruned[] = "PRUNED";
constexpr uint64_t kValueBytes = 24;  // tags, lengths and status

uint64_t SizeOf(const std::vector<Value>& values) {
  uint64_t bytes = 0;
  for (const Value& value : values) {
    bytes += kValueBytes + value.name.size() + value.type.size() + value.value.size() +
             value.reason.size() + SizeOf(value.children);
  }
  return bytes;
}

// Levels of values; 0 for none.
uint32_t Depth(const std::vector<Value>& values) {
  uint32_t deepest = 0;
  for (const Value& value : values) deepest = std::max(deepest, 1 + Depth(value.children));
  return deepest;
}

// Leaves `levels` of them.
void Cut(std::vector<Value>& values, uint32_t levels) {
  for (Value& value : values) {
    if (value.children.empty()) continue;
    if (levels > 1) {
      Cut(value.children, levels - 1);
      continue;
    }
    value.children.clear();
    value.status = ValueStatus::kTruncated;
    value.reason = kPruned;
  }
}

}  // namespace

uint64_t SizeOf(const Snapshot& snapshot) {
  uint64_t bytes = sizeof(snapshot) + snapshot.message.size() + SizeOf(snapshot.expressions);
  for (const Frame& frame : snapshot.frames) {
    bytes += sizeof(frame) + frame.function.size() + frame.file.size() + frame.module.size() +
             frame.build_id.size() + SizeOf(frame.variables);
  }
  return bytes;
}

bool Prune(Snapshot& snapshot, uint64_t max_bytes) {
  if (SizeOf(snapshot) <= max_bytes) return false;
  uint32_t levels = Depth(snapshot.expressions);
  for (const Frame& frame : snapshot.frames) levels = std::max(levels, Depth(frame.variables));
  while (levels > 1 && SizeOf(snapshot) > max_bytes) {
    --levels;
    Cut(snapshot.expressions, levels);
    for (Frame& frame : snapshot.frames) Cut(frame.variables, levels);
  }
  for (auto frame = snapshot.frames.rbegin(); frame != snapshot.frames.rend(); ++frame) {
    if (SizeOf(snapshot) <= max_bytes) break;
    if (frame->variables.empty()) continue;
    frame->variables.clear();
    frame->variables_reason = kPruned;
  }
  snapshot.truncated = true;
  return true;
}

}  // namespace stillframe::model
