#include "agent/probe/code_memory.h"

#include <sys/mman.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageBytes = 4096;
// Mapped at once where the address is free to choose, so that the next sites find room.
constexpr uint64_t kChunkBytes = 16 * kPageBytes;
constexpr int kAttempts = 16;

uint64_t PageOf(uint64_t address) { return address & ~(kPageBytes - 1); }

bool Covers(const std::vector<Interval>& intervals, uint64_t start, uint64_t end) {
  return std::any_of(intervals.begin(), intervals.end(), [&](const Interval& interval) {
    return interval.start <= start && end <= interval.end;
  });
}

}  // namespace

std::vector<Interval> CodeMemory::OwnIntervals() const {
  std::vector<Interval> runs;
  for (uint64_t page : pages_) {
    if (!runs.empty() && runs.back().end == page) {
      runs.back().end = page + kPageBytes;
    } else {
      runs.push_back({page, page + kPageBytes});
    }
  }
  return runs;
}

std::vector<Interval> CodeMemory::UsedIntervals() const {
  std::vector<Interval> used;
  for (const auto& [start, end] : used_) used.push_back({start, end});
  return used;
}

Result<uint64_t> CodeMemory::Reserve(const arch::AddressSet& where, uint32_t size_bytes,
                                     uint64_t near) {
  const std::vector<Interval> used = UsedIntervals();
  auto found = FindNearest(Subtract(OwnIntervals(), used), where, size_bytes, near);
  for (int attempt = 0; !found && attempt < kAttempts; ++attempt) {
    SF_ASSIGN_OR_RETURN(std::vector<Interval> free, ReadFreeIntervals());
    free = Subtract(free, refused_);
    std::vector<Interval> candidates = free;
    // Together with our own pages, so that an island may begin on one of them and end behind it.
    for (const Interval& own : OwnIntervals()) candidates.push_back(own);
    candidates =
        Subtract(Complement(Complement(candidates, {0, UINT64_MAX}), {0, UINT64_MAX}), used);
    found = FindNearest(candidates, where, size_bytes, near);
    if (!found) {
      return Status(Code::kUnsafeSite,
                    "no free address for a trampoline can be reached from there");
    }
    const bool roomy = where.stride <= kPageBytes && where.last() - where.first >= kChunkBytes;
    const Status mapped = MapFor(*found, size_bytes, roomy ? free : std::vector<Interval>());
    if (mapped.code() == Code::kUnsafeSite) {  // taken in the meantime
      found.reset();
      continue;
    }
    SF_RETURN_IF_ERROR(mapped);
  }
  if (!found) return Status(Code::kUnsafeSite, "the addresses for a trampoline are being taken");
  used_[*found] = *found + size_bytes;
  return *found;
}

Status CodeMemory::MapFor(uint64_t address, uint32_t size_bytes,
                          const std::vector<Interval>& free) {
  const uint64_t start = PageOf(address);
  const uint64_t end = PageOf(address + size_bytes - 1) + kPageBytes;
  if (end - start <= kChunkBytes && pages_.size() + kChunkBytes / kPageBytes <= max_pages_) {
    // Below the address first: the nearest free place is mostly the top of a gap.
    for (uint64_t chunk : {end - kChunkBytes, start}) {
      if (chunk < end && Covers(free, chunk, chunk + kChunkBytes)) {
        return MapPages(chunk, chunk + kChunkBytes);
      }
    }
  }
  for (uint64_t page = start; page < end; page += kPageBytes) {
    if (!Owns(page)) SF_RETURN_IF_ERROR(MapPages(page, page + kPageBytes));
  }
  return Status();
}

Status CodeMemory::MapPages(uint64_t start, uint64_t end) {
  if (pages_.size() + (end - start) / kPageBytes > max_pages_) {
    return Status(Code::kOverLimit, "trampolines already take " +
                                        std::to_string(pages_.size() * kPageBytes) + " bytes");
  }
  void* const wanted = reinterpret_cast<void*>(start);
  void* const got = mmap(wanted, end - start, PROT_READ | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != wanted) {
    // Kernels before 4.17 take the address as a hint.
    const int error_number = got == MAP_FAILED ? errno : EEXIST;
    if (got != MAP_FAILED) munmap(got, end - start);
    if (error_number == ENOMEM) {
      return Status(Code::kProbeFailed, ErrnoStatus("map a trampoline", error_number).message());
    }
    if (error_number == EACCES || error_number == EPERM) {
      return Status(Code::kNotPermitted, "the system gives no executable memory");
    }
    refused_.push_back({start, end});
    return Status(Code::kUnsafeSite, ErrnoStatus("map a trampoline", error_number).message());
  }
#ifdef PR_SET_VMA
  // Names the pages in /proc/PID/maps where the kernel supports it.
  prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, end - start, "stillframe");
#endif
  for (uint64_t page = start; page < end; page += kPageBytes) pages_.insert(page);
  return Status();
}

void CodeMemory::Shrink(uint64_t address, uint32_t kept_bytes) {
  const auto it = used_.find(address);
  if (it == used_.end()) return;
  if (kept_bytes == 0) {
    used_.erase(it);
  } else {
    it->second = std::min(it->second, address + kept_bytes);
  }
}

Status CodeMemory::Write(uint64_t address, std::span<const uint8_t> bytes) {
  return writer_.WriteFresh(address, bytes);
}

}  // namespace stillframe::probe
