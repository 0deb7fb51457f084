// Builds the record in a slot (plan/record.h), and the scratch space behind it. Hit-path contract
// as in hit.h. One writer per slot; nothing here is shared between threads.
#ifndef STILLFRAME_AGENT_HIT_RECORD_WRITER_H_
#define STILLFRAME_AGENT_HIT_RECORD_WRITER_H_

#include <cstdint>

#include "agent/hit/interpreter.h"
#include "agent/hit/memory.h"
#include "agent/ring/hit_path.h"
#include "agent/ring/ring.h"
#include "plan/plan.h"
#include "plan/record.h"

namespace stillframe::hit {

SF_HIT_PATH_BEGIN

struct UnitView;

inline constexpr uint32_t kMaxRecordBytes = 64 * 1024;
inline constexpr uint32_t kMaxFrames = 128;
inline constexpr uint32_t kMaxLocalFrames = 16;  // of which variables are captured
inline constexpr uint32_t kSliceBytes = 8 * 1024;
inline constexpr uint32_t kWindowBytes = 4 * 1024;
inline constexpr uint32_t kMaxPending = 1024;
inline constexpr uint32_t kMaxLarge = 64;
inline constexpr uint32_t kMaxNesting = 48;
inline constexpr uint32_t kMaxTreeDepth = 128;  // of one without links upwards
inline constexpr uint32_t kValueBytes = 256;

// Memory that is to be read and then, unless kRaw, looked into.
enum class PendingKind : uint8_t {
  kRaw,       // bytes alone: text, control blocks
  kObject,    // one object of `type`
  kElements,  // `count` objects of `type` in a row
  kNode,      // a container's node; the object of `type` is at offset `count`
  kPairNode,  // the same, and the object's members are at its own level
};
struct Pending {
  uint64_t address;
  uint32_t size_bytes;
  uint32_t data;  // offset of the bytes in the slot; 0 = not read
  uint32_t type;
  uint32_t count;
  uint16_t frame;
  uint8_t level;
  PendingKind kind;
};

// A place in the walk through one object's inline parts.
struct Cursor {
  uint32_t data;   // offset of the object, or of element 0
  uint32_t first;  // first member, or the element type
  uint32_t count;
  uint32_t next;
  uint8_t own_level;  // of bases and anonymous members
  uint8_t child_level;
  uint8_t is_elements;
  uint8_t pad;
};

// Target memory that a chunk holds.
struct KnownChunk {
  uint64_t address;
  uint32_t size_bytes;
  uint32_t data;  // offset of the bytes in the slot
};
inline constexpr uint32_t kKnownCount = 8;

// Large working memory of one capture: in the slot, not on the application's stack.
struct Scratch {
  // How much was written to, for who wipes it: of the record, of `slice` and of `window`.
  uint32_t used_bytes, slice_bytes, window_bytes;
  EntryValues entries[kMaxLocalFrames];
  const UnitView* units[kMaxLocalFrames];  // of the frames whose variables are captured
  uint64_t biases[kMaxLocalFrames];        // and where their modules are
  uint8_t value[kValueBytes];              // a variable that is not in memory
  uint64_t extents[kMaxExtents];           // of one that only its frame knows the size of
  uint8_t slice[kSliceBytes];
  uint8_t window[kWindowBytes];
  IoVec iovecs[2 * kMaxBatch];
  ReadRequest requests[kMaxBatch];
  uint16_t request_owner[kMaxBatch];
  Cursor cursors[kMaxNesting];
  uint64_t path[kMaxTreeDepth];  // nodes above the one that a tree's walk is at
  Pending pending[2][kMaxPending];
  KnownChunk known[kKnownCount];  // the last chunks
  Pending large[kMaxLarge];       // put off until everything small is there
};
static_assert(kMaxRecordBytes + sizeof(Scratch) <= ring::kSlotBytes);

class RecordWriter {
 public:
  RecordWriter(uint8_t* slot, uint32_t limit_bytes);

  uint8_t* slot() { return slot_; }
  RecordHeader& header() { return *reinterpret_cast<RecordHeader*>(slot_); }
  FrameRecord* frames() { return reinterpret_cast<FrameRecord*>(slot_ + sizeof(RecordHeader)); }
  Scratch& scratch() const { return *reinterpret_cast<Scratch*>(slot_ + kMaxRecordBytes); }
  // Frames are complete; chunks follow them.
  void EndFrames(uint32_t count);

  // What a chunk of that many bytes takes, and how much of that there is room for.
  static uint32_t ChunkBytes(uint32_t size_bytes) {
    return static_cast<uint32_t>(sizeof(ChunkHeader)) + ((size_bytes + 7) & ~7u);
  }
  uint32_t RoomBytes() const { return limit_bytes_ - used_bytes_; }
  // The stack slice, once it is there; else 0 bytes.
  uint64_t stack_address() const { return stack_.address; }
  uint32_t stack_bytes() const { return stack_.size_bytes; }
  // Room for a chunk of that size now?
  bool Fits(uint32_t size_bytes) const;
  void MarkTruncated() { header().flags |= kRecordTruncated; }
  // Copies bytes that are at hand. 0 when they do not fit, else the offset of the bytes.
  uint32_t AppendCopy(uint64_t address, const void* bytes, uint32_t size_bytes);
  // Reads target memory into a chunk of its own. The same result; 0 also when unreadable, which is
  // recorded.
  uint32_t AppendRead(uint64_t address, uint32_t size_bytes);
  // Of a frame whose function's entries are stashed.
  void AppendEntryValues(uint32_t frame, const EntryValues& values);
  void AppendUnreadable(uint64_t address, uint32_t size_bytes);
  // Offset of target memory that a recent chunk already holds whole; 0 when none does.
  uint32_t Find(uint64_t address, uint32_t size_bytes) const;

  // Reads every entry that is not in the record yet, in as few calls as can be.
  void ReadPending(Pending* entries, uint32_t count);

  void Finish();

 private:
  uint32_t ReadPendingBatch(Pending* entries, uint32_t first, uint32_t count);
  void PlaceChunk(const ReadRequest& request, Pending& entry);
  void PutHeader(uint64_t address, uint32_t size_bytes, ChunkStatus status);
  void Remember(uint64_t address, uint32_t size_bytes, uint32_t data);
  void Touch(uint32_t end) {
    if (end > touched_bytes_) touched_bytes_ = end;
  }

  uint8_t* slot_;
  uint32_t limit_bytes_;
  uint32_t used_bytes_;
  uint32_t touched_bytes_ = 0;  // behind what was read and then moved down, or thrown away
  uint32_t known_next_ = 0;
  KnownChunk stack_{};  // the stack slice: never forgotten
};

SF_HIT_PATH_END

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_RECORD_WRITER_H_
