// Word stores of many text changes with shared steps. Used by TextWriter. Agent thread only.
#ifndef STILLFRAME_AGENT_PROBE_REPLACE_BATCH_H_
#define STILLFRAME_AGENT_PROBE_REPLACE_BATCH_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "agent/probe/text_system.h"
#include "base/status.h"

namespace stillframe::probe {

// Bytes that stand at `address` and what they are to become; both as long as each other.
struct TextChange {
  uint64_t address = 0;
  std::span<const uint8_t> expected;
  std::span<const uint8_t> replacement;
  std::span<const uint8_t> guard;  // makes threads wait at `address`; needed across words only
  int protection = 0;              // of the text, PROT_* bits; what it is set back to
};

inline constexpr uint64_t kTextWordBytes = 8;
inline uint64_t TextWordOf(uint64_t address) { return address & ~(kTextWordBytes - 1); }

// Whole pages, writable for the life of this object, never losing execution.
class WritableText {
 public:
  WritableText(TextSystem& system, uint64_t first, uint64_t end, int protection);
  ~WritableText();
  WritableText(const WritableText&) = delete;
  WritableText& operator=(const WritableText&) = delete;
  const Status& status() const { return status_; }
  bool Covers(uint64_t address) const { return start_ <= address && address < start_ + size_; }

 private:
  TextSystem& system_;
  uint64_t start_;
  uint64_t size_;
  int protection_;
  Status status_;
};

// Bytes of one aligned word: those under the mask must be `from` and become `to`.
struct WordEdit {
  uint64_t address = 0;
  uint64_t mask = 0;
  uint64_t from = 0;
  uint64_t to = 0;
};

// Across two words no single store will do (HAZARDS: torn writes), so threads wait at the head
// while the tail changes. With bytes h0 h1 h2 | t0 t1 becoming H0 H1 H2 | T0 T1:
//   h0 h1 h2 | t0 t1     before
//   eb fe h2 | t0 t1     guard; core sync: nobody runs h0... from an old fetch any more
//   eb fe h2 | T0 T1     tail; core sync
//   H0 H1 H2 | T0 T1     head
//
// While a guard stands every thread waits that comes along, and it may stand anywhere in the
// program, in malloc and in the C library's syscall() too. So from the first guard to the last head
// nothing is called but TextSystem's CoreSync and CompareExchange: words and masks are made ready
// before, failures become words after. Bytes next to ours may be changed by others at any moment:
// they are taken over as they are found. A guard is taken away whatever else has failed; the one
// way for it to stay is that another patcher has written over it and later puts it back.
class ReplaceBatch {
 public:
  explicit ReplaceBatch(TextSystem& system) : system_(system) {}
  // [first, end) are the bytes that differ. `result` receives what became of it.
  void Add(const TextChange& change, uint64_t first, uint64_t end, Status& result);
  void Run();
  // Stores were made after the last synchronization.
  bool unsynced() const { return unsynced_; }

 private:
  enum class Failure : uint8_t { kNone, kNotWritable, kChanged, kNotSynced, kGuardLost };
  struct Entry {
    const TextChange* change = nullptr;
    Status* result = nullptr;
    bool straddles = false;
    Failure failure = Failure::kNone;
    bool guarded = false;  // the guard stands
    bool tail_written = false;
    WordEdit guard;
    WordEdit head;     // from the guard
    WordEdit tail[2];  // of what does not straddle: everything, in the first
    uint32_t tail_words = 0;
  };
  void MakeWritable();
  void PlaceGuards();
  void WriteTails();
  void WriteHeads();
  void TakeGuardsBack();
  void Report();
  bool Apply(const WordEdit& edit, int attempts);
  bool ApplyTail(Entry& entry);
  void UndoTail(Entry& entry);
  int CoreSync();

  TextSystem& system_;
  std::vector<Entry> entries_;
  std::vector<std::unique_ptr<WritableText>> writable_;
  int sync_error_ = 0;  // of the last one that failed
  bool unsynced_ = false;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_REPLACE_BATCH_H_
