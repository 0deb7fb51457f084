#include "agent/probe/probe_code_arena.h"

#include <algorithm>

#include "agent/hit/hit.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kReach = 1ull << 30;
constexpr uint32_t kAlignment = 64;
constexpr uint64_t kPageBytes = 4096;

bool InReach(uint64_t a, uint64_t b) { return (a > b ? a - b : b - a) < kReach; }

}  // namespace

Result<ProbeCodeArena::Region*> ProbeCodeArena::AddRegion(uint64_t near) {
  const uint64_t lowest = (near > kReach ? near - kReach : 0) + kPageBytes;
  const uint64_t first = lowest & ~(kPageBytes - 1);
  const arch::AddressSet where{first, kPageBytes, (near + kReach - first) / kPageBytes};
  SF_ASSIGN_OR_RETURN(const uint64_t start,
                      memory_.Reserve(where, static_cast<uint32_t>(hit::kCodeRegionBytes), near));
  if (Status status = hit::AddCodeRegion(start); !status.ok()) {
    memory_.Shrink(start, 0);
    return status;
  }
  Region& region = regions_.emplace_back();
  region.start = start;
  region.fresh = start;
  region.free.emplace(start, start + hit::kCodeRegionBytes);
  return &region;
}

uint64_t ProbeCodeArena::AllocateIn(Region& region, uint32_t size_bytes, bool& reused) {
  for (auto it = region.free.begin(); it != region.free.end(); ++it) {
    const auto [start, end] = *it;
    if (end - start < size_bytes) continue;
    region.free.erase(it);
    if (end - start > size_bytes) region.free.emplace(start + size_bytes, end);
    reused = start < region.fresh;
    region.fresh = std::max(region.fresh, start + size_bytes);
    return start;
  }
  return 0;
}

Result<uint64_t> ProbeCodeArena::Allocate(uint32_t size_bytes, uint64_t near) {
  size_bytes = (size_bytes + kAlignment - 1) & ~(kAlignment - 1);
  if (size_bytes > hit::kCodeRegionBytes) {
    return Status(Code::kOverLimit, "the condition is too long to be compiled");
  }
  uint64_t address = 0;
  bool reused = false;
  for (Region& region : regions_) {
    if (InReach(region.start, near)) address = AllocateIn(region, size_bytes, reused);
    if (address != 0) break;
  }
  if (address == 0) {
    SF_ASSIGN_OR_RETURN(Region* const region, AddRegion(near));
    address = AllocateIn(*region, size_bytes, reused);
  }
  blocks_[address] = {size_bytes, reused};
  used_bytes_ += size_bytes;
  return address;
}

Status ProbeCodeArena::Write(uint64_t address, std::span<const uint8_t> code) {
  SF_RETURN_IF_ERROR(writer_.WriteFresh(address, code));
  const auto block = blocks_.find(address);
  const bool reused = block != blocks_.end() && block->second.reused;
  if (reused && writer_.abilities().core_sync) (void)writer_.system().CoreSync();
  return Status();
}

void ProbeCodeArena::Free(uint64_t address) {
  const auto block = blocks_.find(address);
  if (block == blocks_.end()) return;
  // Without core syncs a processor might run what it fetched before: then no room is used twice.
  if (!writer_.abilities().core_sync) return;
  uint64_t start = address;
  uint64_t end = address + block->second.size_bytes;
  used_bytes_ -= block->second.size_bytes;
  blocks_.erase(block);
  const auto region = std::find_if(regions_.begin(), regions_.end(), [&](const Region& r) {
    return start - r.start < hit::kCodeRegionBytes;
  });
  if (region == regions_.end()) return;
  auto next = region->free.lower_bound(start);
  if (next != region->free.end() && next->first == end) {
    end = next->second;
    next = region->free.erase(next);
  }
  if (next != region->free.begin()) {
    const auto before = std::prev(next);
    if (before->second == start) {
      start = before->first;
      region->free.erase(before);
    }
  }
  region->free.emplace(start, end);
}

}  // namespace stillframe::probe
