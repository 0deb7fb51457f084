#include "agent/probe/replace_batch.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "base/log.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr int kSwapAttempts = 4;

Status Changed(uint64_t address) {
  return Status(Code::kProbeFailed,
                "another patcher changed the text near " + std::to_string(address));
}

}  // namespace

WritableText::WritableText(TextSystem& system, uint64_t first, uint64_t end, int protection)
    : system_(system),
      start_(first & ~(kPageBytes - 1)),
      size_((end - start_ + kPageBytes - 1) & ~(kPageBytes - 1)),
      protection_(protection),
      status_(system.Protect(start_, size_, protection | PROT_READ | PROT_WRITE | PROT_EXEC)) {}

WritableText::~WritableText() {
  if (!status_.ok()) return;
  Status back = system_.Protect(start_, size_, protection_);
  if (!back.ok()) back = system_.Protect(start_, size_, protection_);
  // The patch stands and is right; what is left is a page that is writable as well.
  if (!back.ok()) LogError("text stays writable: " + back.ToString());
}

void ReplaceBatch::Add(const TextChange& change, uint64_t first, uint64_t end, Status& result) {
  entries_.push_back(Entry{&change, first, end, &result, TextWordOf(first) != TextWordOf(end - 1)});
}

// One mprotect for each run of neighbouring pages of the same protection.
void ReplaceBatch::MakeWritable() {
  std::map<uint64_t, int> pages;
  for (const Entry& entry : entries_) {
    const uint64_t last = TextWordOf(entry.end - 1);
    for (uint64_t page = TextWordOf(entry.change->address) & ~(kPageBytes - 1); page <= last;
         page += kPageBytes) {
      pages[page] = entry.change->protection;
    }
  }
  for (auto it = pages.begin(); it != pages.end();) {
    const uint64_t start = it->first;
    const int protection = it->second;
    uint64_t end = start;
    for (; it != pages.end() && it->first == end && it->second == protection; ++it) {
      end += kPageBytes;
    }
    writable_.push_back(std::make_unique<WritableText>(system_, start, end, protection));
  }
  for (Entry& entry : entries_) {
    for (const auto& run : writable_) {
      const bool covers = run->Covers(entry.change->address) || run->Covers(entry.end - 1);
      if (covers && !run->status().ok()) *entry.result = run->status();
    }
  }
}

Status ReplaceBatch::Swap(const TextChange& change, uint64_t first, uint64_t end,
                          std::span<const uint8_t> from, std::span<const uint8_t> to) {
  const uint64_t address = TextWordOf(first);
  for (int attempt = 0; attempt < kSwapAttempts; ++attempt) {
    uint8_t raw[kTextWordBytes];
    SF_RETURN_IF_ERROR(system_.Read(address, raw));
    uint64_t before = 0;
    std::memcpy(&before, raw, sizeof before);
    for (uint64_t at = first; at < end; ++at) {
      if (raw[at - address] != from[at - change.address]) return Changed(at);
      raw[at - address] = to[at - change.address];
    }
    uint64_t after = 0;
    std::memcpy(&after, raw, sizeof after);
    if (system_.CompareExchange(address, before, after)) {
      unsynced_ = true;
      return Status();
    }
  }
  return Changed(first);
}

void ReplaceBatch::PlaceGuards() {
  bool any = false;
  for (Entry& entry : entries_) {
    if (!entry.straddles || !entry.result->ok()) continue;
    const TextChange& change = *entry.change;
    *entry.result = Swap(change, change.address, change.address + change.guard.size(),
                         change.expected, change.guard);
    entry.guarded = entry.result->ok();
    any |= entry.guarded;
  }
  if (!any) return;
  const Status synced = system_.CoreSync();
  for (Entry& entry : entries_) {
    if (entry.guarded && !synced.ok()) *entry.result = synced;
  }
}

void ReplaceBatch::WriteTails() {
  bool any = false;
  for (Entry& entry : entries_) {
    if (!entry.guarded || !entry.result->ok()) continue;
    const TextChange& change = *entry.change;
    *entry.result =
        Swap(change, TextWordOf(entry.end - 1), entry.end, change.expected, change.replacement);
    entry.tail_written = entry.result->ok();
    any |= entry.tail_written;
  }
  if (!any) return;
  const Status synced = system_.CoreSync();
  if (synced.ok()) return;
  for (Entry& entry : entries_) {
    if (!entry.tail_written) continue;
    *entry.result = synced;
    (void)Swap(*entry.change, TextWordOf(entry.end - 1), entry.end, entry.change->replacement,
               entry.change->expected);
  }
  (void)system_.CoreSync();
}

// Heads of what was guarded, whether it succeeded or goes back, and everything that is one store.
void ReplaceBatch::WriteHeads() {
  for (Entry& entry : entries_) {
    const TextChange& change = *entry.change;
    if (!entry.straddles) {
      if (entry.result->ok()) {
        *entry.result = Swap(change, entry.first, entry.end, change.expected, change.replacement);
      }
      continue;
    }
    if (!entry.guarded) continue;
    const uint64_t head_end = TextWordOf(change.address) + kTextWordBytes;
    std::vector<uint8_t> now(change.expected.begin(), change.expected.end());
    std::copy(change.guard.begin(), change.guard.end(), now.begin());
    const Status released = Swap(change, change.address, head_end, now,
                                 entry.result->ok() ? change.replacement : change.expected);
    if (entry.result->ok()) *entry.result = released;
  }
}

void ReplaceBatch::Run() {
  if (entries_.empty()) return;
  MakeWritable();
  PlaceGuards();
  WriteTails();
  WriteHeads();
  writable_.clear();
}

}  // namespace stillframe::probe
