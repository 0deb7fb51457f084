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

// Across two words no single store will do (HAZARDS: torn writes), so threads wait at the head
// while the tail changes. With bytes h0 h1 h2 | t0 t1 becoming H0 H1 H2 | T0 T1:
//   h0 h1 h2 | t0 t1     before
//   eb fe h2 | t0 t1     guard; core sync: nobody runs h0... from an old fetch any more
//   eb fe h2 | T0 T1     tail; core sync
//   H0 H1 H2 | T0 T1     head
class ReplaceBatch {
 public:
  explicit ReplaceBatch(TextSystem& system) : system_(system) {}
  // [first, end) are the bytes that differ. `result` receives what became of it.
  void Add(const TextChange& change, uint64_t first, uint64_t end, Status& result);
  void Run();
  // Stores were made after the last synchronization.
  bool unsynced() const { return unsynced_; }

 private:
  struct Entry {
    const TextChange* change;
    uint64_t first;
    uint64_t end;
    Status* result;
    bool straddles;
    bool guarded = false;  // the guard stands
    bool tail_written = false;
  };
  void MakeWritable();
  void PlaceGuards();
  void WriteTails();
  void WriteHeads();
  // The bytes [first, end), all in one word, from `from` to `to`; both begin at change.address.
  Status Swap(const TextChange& change, uint64_t first, uint64_t end, std::span<const uint8_t> from,
              std::span<const uint8_t> to);

  TextSystem& system_;
  std::vector<Entry> entries_;
  std::vector<std::unique_ptr<WritableText>> writable_;
  bool unsynced_ = false;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_REPLACE_BATCH_H_
