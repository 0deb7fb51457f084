// The raw record that a hit leaves in the ring: registers, frames and copied memory, no meaning.
// The decoder gives it meaning with the plan. Written and read in the same process; the decoder
// nevertheless treats every field as hostile, because a wild host store may have hit it.
//
//   RecordHeader | FrameRecord[frame_count] | Chunk (header + bytes, padded to 8) ...
#ifndef STILLFRAME_PLAN_RECORD_H_
#define STILLFRAME_PLAN_RECORD_H_

#include <cstdint>

#include "plan/program.h"
#include "plan/unwind_table.h"

namespace stillframe {

inline constexpr uint32_t kRecordMagic = 0x53465232;  // "SFR2"

// General registers at the site, in DWARF order, as the trampoline saved them.
struct RegisterFile {
  uint64_t gpr[kRegisterCount];  // rax rdx rcx rbx rsi rdi rbp rsp r8..r15; rsp as at the site
  uint64_t rip;                  // address of the probed instruction
  uint64_t rflags;               // status flags only
};

// Where the dynamic loader keeps which modules have thread-local storage (glibc's).
struct TlsModules {
  uint64_t list;       // runtime address of its first piece; 0: not known
  uint64_t offset_at;  // in a link map: how far the blocks of the module are below thread pointers
};

struct TraceContextRecord {
  uint8_t trace_id[16];
  uint8_t span_id[8];
  uint8_t valid;
  uint8_t flags;  // W3C trace flags; bit 0 = sampled
  uint8_t pad[6];
};

enum RecordFlags : uint32_t {
  kRecordTruncated = 1,      // the byte limit cut the walk short
  kRecordUnwindStopped = 2,  // frames end at a pc without an unwind rule
};

struct RecordHeader {
  uint32_t magic;
  uint32_t size_bytes;  // of everything, header included
  uint64_t sequence;    // given at commit, dense per process epoch, from 1
  uint64_t probe_id;    // which ProbeRuntime (never reused)
  uint32_t site_index;  // index into ProbePlan::sites
  uint32_t thread_id;
  uint64_t start_ticks;  // time stamp counter when the hit began
  uint64_t end_ticks;    // and when the record was complete
  uint32_t frame_count;
  uint32_t flags;  // RecordFlags
  uint32_t chunk_count;
  uint32_t signal_number;  // of a fault; else 0
  uint64_t thread_pointer;
  TlsModules tls_modules;
  TraceContextRecord trace;
  RegisterFile registers;
  uint8_t xmm[kVectorCount][16];  // the last two only where the probe asks for them
  uint64_t span_ticks;            // of a SPAN: how long it was; else 0
  uint64_t hits;                  // facts, where an expression asks for them; else 0
  uint64_t duration_ns;
  uint64_t fingerprint;    // of a throw that is told apart; else 0
  uint64_t fault_address;  // of a fault: what the kernel says
};

// One machine frame. frames[0] is the site's: pc = registers.rip.
struct FrameRecord {
  uint64_t pc;   // runtime address; a return address for all but the first and signal frames
  uint64_t cfa;  // 0 = unknown
  uint64_t saved[kSavedRegisterCount];  // values of kSavedRegisters in this frame
  uint8_t valid;                        // bit i: saved[i] is known
  uint8_t pc_is_exact;                  // 1: frame 0 and frames interrupted by a signal
  uint8_t pad[6];
  uint64_t rsp;  // stack pointer in this frame (the callee's CFA; the real one in frame 0)
  uint64_t caller_plan_id;  // plan the hit path used for the frame's variables; 0 = none
};

// kChunkEntryValues: no memory, but the StashedValues of the machine frame whose number is the
// address.
enum ChunkStatus : uint32_t { kChunkOk = 0, kChunkUnreadable = 1, kChunkEntryValues = 2 };

struct ChunkHeader {
  uint64_t address;
  uint32_t size_bytes;  // bytes follow unless status == kChunkUnreadable
  uint32_t status;
};

// What argument registers held when a frame's function was entered, from a probe there.
struct StashedValues {
  uint32_t valid;   // bit i: cells[i] is known
  uint32_t absent;  // a Code: why there is none
  uint64_t cells[kStashCells];
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_RECORD_H_
