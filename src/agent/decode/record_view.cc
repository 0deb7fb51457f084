#include "agent/decode/record_view.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace stillframe::decode {
namespace {

constexpr uint32_t kMaxFrames = 1024;
constexpr uint32_t kMaxChunks = 65536;

// Takes an object from the front of the bytes; false when they are too few.
template <typename T>
bool Take(std::span<const uint8_t>& bytes, T& out) {
  if (bytes.size() < sizeof out) return false;
  std::memcpy(&out, bytes.data(), sizeof out);
  bytes = bytes.subspan(sizeof out);
  return true;
}

// How many of the bytes could be read, from the start on.
uint64_t LiveBytes(uint64_t address, void* out, uint64_t size_bytes) {
  const iovec local{out, size_bytes};
  const iovec remote{reinterpret_cast<void*>(address), size_bytes};
  const ssize_t count = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  return count < 0 ? 0 : static_cast<uint64_t>(count);
}

Status Corrupt(const char* what) { return Status(Code::kCorrupt, std::string("record: ") + what); }

}  // namespace

Result<RecordView> RecordView::Parse(std::span<const uint8_t> bytes) {
  RecordView view;
  std::span<const uint8_t> rest = bytes;
  if (!Take(rest, view.header_)) return Corrupt("shorter than its header");
  if (view.header_.magic != kRecordMagic) return Corrupt("wrong magic");
  if (view.header_.size_bytes > bytes.size()) return Corrupt("longer than its slot");
  rest = rest.subspan(0, view.header_.size_bytes < sizeof view.header_
                             ? 0
                             : view.header_.size_bytes - sizeof view.header_);
  if (view.header_.frame_count > kMaxFrames) return Corrupt("too many frames");
  if (view.header_.chunk_count > kMaxChunks) return Corrupt("too many chunks");
  for (uint32_t i = 0; i < view.header_.frame_count; ++i) {
    FrameRecord frame;
    if (!Take(rest, frame)) return Corrupt("frames cut off");
    view.frames_.push_back(frame);
  }
  for (uint32_t i = 0; i < view.header_.chunk_count; ++i) {
    ChunkHeader chunk;
    if (!Take(rest, chunk)) return Corrupt("chunks cut off");
    if (chunk.status == kChunkEntryValues) {
      StashedValues values;
      if (chunk.size_bytes != sizeof values || !Take(rest, values)) return Corrupt("entry values");
      view.stashed_.emplace_back(chunk.address, values);
      continue;
    }
    if (chunk.status != kChunkOk) {
      view.chunks_.push_back({chunk.address, chunk.size_bytes, nullptr});
      continue;
    }
    const uint64_t padded = (uint64_t{chunk.size_bytes} + 7) & ~uint64_t{7};
    if (padded > rest.size()) return Corrupt("chunk longer than the record");
    view.chunks_.push_back({chunk.address, chunk.size_bytes, rest.data()});
    rest = rest.subspan(padded);
  }
  // Readable chunks first: where both claim a byte, the copy is the truth.
  std::stable_sort(view.chunks_.begin(), view.chunks_.end(), [](const Chunk& a, const Chunk& b) {
    return (a.bytes != nullptr) > (b.bytes != nullptr);
  });
  return view;
}

const StashedValues* RecordView::stashed(uint32_t frame) const {
  for (const auto& [of, values] : stashed_) {
    if (of == frame) return &values;
  }
  return nullptr;
}

const RecordView::Chunk* RecordView::Find(uint64_t address) const {
  for (const Chunk& chunk : chunks_) {
    if (address >= chunk.address && address - chunk.address < chunk.size_bytes) return &chunk;
  }
  return nullptr;
}

Code RecordView::Read(uint64_t address, void* out, uint64_t size_bytes) const {
  auto* to = static_cast<uint8_t*>(out);
  while (size_bytes > 0) {
    const Chunk* chunk = Find(address);
    if (chunk == nullptr && live_) {
      return LiveBytes(address, to, size_bytes) == size_bytes ? Code::kOk : Code::kUnreadable;
    }
    if (chunk == nullptr) return truncated() ? Code::kLimit : Code::kNotCaptured;
    if (chunk->bytes == nullptr) return Code::kUnreadable;
    const uint64_t offset = address - chunk->address;
    const uint64_t count = std::min(size_bytes, chunk->size_bytes - offset);
    std::memcpy(to, chunk->bytes + offset, count);
    to += count;
    address += count;
    size_bytes -= count;
  }
  return Code::kOk;
}

uint64_t RecordView::Available(uint64_t address, uint64_t wanted) const {
  uint64_t have = 0;
  while (have < wanted) {
    const Chunk* chunk = Find(address + have);
    if (chunk == nullptr && live_) {
      std::vector<uint8_t> bytes(wanted - have);
      return have + LiveBytes(address + have, bytes.data(), bytes.size());
    }
    if (chunk == nullptr || chunk->bytes == nullptr) break;
    have += std::min(wanted - have, chunk->size_bytes - (address + have - chunk->address));
  }
  return have;
}

}  // namespace stillframe::decode
