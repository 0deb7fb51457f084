#include <time.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/hit/process_state.h"
#include "agent/hit/readable_ranges.h"
#include "base/process_maps.h"

namespace stillframe::hit {
namespace {

constexpr int64_t kLookEveryNs = 500'000'000;
constexpr int64_t kLookAfterMissesNs = 20'000'000;
constexpr int64_t kCostFactor = 200;
constexpr uint32_t kManyMisses = 16;

struct Table {
  std::vector<ReadableRange> ranges;
  ReadableRanges view{};
};

// Two tables, so that one can be replaced while hits still use the other.
struct State {
  std::unique_ptr<Table> current;
  std::unique_ptr<Table> retired;  // hits that began before may still use it
  int64_t looked_at_ns = 0;
  int64_t cost_ns = 0;
};
State& GetState() {
  static State* const state = new State;  // never destroyed: hits outlive static destruction
  return *state;
}

int64_t Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

bool IsPlainMemory(const Mapping& mapping) {
  if (!mapping.readable) return false;
  const std::string_view path = mapping.path;
  if (path == "[vvar]" || path == "[vvar_vclock]" || path == "[vsyscall]") return false;
  const bool device =
      StartsWith(path, "/dev/") && !StartsWith(path, "/dev/shm/") && !StartsWith(path, "/dev/zero");
  return !device && !StartsWith(path, "anon_inode:");
}

std::unique_ptr<Table> Look() {
  auto maps = ReadProcessMaps();
  if (!maps.ok()) return nullptr;
  auto table = std::make_unique<Table>();
  for (const Mapping& mapping : *maps) {
    if (!IsPlainMemory(mapping)) continue;
    if (!table->ranges.empty() && table->ranges.back().end == mapping.start.value) {
      table->ranges.back().end = mapping.end.value;
    } else {
      table->ranges.push_back({mapping.start.value, mapping.end.value});
    }
  }
  table->view = {static_cast<uint32_t>(table->ranges.size()), table->ranges.data()};
  return table;
}

bool IsDue(const State& state, int64_t now_ns) {
  const int64_t age_ns = now_ns - state.looked_at_ns;
  if (age_ns < state.cost_ns * kCostFactor) return false;
  if (age_ns >= kLookEveryNs) return true;
  return age_ns >= kLookAfterMissesNs &&
         g_process.range_misses.load(std::memory_order_relaxed) >= kManyMisses;
}

void Publish(State& state, std::unique_ptr<Table> table) {
  g_process.ranges.store(table == nullptr ? nullptr : &table->view, std::memory_order_release);
  // The next guard turn makes threads forget what they remember of the old one.
  state.retired = std::move(state.current);
  state.current = std::move(table);
}

}  // namespace

void RefreshReadableRanges(int64_t now_ns) {
  State& state = GetState();
  if (now_ns != 0 && !IsDue(state, now_ns)) return;
  if (state.retired != nullptr) {
    if (!WaitForQuiescence(1)) return;
    state.retired.reset();
  }
  const int64_t start_ns = Now();
  g_process.range_misses.store(0, std::memory_order_relaxed);
  std::unique_ptr<Table> table = Look();
  state.looked_at_ns = Now();
  state.cost_ns = state.looked_at_ns - start_ns;
  Publish(state, std::move(table));
}

void FreeReadableRanges() {
  State& state = GetState();
  Publish(state, nullptr);
  state.retired.reset();
  state.current.reset();
}

}  // namespace stillframe::hit
