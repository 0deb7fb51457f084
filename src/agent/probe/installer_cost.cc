// What a hit costs that never reaches the hit path. Such hits are too short to be timed one by one:
// two looks at the clock cost more than they do. So the price is found once, and the budget counts.
#include <sys/mman.h>

#include <algorithm>

#include "agent/probe/installer.h"
#include "base/log.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr int kRounds = 8;
constexpr int kCalls = 256;  // their light records fit into a stream

// The least of several rounds, because another thread may take the processor in one of them.
uint64_t TicksOfCalls(uint64_t function, bool logs) {
  uint64_t least = UINT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t start = hit::ReadTicks();
    for (int i = 0; i < kCalls; ++i) reinterpret_cast<int (*)()>(function)();
    least = std::min(least, hit::ReadTicks() - start);
    if (!logs) continue;
    uint64_t abandoned = 0;
    hit::TakeLightRecords(
        UINT32_MAX, [](void*, std::span<const uint8_t>) {}, nullptr, abandoned);
  }
  return least;
}

}  // namespace

uint32_t Installer::TicksOfAction(RuntimeAddress site, hit::SiteRuntime* runtime,
                                  hit::Action action) {
  const hit::ProbeRuntime probe;
  if (probe.shards == nullptr) return 0;
  const LightSite light;
  ProbeCodeSpec spec;
  spec.first_counter = reinterpret_cast<uint64_t>(&probe.shards->count[0]);
  spec.action = action;
  spec.light = &light;
  const auto code = PlaceProbeCode(site, spec);
  if (!code.ok()) {
    LogDebug("what a short hit costs is not known: " + code.status().ToString());
    return 0;
  }
  const uint64_t plain = TicksOfCalls(site.value, action == hit::Action::kLog);
  uint64_t ticks = plain;
  if (Arm(site).ok()) {
    reinterpret_cast<int (*)()>(site.value)();  // the hit path meets this thread
    runtime->entry.store(*code, std::memory_order_release);
    ticks = TicksOfCalls(site.value, action == hit::Action::kLog);
    runtime->entry.store(runtime->full_entry, std::memory_order_release);
    (void)Disarm(site);
  }
  FreeProbeCode(*code);  // no other thread ever ran it
  return static_cast<uint32_t>(
      std::min<uint64_t>((ticks - std::min(ticks, plain)) / kCalls, UINT32_MAX));
}

ProbeInstaller::FastHitTicks Installer::MeasureFastHits() {
  void* const page =
      mmap(nullptr, kPageBytes, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return {};
  const auto start = reinterpret_cast<uint64_t>(page);
  const RuntimeAddress site(start);
  const ModuleText text{"", site, RuntimeAddress(start + kPageBytes)};
  const Status written = writer_->WriteFresh(start, arch::EmitConstantFunction(1));
  const auto prepared = written.ok() ? Prepare(site, text) : Result<InstalledSite>(written);
  if (!prepared.ok()) {
    munmap(page, kPageBytes);
    LogDebug("what a short hit costs is not known: " + prepared.status().ToString());
    return {};
  }
  FastHitTicks ticks;
  ticks.counted = TicksOfAction(site, prepared->runtime, hit::Action::kCount);
  if (hit::HasStreams()) {
    ticks.logged = TicksOfAction(site, prepared->runtime, hit::Action::kLog);
  }
  return ticks;
}

}  // namespace stillframe::probe
