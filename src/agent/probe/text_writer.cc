#include "agent/probe/text_writer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/probe/arch/arch.h"
#include "base/log.h"
#include "base/process_maps.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kWordBytes = 8;
constexpr int kLive = PROT_READ | PROT_EXEC;

uint64_t WordOf(uint64_t address) { return address & ~(kWordBytes - 1); }

std::string Hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (uint8_t byte : bytes) {
    if (!text.empty()) text += ' ';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// The pages of a range, writable for the life of this object, never losing execution.
class WritableText {
 public:
  WritableText(TextSystem& system, uint64_t first, uint64_t end, int protection)
      : system_(system),
        start_(first & ~(kPageBytes - 1)),
        size_((end - start_ + kPageBytes - 1) & ~(kPageBytes - 1)),
        protection_(protection),
        status_(system.Protect(start_, size_, protection | PROT_READ | PROT_WRITE | PROT_EXEC)) {}
  ~WritableText() {
    if (!status_.ok()) return;
    Status back = system_.Protect(start_, size_, protection_);
    if (!back.ok()) back = system_.Protect(start_, size_, protection_);
    // The patch stands and is right; what is left is a page that is writable as well.
    if (!back.ok()) LogError("text stays writable: " + back.ToString());
  }
  WritableText(const WritableText&) = delete;
  WritableText& operator=(const WritableText&) = delete;
  const Status& status() const { return status_; }

 private:
  TextSystem& system_;
  uint64_t start_;
  uint64_t size_;
  int protection_;
  Status status_;
};

// The word at `word_address` before and after a change, as far as the change reaches into it. The
// other bytes are read from the live text, which the caller has made readable.
struct WordChange {
  uint64_t address = 0;
  uint64_t before = 0;
  uint64_t after = 0;
};

void Overlay(uint64_t& word, uint64_t word_address, uint64_t address,
             std::span<const uint8_t> bytes) {
  uint8_t raw[kWordBytes];
  std::memcpy(raw, &word, sizeof raw);
  for (uint64_t i = 0; i < bytes.size(); ++i) {
    if (address + i >= word_address && address + i < word_address + kWordBytes) {
      raw[address + i - word_address] = bytes[i];
    }
  }
  std::memcpy(&word, raw, sizeof raw);
}

Result<WordChange> MakeWordChange(TextSystem& system, const TextChange& change, uint64_t address) {
  WordChange word{WordOf(address), 0, 0};
  uint8_t raw[kWordBytes];
  SF_RETURN_IF_ERROR(system.Read(word.address, raw));
  std::memcpy(&word.before, raw, sizeof raw);
  Overlay(word.before, word.address, change.address, change.expected);
  word.after = word.before;
  Overlay(word.after, word.address, change.address, change.replacement);
  return word;
}

Status Changed(uint64_t address) {
  return Status(Code::kProbeFailed,
                "another patcher changed the text near " + std::to_string(address));
}

Result<bool> IsWritableAndExecutable(uint64_t address) {
  SF_ASSIGN_OR_RETURN(const auto maps, ReadProcessMaps());
  for (const Mapping& map : maps) {
    if (map.start.value <= address && address < map.end.value) {
      return map.writable && map.executable;
    }
  }
  return false;
}

int CallConstant(uint64_t address) { return reinterpret_cast<int (*)()>(address)(); }

}  // namespace

Result<std::unique_ptr<TextWriter>> TextWriter::Create(std::unique_ptr<TextSystem> system) {
  std::unique_ptr<TextWriter> writer(new TextWriter(std::move(system)));
  writer->SelfTest();
  if (!writer->abilities_.write_bytes && !writer->abilities_.store_words) {
    return Status(Code::kNotPermitted,
                  "this process may not change its own text: " + writer->abilities_.reasons);
  }
  return writer;
}

void TextWriter::SelfTest() {
  auto note = [this](const Status& status) {
    if (status.ok()) return true;
    if (!abilities_.reasons.empty()) abilities_.reasons += "; ";
    abilities_.reasons += status.message();
    return false;
  };
  abilities_.core_sync = note(system_->CoreSync());
  void* page = mmap(nullptr, kPageBytes, kLive, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    note(ErrnoStatus("map executable memory", errno));
    return;
  }
  const auto scratch = reinterpret_cast<uint64_t>(page);
  abilities_.write_bytes = note(TestBytes(scratch));
  abilities_.store_words = note(TestWords(scratch));
  munmap(page, kPageBytes);
}

Status TextWriter::TestBytes(uint64_t scratch) {
  const auto code = arch::EmitConstantFunction(1);
  SF_RETURN_IF_ERROR(system_->WriteThrough(scratch, code));
  std::vector<uint8_t> back(code.size());
  SF_RETURN_IF_ERROR(system_->Read(scratch, back));
  if (back != code || CallConstant(scratch) != 1) {
    return Status(Code::kNotPermitted, "writes to /proc/self/mem have no effect");
  }
  return Status();
}

Status TextWriter::TestWords(uint64_t scratch) {
  const auto code = arch::EmitConstantFunction(2);
  uint64_t before = 0;
  std::memcpy(&before, reinterpret_cast<const void*>(scratch), sizeof before);
  uint64_t after = before;
  Overlay(after, scratch, scratch, code);
  {
    const WritableText writable(*system_, scratch, scratch + kWordBytes, kLive);
    SF_RETURN_IF_ERROR(writable.status());
    // A filter may claim success and do nothing: look before the store would fault.
    SF_ASSIGN_OR_RETURN(const bool real, IsWritableAndExecutable(scratch));
    if (!real) return Status(Code::kNotPermitted, "mprotect of text has no effect");
    if (!system_->CompareExchange(scratch, before, after)) return Changed(scratch);
  }
  SF_RETURN_IF_ERROR(system_->Protect(scratch, kPageBytes, kLive));
  if (CallConstant(scratch) != 2) {
    return Status(Code::kNotPermitted, "stores into text have no effect");
  }
  return Status();
}

TextWriter::Range TextWriter::Differing(const TextChange& change) {
  Range range{change.address + change.expected.size(), change.address};
  for (uint64_t i = 0; i < change.expected.size(); ++i) {
    if (change.expected[i] == change.replacement[i]) continue;
    range.first = std::min(range.first, change.address + i);
    range.end = change.address + i + 1;
  }
  return range;
}

Status TextWriter::Compare(const TextChange& change) {
  std::vector<uint8_t> found(change.expected.size());
  SF_RETURN_IF_ERROR(system_->Read(change.address, found));
  if (std::equal(found.begin(), found.end(), change.expected.begin())) return Status();
  return Status(Code::kProbeFailed, "the bytes at the site are not the expected ones: found " +
                                        Hex(found) + ", expected " + Hex(change.expected));
}

Status TextWriter::CanReplace(const TextChange& change) const {
  const Range range = Differing(change);
  if (range.first >= range.end) return Status();
  if (range.end - range.first == 1 && abilities_.write_bytes) return Status();
  if (!abilities_.store_words) {
    return Status(Code::kNotPermitted,
                  "more than one byte would have to change at once, and this "
                  "process may not make text writable: " +
                      abilities_.reasons);
  }
  if (WordOf(range.first) == WordOf(range.end - 1)) return Status();
  if (!abilities_.core_sync) {
    return Status(Code::kNotPermitted,
                  "the bytes straddle two words, which needs membarrier: " + abilities_.reasons);
  }
  const uint64_t guard_last = change.address + change.guard.size() - 1;
  if (change.guard.empty() || change.guard.size() > change.expected.size() ||
      WordOf(change.address) != WordOf(guard_last)) {
    return Status(Code::kUnsafeSite,
                  "the bytes straddle two words and there is no room for a "
                  "guard");
  }
  return Status();
}

Status TextWriter::Replace(const TextChange& change) {
  if (change.expected.size() != change.replacement.size() || change.expected.empty()) {
    return Status(Code::kInternal, "a text change whose halves differ in length");
  }
  SF_RETURN_IF_ERROR(CanReplace(change));
  SF_RETURN_IF_ERROR(Compare(change));
  const Range range = Differing(change);
  if (range.first >= range.end) return Status();
  if (WordOf(range.first) != WordOf(range.end - 1)) return StoreGuarded(change, range);
  if (range.end - range.first == 1 && abilities_.write_bytes) return WriteByte(change, range);
  return StoreWords(change, range);
}

// The site is consistent with and without the synchronization; it only ends the time in which
// another thread may still run what it fetched before.
Status TextWriter::WriteByte(const TextChange& change, Range range) {
  SF_RETURN_IF_ERROR(system_->WriteThrough(
      range.first, change.replacement.subspan(range.first - change.address, 1)));
  if (abilities_.core_sync) (void)system_->CoreSync();
  return Status();
}

Status TextWriter::StoreWords(const TextChange& change, Range range) {
  SF_ASSIGN_OR_RETURN(const WordChange word, MakeWordChange(*system_, change, range.first));
  {
    const WritableText writable(*system_, word.address, word.address + kWordBytes,
                                change.protection);
    SF_RETURN_IF_ERROR(writable.status());
    if (!system_->CompareExchange(word.address, word.before, word.after)) {
      return Changed(range.first);
    }
  }
  if (abilities_.core_sync) (void)system_->CoreSync();
  return Status();
}

// Across two words no single store will do (HAZARDS: torn writes), so threads wait at the head
// while the tail changes. With bytes h0 h1 h2 | t0 t1 becoming H0 H1 H2 | T0 T1:
//   h0 h1 h2 | t0 t1     before
//   eb fe h2 | t0 t1     guard; core sync: nobody runs h0... from an old fetch any more
//   eb fe h2 | T0 T1     tail; core sync
//   H0 H1 H2 | T0 T1     head; core sync
Status TextWriter::StoreGuarded(const TextChange& change, Range range) {
  SF_ASSIGN_OR_RETURN(const WordChange head, MakeWordChange(*system_, change, change.address));
  SF_ASSIGN_OR_RETURN(const WordChange tail, MakeWordChange(*system_, change, range.end - 1));
  if (tail.address != head.address + kWordBytes) {
    return Status(Code::kInternal, "a text change over more than two words");
  }
  uint64_t guard = head.before;
  Overlay(guard, head.address, change.address, change.guard);
  const WritableText writable(*system_, head.address, tail.address + kWordBytes, change.protection);
  SF_RETURN_IF_ERROR(writable.status());
  auto swap = [&](uint64_t address, uint64_t from, uint64_t to) {
    return system_->CompareExchange(address, from, to);
  };
  if (!swap(head.address, head.before, guard)) return Changed(change.address);
  Status status = system_->CoreSync();
  bool tail_written = false;
  if (status.ok()) {
    tail_written = swap(tail.address, tail.before, tail.after);
    status = tail_written ? system_->CoreSync() : Changed(tail.address);
  }
  if (!status.ok() && tail_written) {
    (void)swap(tail.address, tail.after, tail.before);
    (void)system_->CoreSync();
  }
  const bool released = swap(head.address, guard, status.ok() ? head.after : head.before);
  if (status.ok() && !released) status = Changed(change.address);
  (void)system_->CoreSync();
  return status;
}

Status TextWriter::WriteFresh(uint64_t address, std::span<const uint8_t> bytes) {
  if (abilities_.write_bytes) return system_->WriteThrough(address, bytes);
  const WritableText writable(*system_, address, address + bytes.size(), kLive);
  SF_RETURN_IF_ERROR(writable.status());
  std::memcpy(reinterpret_cast<void*>(address), bytes.data(), bytes.size());
  return Status();
}

}  // namespace stillframe::probe
