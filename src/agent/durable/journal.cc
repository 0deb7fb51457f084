#include "agent/durable/journal.h"

#include <cerrno>
#include <cstring>

#include "base/checksum.h"

namespace stillframe::durable {
namespace {

constexpr uint32_t kEntryMagic = 0x4A465331;  // "SFJ1" backwards

struct EntryHeader {
  uint32_t magic;
  uint32_t type;
  uint32_t size_bytes;  // of the payload, which follows
  uint32_t checksum;    // Crc32c of type, size_bytes and payload
};

uint32_t Checksum(const EntryHeader& header, std::string_view payload) {
  const uint32_t fixed = Crc32c(&header.type, sizeof header.type + sizeof header.size_bytes);
  return Crc32c(payload.data(), payload.size(), fixed);
}

}  // namespace

Status JournalWriter::Append(uint32_t type, std::string_view payload) {
  if (payload.size() > kMaxEntryBytes) return {Code::kOverLimit, "an entry of that size"};
  EntryHeader header{kEntryMagic, type, static_cast<uint32_t>(payload.size()), 0};
  header.checksum = Checksum(header, payload);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(payload);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pwrite(fd_.get(), bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(size_bytes_ + done));
    if (count < 0 && errno == EINTR) continue;
    // What is there of it is written over by the next one.
    if (count <= 0) return ErrnoStatus("writing beside the ring", count == 0 ? ENOSPC : errno);
    done += static_cast<size_t>(count);
  }
  size_bytes_ += bytes.size();
  return {};
}

Status JournalWriter::Truncate() {
  if (ftruncate(fd_.get(), 0) != 0) return ErrnoStatus("truncating a file beside the ring", errno);
  size_bytes_ = 0;
  return {};
}

bool ReadJournal(std::string_view bytes,
                 const std::function<bool(uint32_t type, std::string_view payload)>& entry) {
  while (!bytes.empty()) {
    EntryHeader header;
    if (bytes.size() < sizeof header) return false;
    std::memcpy(&header, bytes.data(), sizeof header);
    bytes.remove_prefix(sizeof header);
    if (header.magic != kEntryMagic || header.size_bytes > bytes.size()) return false;
    const std::string_view payload = bytes.substr(0, header.size_bytes);
    if (header.checksum != Checksum(header, payload)) return false;
    if (!entry(header.type, payload)) return true;
    bytes.remove_prefix(header.size_bytes);
  }
  return true;
}

}  // namespace stillframe::durable
