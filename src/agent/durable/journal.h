// An append-only file of entries, each with a type, a length and a checksum. What was appended is
// there after `kill -9` of the writer; an entry that was being written then is the last, and does
// not count.
#ifndef STILLFRAME_AGENT_DURABLE_JOURNAL_H_
#define STILLFRAME_AGENT_DURABLE_JOURNAL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stillframe::durable {

inline constexpr uint64_t kMaxEntryBytes = 32u << 20;

class JournalWriter {
 public:
  JournalWriter() = default;
  explicit JournalWriter(UniqueFd fd) : fd_(std::move(fd)) {}
  // kIoError (the disk is full): the entry is not there, and later ones may be tried.
  Status Append(uint32_t type, std::string_view payload);
  // Throws everything away. kIoError.
  Status Truncate();
  uint64_t size_bytes() const { return size_bytes_; }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  uint64_t size_bytes_ = 0;
};

// Calls `entry` for each entry up to the first that is torn or damaged; true: there is none such.
// The bytes are hostile. Stops early when `entry` returns false.
bool ReadJournal(std::string_view bytes,
                 const std::function<bool(uint32_t type, std::string_view payload)>& entry);

}  // namespace stillframe::durable

#endif  // STILLFRAME_AGENT_DURABLE_JOURNAL_H_
