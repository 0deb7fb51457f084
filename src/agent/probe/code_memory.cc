#include "agent/probe/code_memory.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "agent/probe/address_space.h"
#include "agent/probe/page_sharing.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageBytes = 4096;
// Mapped at once where the address is free to choose, so that the next sites find room.
constexpr uint64_t kChunkBytes = 16 * kPageBytes;
constexpr int kAttempts = 16;
// Fewer are not worth a memory file.
constexpr size_t kMinShared = 8;
// What stands between two pieces of code is written with them when it is this short and free.
constexpr uint64_t kMaxGap = 64;
constexpr uint8_t kFiller = 0xCC;
// The program break may have moved so far before we look again where the heap ends.
constexpr uint64_t kBreakSlackBytes = 1ull << 20;

uint64_t PageOf(uint64_t address) { return address & ~(kPageBytes - 1); }

uint32_t ReadMaxMappings() {
  constexpr uint32_t kLinuxDefault = 65530;
  const auto text = ReadFile("/proc/sys/vm/max_map_count", 64);
  const unsigned long long count = text.ok() ? strtoull(text->c_str(), nullptr, 10) : 0;
  const auto known = static_cast<uint32_t>(std::min<unsigned long long>(count, UINT32_MAX));
  const uint32_t most = known == 0 ? kLinuxDefault : known;
  return most - most / 4;
}

}  // namespace

CodeMemory::CodeMemory(TextWriter& writer, CodeLimits limits) : writer_(writer), limits_(limits) {
  if (limits_.mappings == 0) limits_.mappings = ReadMaxMappings();
}

void CodeMemory::Refresh(const std::vector<Mapping>& maps) {
  process_mappings_ = static_cast<uint32_t>(maps.size());
  const auto now = reinterpret_cast<uint64_t>(sbrk(0));
  const uint64_t moved = now > program_break_ ? now - program_break_ : program_break_ - now;
  if (!known_ || moved > kBreakSlackBytes) Rebuild(maps);
}

bool CodeMemory::RebuildNow() {
  if (fresh_) return false;
  const auto maps = ReadProcessMaps();
  if (maps.ok()) Rebuild(*maps);
  return maps.ok();
}

void CodeMemory::Rebuild(const std::vector<Mapping>& maps) {
  const GrowthZones zones = ReadGrowthZones();
  program_break_ = zones.program_break;
  known_ = fresh_ = true;
  available_ = FreeIntervals(maps, zones);
  for (const auto& [start, end] : refused_) available_.Remove({start, end});
  for (const auto& [start, end] : own_free_) available_.Add({start, end});
}

std::optional<uint64_t> CodeMemory::Find(const arch::AddressSet& set, uint32_t size_bytes,
                                         uint64_t near) const {
  const auto own = own_free_.FindNearest(set, size_bytes, near);
  return own ? own : available_.FindNearest(set, size_bytes, near);
}

Result<uint64_t> CodeMemory::Reserve(const arch::AddressSet& where, uint32_t size_bytes,
                                     uint64_t near) {
  if (where.count == 0) return Status(Code::kUnsafeSite, "no address fits the jump");
  const bool roomy = where.stride <= kPageBytes && where.last() - where.first >= kChunkBytes;
  const bool body = roomy && size_bytes > arch::kMaxIslandBytes;
  auto found = (body ? chunk_free_ : own_free_).FindNearest(where, size_bytes, near);
  for (int attempt = 0; !found && attempt < kAttempts; ++attempt) {
    found = available_.FindNearest(where, size_bytes, near);
    if (!found && RebuildNow()) found = available_.FindNearest(where, size_bytes, near);
    if (!found) {
      return Status(Code::kUnsafeSite,
                    "no free address for a trampoline can be reached from there");
    }
    const Status mapped = MapFor(*found, size_bytes, roomy);
    if (mapped.code() == Code::kUnsafeSite) {  // taken in the meantime
      (void)RebuildNow();
      found.reset();
      continue;
    }
    SF_RETURN_IF_ERROR(mapped);
  }
  if (!found) return Status(Code::kUnsafeSite, "the addresses for a trampoline are being taken");
  const Interval taken{*found, *found + size_bytes};
  own_free_.Remove(taken);
  chunk_free_.Remove(taken);
  available_.Remove(taken);
  reserved_[*found] = taken.end;
  return *found;
}

Status CodeMemory::MapFor(uint64_t address, uint32_t size_bytes, bool roomy) {
  const uint64_t start = PageOf(address);
  const uint64_t end = PageOf(address + size_bytes - 1) + kPageBytes;
  if (roomy && end - start <= kChunkBytes) {
    // Below the address first: the nearest free place is mostly the top of a gap.
    for (uint64_t chunk : {end - kChunkBytes, start}) {
      const Interval whole{chunk, chunk + kChunkBytes};
      if (chunk >= end || pages_.Intersects(whole) || !available_.Contains(whole)) continue;
      SF_RETURN_IF_ERROR(MapPages(whole.start, whole.end));
      chunks_.Add(whole);
      chunk_free_.Add(whole);
#ifdef PR_SET_VMA
      // Names the pages in /proc/PID/maps where the kernel supports it.
      prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, whole.start, kChunkBytes, "stillframe");
#endif
      return Status();
    }
  }
  for (uint64_t page = start; page < end; page += kPageBytes) {
    if (pages_.Contains({page, page + kPageBytes})) continue;
    SF_RETURN_IF_ERROR(MapPages(page, page + kPageBytes));
    fresh_sparse_.insert(page);
    ++sparse_pages_;
  }
  return Status();
}

Status CodeMemory::CheckLimits(uint64_t pages) const {
  if (mapped_pages_ + pages > limits_.pages) {
    return Status(Code::kOverLimit,
                  "trampolines already take " + std::to_string(mapped_pages_) + " pages");
  }
  if (process_mappings_ + 1 > limits_.mappings) {
    return Status(Code::kOverLimit, "the process already has " + std::to_string(process_mappings_) +
                                        " memory mappings, of " + std::to_string(limits_.mappings) +
                                        " that leave it room to grow");
  }
  return Status();
}

Status CodeMemory::MapPages(uint64_t start, uint64_t end) {
  SF_RETURN_IF_ERROR(CheckLimits((end - start) / kPageBytes));
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
    refused_.Add({start, end});
    available_.Remove({start, end});
    return Status(Code::kUnsafeSite, ErrnoStatus("map a trampoline", error_number).message());
  }
  ++process_mappings_;
  mapped_pages_ += static_cast<uint32_t>((end - start) / kPageBytes);
  pages_.Add({start, end});
  own_free_.Add({start, end});
  available_.Add({start, end});
  return Status();
}

void CodeMemory::Shrink(uint64_t address, uint32_t kept_bytes) {
  const auto it = reserved_.find(address);
  if (it == reserved_.end()) return;
  const Interval returned{std::min(it->second, address + kept_bytes), it->second};
  own_free_.Add(returned);
  if (chunks_.Contains(returned)) chunk_free_.Add(returned);
  available_.Add(returned);
  if (kept_bytes == 0) {
    reserved_.erase(it);
    unwritten_.erase(address);
  } else {
    it->second = returned.start;
  }
}

void CodeMemory::Write(uint64_t address, std::span<const uint8_t> bytes) {
  unwritten_[address].assign(bytes.begin(), bytes.end());
}

Status CodeMemory::Flush() {
  Status status;
  if (may_share_ && fresh_sparse_.size() >= kMinShared) may_share_ = ReplaceByShared();
  status = WriteRuns();
  fresh_ = false;
  fresh_sparse_.clear();
  reserved_.clear();
  unwritten_.clear();
  return status;
}

// The fresh sparse pages become views of few physical ones. What could not be done is left to
// WriteRuns: such a page is anonymous still.
bool CodeMemory::ReplaceByShared() {
  PageSharing sharing;
  for (const uint64_t page : fresh_sparse_) {
    SharedPage content{page, {}};
    bool whole = true;
    for (auto it = unwritten_.lower_bound(page - std::min<uint64_t>(page, arch::kMaxBodyBytes));
         it != unwritten_.end() && it->first < page + kPageBytes; ++it) {
      const uint64_t end = it->first + it->second.size();
      if (end <= page) continue;
      if (it->first < page || end > page + kPageBytes) whole = false;
      content.code.emplace_back(static_cast<uint32_t>(it->first - page), &it->second);
    }
    // Code that goes over a page's end is written the plain way.
    if (whole && !content.code.empty()) sharing.Add(std::move(content));
  }
  const auto done = sharing.Map();
  for (const uint64_t page : done) {
    const auto first = unwritten_.lower_bound(page);
    unwritten_.erase(first, unwritten_.lower_bound(page + kPageBytes));
  }
  shared_pages_ += sharing.physical_pages();
  return !done.empty();
}

Status CodeMemory::WriteRuns() {
  std::vector<uint8_t> run;
  uint64_t run_start = 0;
  auto write = [&]() { return run.empty() ? Status() : writer_.WriteFresh(run_start, run); };
  for (const auto& [address, code] : unwritten_) {
    const uint64_t run_end = run_start + run.size();
    const bool joins = !run.empty() && address >= run_end && address - run_end <= kMaxGap &&
                       (address == run_end || own_free_.Contains({run_end, address}));
    if (!joins) {
      SF_RETURN_IF_ERROR(write());
      run.clear();
      run_start = address;
    }
    run.resize(address - run_start, kFiller);
    run.insert(run.end(), code.begin(), code.end());
  }
  return write();
}

}  // namespace stillframe::probe
