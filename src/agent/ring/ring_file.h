// A ring that outlives its process: the slots and the first streams lie in a file that is mapped
// shared, so that what was committed is there after `kill -9` (not after the machine's end).
//
//   RingFileHeader | RingMirror[2] | stream tails | slots | streams
//
// A slot holds a committed record when its RecordHeader::sequence is not 0: Commit writes that
// last, Release makes it 0 and wipes the record. A stream's records stand one after another from
// its tail on, which the agent thread copies here whenever it moves it.
#ifndef STILLFRAME_AGENT_RING_RING_FILE_H_
#define STILLFRAME_AGENT_RING_RING_FILE_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "agent/ring/ring.h"
#include "agent/ring/stream.h"
#include "base/status.h"

namespace stillframe::ring {

inline constexpr char kRingFileMagic[8] = {'S', 'F', 'R', 'I', 'N', 'G', '\n', '\0'};
inline constexpr uint32_t kRingFileVersion = 1;
// Threads that hit first have these; the streams of others are not in the file.
inline constexpr uint32_t kFileStreams = 64;
inline constexpr uint32_t kMirrorProbes = 128;
inline constexpr uint32_t kMirrorCounts = 9;  // hit::kCounterCount

struct RingFileHeader {
  char magic[8];
  uint32_t version;
  uint32_t slot_count, slot_bytes;
  uint32_t stream_count, stream_bytes, stream_stride;
  uint64_t size_bytes;  // of the file
  uint32_t pid;
  uint32_t shares_descriptors;  // 1: the host may close the descriptor that holds the lock
  uint64_t start_time;          // of the process: /proc/PID/stat, field 22
  uint64_t pid_namespace;       // its inode: pids mean something in there only
  char instance[40];            // as in AgentIdentity; NUL-terminated
  uint32_t pad;
  uint32_t checksum;  // Crc32c of what stands before
};

// What the agent thread knows at its last turn. Two of them take turns, so that one is whole.
struct RingMirror {
  uint64_t generation;  // the higher one counts; 0 = never written
  uint64_t ticks;       // time stamp counter, and the wall clock at the same moment
  int64_t unix_nanos;
  uint64_t ticks_per_second;
  struct Counts {
    uint64_t probe_id;
    uint64_t count[kMirrorCounts];
  };
  uint32_t probe_count;
  uint32_t checksum;  // Crc32c of generation to probe_count and the counts in use
  Counts probes[kMirrorProbes];
};

inline constexpr uint64_t kMirrorOffset = 4096;
inline constexpr uint64_t kTailOffset = kMirrorOffset + 2 * sizeof(RingMirror);
inline constexpr uint64_t kSlotOffset = 64 * 1024;
inline constexpr uint64_t kStreamOffset = kSlotOffset + uint64_t{kSlotCount} * kSlotBytes;
inline constexpr uint64_t kRingFileBytes = kStreamOffset + uint64_t{kFileStreams} * kStreamStride;
static_assert(sizeof(RingFileHeader) <= kMirrorOffset);
static_assert(kTailOffset + kFileStreams * sizeof(uint64_t) <= kSlotOffset);

uint32_t HeaderChecksum(const RingFileHeader& header);
// `mirror.probe_count` must be at most kMirrorProbes.
uint32_t MirrorChecksum(const RingMirror& mirror);

// The memory of the file `fd`, which is new and empty: reserved on the disk first, so that a full
// one is an error here and not a fault in the host. kIoError. Agent thread.
Result<uint8_t*> MapRingFile(int fd, RingFileHeader header);

// Makes Initialize and MapStreams use `file`, which must stay mapped for ever. Forked children,
// however they are made, write nothing into it. kIoError when that cannot be had. Before
// Initialize. Agent thread.
Status UseRingFile(uint8_t* file);
// The file in use; nullptr: the ring is private.
uint8_t* RingFile();

}  // namespace stillframe::ring

#endif  // STILLFRAME_AGENT_RING_RING_FILE_H_
