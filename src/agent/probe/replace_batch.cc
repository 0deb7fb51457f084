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
// An exchange fails when somebody else wrote to the word in between.
constexpr int kAttempts = 16;
constexpr int kReleaseAttempts = 1 << 20;  // of a guard

uint64_t WordOf(const uint8_t (&bytes)[kTextWordBytes]) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// The part of [first, end) that lies in the word at `address`; `from` and `to` are the bytes from
// `base` on.
WordEdit EditOf(uint64_t address, uint64_t first, uint64_t end, uint64_t base,
                std::span<const uint8_t> from, std::span<const uint8_t> to) {
  uint8_t mask[kTextWordBytes] = {}, before[kTextWordBytes] = {}, after[kTextWordBytes] = {};
  for (uint64_t i = 0; i < kTextWordBytes; ++i) {
    const uint64_t at = address + i;
    if (at < first || at >= end) continue;
    mask[i] = 0xFF;
    before[i] = from[at - base];
    after[i] = to[at - base];
  }
  return {address, WordOf(mask), WordOf(before), WordOf(after)};
}

WordEdit Reversed(const WordEdit& edit) { return {edit.address, edit.mask, edit.to, edit.from}; }

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
  Entry entry;
  entry.change = &change;
  entry.result = &result;
  entry.straddles = TextWordOf(first) != TextWordOf(end - 1);
  const uint64_t base = change.address;
  uint64_t word = TextWordOf(first);
  if (entry.straddles) {
    const uint64_t guard_end = base + change.guard.size();
    entry.guard = EditOf(TextWordOf(base), base, guard_end, base, change.expected, change.guard);
    // The whole head is compared, whatever of it changes.
    word = TextWordOf(base) + kTextWordBytes;
    std::vector<uint8_t> guarded(change.expected.begin(), change.expected.end());
    std::copy(change.guard.begin(), change.guard.end(), guarded.begin());
    entry.head = EditOf(TextWordOf(base), base, word, base, guarded, change.replacement);
    first = word;
  }
  for (; word < end; word += kTextWordBytes) {
    entry.tail[entry.tail_words++] =
        EditOf(word, first, end, base, change.expected, change.replacement);
  }
  entries_.push_back(entry);
}

// One mprotect for each run of neighbouring pages of the same protection.
void ReplaceBatch::MakeWritable() {
  std::map<uint64_t, int> pages;
  for (const Entry& entry : entries_) {
    const uint64_t last = entry.tail[entry.tail_words - 1].address;
    for (uint64_t page = entry.change->address & ~(kPageBytes - 1); page <= last;
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
      const bool covers = run->Covers(entry.change->address) ||
                          run->Covers(entry.tail[entry.tail_words - 1].address);
      if (!covers || run->status().ok()) continue;
      *entry.result = run->status();
      entry.failure = Failure::kNotWritable;
    }
  }
}

// False when other bytes stand under the mask, or others write to the word without end.
bool ReplaceBatch::Apply(const WordEdit& edit, int attempts) {
  uint64_t word = edit.from;  // a guess; the first exchange tells
  for (int attempt = 0; attempt < attempts; ++attempt) {
    if ((word & edit.mask) != edit.from) return false;
    const uint64_t after = (word & ~edit.mask) | edit.to;
    if (system_.CompareExchange(edit.address, word, after)) {
      unsynced_ = true;
      return true;
    }
  }
  return false;
}

bool ReplaceBatch::ApplyTail(Entry& entry) {
  for (uint32_t i = 0; i < entry.tail_words; ++i) {
    if (Apply(entry.tail[i], kAttempts)) continue;
    while (i-- > 0) (void)Apply(Reversed(entry.tail[i]), kReleaseAttempts);
    return false;
  }
  return true;
}

void ReplaceBatch::UndoTail(Entry& entry) {
  if (!entry.tail_written) return;
  entry.tail_written = false;
  for (uint32_t i = 0; i < entry.tail_words; ++i) {
    (void)Apply(Reversed(entry.tail[i]), kReleaseAttempts);
  }
}

int ReplaceBatch::CoreSync() {
  const int error = system_.CoreSync();
  if (error != 0) sync_error_ = error;
  if (error == 0) unsynced_ = false;
  return error;
}

void ReplaceBatch::PlaceGuards() {
  bool any = false;
  for (Entry& entry : entries_) {
    if (!entry.straddles || entry.failure != Failure::kNone) continue;
    entry.guarded = Apply(entry.guard, kAttempts);
    if (!entry.guarded) entry.failure = Failure::kChanged;
    any |= entry.guarded;
  }
  if (!any || CoreSync() == 0) return;
  for (Entry& entry : entries_) {
    if (entry.guarded) entry.failure = Failure::kNotSynced;
  }
}

void ReplaceBatch::WriteTails() {
  bool any = false;
  for (Entry& entry : entries_) {
    if (!entry.guarded || entry.failure != Failure::kNone) continue;
    entry.tail_written = ApplyTail(entry);
    if (!entry.tail_written) entry.failure = Failure::kChanged;
    any |= entry.tail_written;
  }
  if (!any || CoreSync() == 0) return;
  for (Entry& entry : entries_) {
    if (entry.tail_written) entry.failure = Failure::kNotSynced;
  }
}

// Heads of what was guarded, and everything that is one store.
void ReplaceBatch::WriteHeads() {
  for (Entry& entry : entries_) {
    if (entry.failure != Failure::kNone) continue;
    if (!entry.straddles) {
      if (!ApplyTail(entry)) entry.failure = Failure::kChanged;
    } else if (Apply(entry.head, kReleaseAttempts)) {
      entry.guarded = false;
    } else {
      entry.failure = Failure::kChanged;
    }
  }
}

// What failed goes back: first the tail, then the guard.
void ReplaceBatch::TakeGuardsBack() {
  bool any = false;
  for (Entry& entry : entries_) {
    if (!entry.guarded) continue;
    any |= entry.tail_written;
    UndoTail(entry);
  }
  if (any) (void)CoreSync();
  for (Entry& entry : entries_) {
    if (!entry.guarded) continue;
    entry.guarded = false;
    if (!Apply(Reversed(entry.guard), kReleaseAttempts)) entry.failure = Failure::kGuardLost;
  }
}

void ReplaceBatch::Report() {
  for (Entry& entry : entries_) {
    const std::string near = "near " + std::to_string(entry.change->address);
    switch (entry.failure) {
      case Failure::kNone:
      case Failure::kNotWritable:
        break;
      case Failure::kChanged:
        *entry.result = Status(Code::kProbeFailed, "another patcher changed the text " + near);
        break;
      case Failure::kNotSynced:
        *entry.result =
            Status(Code::kNotPermitted, ErrnoStatus("membarrier", sync_error_).message());
        break;
      case Failure::kGuardLost:
        *entry.result = Status(Code::kProbeFailed, "another patcher wrote over a guard " + near);
        LogError(entry.result->ToString());
        break;
    }
  }
}

void ReplaceBatch::Run() {
  if (entries_.empty()) return;
  MakeWritable();
  // From here on nothing outside of the agent is called...
  PlaceGuards();
  WriteTails();
  WriteHeads();
  TakeGuardsBack();
  // ...until here.
  writable_.clear();
  Report();
}

}  // namespace stillframe::probe
