#include "agent/probe/text_writer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/probe/arch/arch.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/process_maps.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kWordBytes = kTextWordBytes;
constexpr int kLive = PROT_READ | PROT_EXEC;
constexpr uint64_t kMaxChangeBytes = 16;  // so that it touches three words at most

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
  const int sync_error = system_->CoreSync();
  abilities_.core_sync = note(sync_error == 0 ? Status() : ErrnoStatus("membarrier", sync_error));
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
                                        ToHex(found, " ") + ", expected " +
                                        ToHex(change.expected, " "));
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
  if (TextWordOf(range.first) == TextWordOf(range.end - 1)) return Status();
  if (!abilities_.core_sync) {
    return Status(Code::kNotPermitted,
                  "the bytes straddle two words, which needs membarrier: " + abilities_.reasons);
  }
  const uint64_t guard_last = change.address + change.guard.size() - 1;
  if (change.guard.empty() || change.guard.size() > change.expected.size() ||
      TextWordOf(change.address) != TextWordOf(guard_last)) {
    return Status(Code::kUnsafeSite,
                  "the bytes straddle two words and there is no room for a "
                  "guard");
  }
  return Status();
}

Status TextWriter::Check(const TextChange& change) {
  if (change.expected.size() != change.replacement.size() || change.expected.empty()) {
    return Status(Code::kInternal, "a text change whose halves differ in length");
  }
  if (change.expected.size() > kMaxChangeBytes) {
    return Status(Code::kInternal, "a text change of more than one instruction");
  }
  SF_RETURN_IF_ERROR(CanReplace(change));
  return Compare(change);
}

Status TextWriter::Replace(const TextChange& change) {
  return ReplaceAll({&change, 1}, true).front();
}

std::vector<Status> TextWriter::ReplaceAll(std::span<const TextChange> changes, bool sync) {
  std::vector<Status> results(changes.size());
  ReplaceBatch batch(*system_);
  std::vector<std::pair<size_t, Range>> bytes;
  for (size_t i = 0; i < changes.size(); ++i) {
    const TextChange& change = changes[i];
    results[i] = Check(change);
    const Range range = Differing(change);
    if (!results[i].ok() || range.first >= range.end) continue;
    if (range.end - range.first == 1 && abilities_.write_bytes) {
      bytes.emplace_back(i, range);
    } else {
      batch.Add(change, range.first, range.end, results[i]);
    }
  }
  batch.Run();
  std::vector<TextWrite> writes;
  std::vector<Status> written(bytes.size());
  for (const auto& [i, range] : bytes) {
    writes.push_back(
        {range.first, changes[i].replacement.subspan(range.first - changes[i].address, 1)});
  }
  system_->WriteThroughAll(writes, written);
  ReplaceBatch stores(*system_);
  for (size_t k = 0; k < bytes.size(); ++k) {
    const auto& [i, range] = bytes[k];
    results[i] = std::move(written[k]);
    // What was allowed at the start may be forbidden since; a store changes a byte as well.
    if (results[i].code() == Code::kNotPermitted && abilities_.store_words) {
      results[i] = Status();
      stores.Add(changes[i], range.first, range.end, results[i]);
    }
  }
  stores.Run();
  const bool unsynced = batch.unsynced() || stores.unsynced() || !bytes.empty();
  if (sync && unsynced && abilities_.core_sync) (void)system_->CoreSync();
  return results;
}

Status TextWriter::WriteFresh(uint64_t address, std::span<const uint8_t> bytes) {
  const TextWrite write{address, bytes};
  return WriteFreshAll({&write, 1});
}

Status TextWriter::WriteFreshAll(std::span<const TextWrite> writes) {
  if (abilities_.write_bytes) {
    std::vector<Status> results(writes.size());
    system_->WriteThroughAll(writes, results);
    for (Status& status : results) SF_RETURN_IF_ERROR(std::move(status));
    return Status();
  }
  for (const TextWrite& write : writes) {
    const WritableText writable(*system_, write.address, write.address + write.bytes.size(), kLive);
    SF_RETURN_IF_ERROR(writable.status());
    std::memcpy(reinterpret_cast<void*>(write.address), write.bytes.data(), write.bytes.size());
  }
  return Status();
}

}  // namespace stillframe::probe
