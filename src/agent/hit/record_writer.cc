// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/record_writer.h"

#include "agent/hit/bytes.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

SF_HIT_INLINE uint32_t Padded(uint32_t size_bytes) { return (size_bytes + 7) & ~7u; }

constexpr uint32_t kMinRecordBytes =
    sizeof(RecordHeader) + kMaxFrames * sizeof(FrameRecord) + sizeof(ChunkHeader);

}  // namespace

RecordWriter::RecordWriter(uint8_t* slot, uint32_t limit_bytes)
    : slot_(slot),
      limit_bytes_(limit_bytes < kMaxRecordBytes ? limit_bytes : kMaxRecordBytes),
      used_bytes_(sizeof(RecordHeader)) {
  // The limit bounds what is copied; registers and frames always have room.
  if (limit_bytes_ < kMinRecordBytes) limit_bytes_ = kMinRecordBytes;
  scratch().slice_bytes = 0;
  scratch().window_bytes = 0;
  header().flags = 0;
  header().chunk_count = 0;
  header().frame_count = 0;
  for (KnownChunk& known : scratch().known) known = {};
}

void RecordWriter::EndFrames(uint32_t count) {
  header().frame_count = count;
  used_bytes_ = sizeof(RecordHeader) + count * sizeof(FrameRecord);
}

bool RecordWriter::Fits(uint32_t size_bytes) const {
  return size_bytes <= kMaxRecordBytes &&
         used_bytes_ + sizeof(ChunkHeader) + Padded(size_bytes) <= limit_bytes_;
}

void RecordWriter::PutHeader(uint64_t address, uint32_t size_bytes, ChunkStatus status) {
  auto* chunk = reinterpret_cast<ChunkHeader*>(slot_ + used_bytes_);
  chunk->address = address;
  chunk->size_bytes = size_bytes;
  chunk->status = status;
  used_bytes_ += sizeof(ChunkHeader);
  ++header().chunk_count;
}

void RecordWriter::Remember(uint64_t address, uint32_t size_bytes, uint32_t data) {
  if (stack_.size_bytes == 0) {
    stack_ = {address, size_bytes, data};
    return;
  }
  scratch().known[known_next_++ % kKnownCount] = {address, size_bytes, data};
}

uint32_t RecordWriter::Find(uint64_t address, uint32_t size_bytes) const {
  const auto holds = [&](const KnownChunk& known) {
    const uint64_t offset = address - known.address;
    return offset < known.size_bytes && size_bytes <= known.size_bytes - offset;
  };
  if (holds(stack_)) return stack_.data + static_cast<uint32_t>(address - stack_.address);
  for (const KnownChunk& known : scratch().known) {
    if (holds(known)) return known.data + static_cast<uint32_t>(address - known.address);
  }
  return 0;
}

uint32_t RecordWriter::AppendCopy(uint64_t address, const void* bytes, uint32_t size_bytes) {
  if (!Fits(size_bytes)) {
    MarkTruncated();
    return 0;
  }
  PutHeader(address, size_bytes, kChunkOk);
  const uint32_t data = used_bytes_;
  CopyBytes(slot_ + data, bytes, size_bytes);
  used_bytes_ += Padded(size_bytes);
  Remember(address, size_bytes, data);
  return data;
}

void RecordWriter::AppendEntryValues(uint32_t frame, const EntryValues& values) {
  if (!Fits(sizeof(StashedValues))) return MarkTruncated();
  PutHeader(frame, sizeof(StashedValues), kChunkEntryValues);
  auto& out = *reinterpret_cast<StashedValues*>(slot_ + used_bytes_);
  out.valid = values.stashed;
  out.absent = static_cast<uint32_t>(values.absent);
  for (uint32_t i = 0; i < kStashCells; ++i) {
    out.cells[i] = (values.stashed >> i & 1) != 0 ? values.cells[i] : 0;
  }
  used_bytes_ += sizeof(StashedValues);
}

void RecordWriter::AppendUnreadable(uint64_t address, uint32_t size_bytes) {
  if (Fits(0)) {
    PutHeader(address, size_bytes, kChunkUnreadable);
  } else {
    MarkTruncated();
  }
}

uint32_t RecordWriter::AppendRead(uint64_t address, uint32_t size_bytes) {
  if (!Fits(size_bytes)) {
    MarkTruncated();
    return 0;
  }
  const uint32_t data = used_bytes_ + static_cast<uint32_t>(sizeof(ChunkHeader));
  Touch(data + size_bytes);
  if (ReadSome(address, slot_ + data, size_bytes) != size_bytes) {
    AppendUnreadable(address, size_bytes);
    return 0;
  }
  PutHeader(address, size_bytes, kChunkOk);
  used_bytes_ += Padded(size_bytes);
  Remember(address, size_bytes, data);
  return data;
}

// Bytes were read to where they would stand if every request before succeeded; this moves them down
// to where they do stand (never up: a failed request takes no more room than a good one).
void RecordWriter::PlaceChunk(const ReadRequest& request, Pending& entry) {
  const uint32_t done = request.done_bytes;
  const bool whole = done == request.size_bytes;
  // A readable beginning is kept when there is room for a second header in what was not read.
  const bool partial =
      !whole && done != 0 && Padded(request.size_bytes) - Padded(done) >= sizeof(ChunkHeader);
  entry.data = 0;
  if (whole || partial) {
    PutHeader(request.address, done, kChunkOk);
    entry.data = used_bytes_;
    if (slot_ + used_bytes_ != request.out) CopyBytes(slot_ + used_bytes_, request.out, done);
    used_bytes_ += Padded(done);
    Remember(request.address, done, entry.data);
    entry.size_bytes = done;
  }
  if (!whole) {
    const uint32_t kept = partial ? done : 0;
    PutHeader(request.address + kept, request.size_bytes - kept, kChunkUnreadable);
  }
}

uint32_t RecordWriter::ReadPendingBatch(Pending* entries, uint32_t first, uint32_t count) {
  ReadRequest* const requests = scratch().requests;
  uint16_t* const owners = scratch().request_owner;
  uint32_t position = used_bytes_;
  uint32_t requested = 0;
  uint32_t i = first;
  for (; i < count && requested < kMaxBatch; ++i) {
    Pending& entry = entries[i];
    if (entry.data != 0) continue;
    entry.data = Find(entry.address, entry.size_bytes);
    if (entry.data != 0) continue;
    const uint32_t needed = static_cast<uint32_t>(sizeof(ChunkHeader)) + Padded(entry.size_bytes);
    if (entry.size_bytes > kMaxRecordBytes || position + needed > limit_bytes_) {
      MarkTruncated();
      entry.size_bytes = 0;
      continue;
    }
    requests[requested] = {entry.address, slot_ + position + sizeof(ChunkHeader), entry.size_bytes,
                           0};
    owners[requested++] = static_cast<uint16_t>(i);
    position += needed;
  }
  Touch(position);
  if (requested != 0) ReadBatch(requests, requested, scratch().iovecs);
  for (uint32_t r = 0; r < requested; ++r) PlaceChunk(requests[r], entries[owners[r]]);
  return i;
}

void RecordWriter::ReadPending(Pending* entries, uint32_t count) {
  for (uint32_t next = 0; next < count;) next = ReadPendingBatch(entries, next, count);
}

void RecordWriter::Finish() {
  Touch(used_bytes_);
  scratch().used_bytes = touched_bytes_;
  header().size_bytes = used_bytes_;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
