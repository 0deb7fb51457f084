// Runs verified bytecode. Hit-path contract: no allocation, lock, TLS, logging, exception or call
// out of hit/; bounded by the program's length and kMaxWork; compiled for general registers only.
// The decoder runs the same code over the memory of a record.
#ifndef STILLFRAME_AGENT_HIT_INTERPRETER_H_
#define STILLFRAME_AGENT_HIT_INTERPRETER_H_

#include <cstdint>

#include "base/status.h"
#include "plan/program.h"
#include "plan/record.h"

namespace stillframe::hit {

struct StringRef {
  const char* data;
  uint64_t size_bytes;
};

// What argument registers held when a frame's function was entered (plan/program.h: entry cells).
struct EntryValues {
  uint64_t cells[kAllEntryCells];
  uint32_t valid;    // bit i: cells[i] is known
  uint32_t stashed;  // bit i: cells[i] is what a probe at the entry stashed
  Code absent;       // why others are not known; kOk stands for kEntryValueUnknown
};

// What Op::kFact tells.
struct HitFacts {
  uint64_t thread_id;
  uint64_t hits;
  uint64_t duration_ns;
  const TraceContextRecord* trace;  // nullptr: there is none
  uint8_t has_duration;
  uint8_t pad[7];
};

// The machine frame that a program looks at. No initializers: Clang compiles the constructor that
// they make outside of the hit path's rules.
struct FrameContext {
  const uint64_t* registers;  // kRegisterCount cells in DWARF order
  uint32_t valid_registers;   // bit i: registers[i] is known in this frame
  uint8_t cfa_known;
  uint8_t pad[3];
  uint64_t cfa;
  uint64_t load_bias;             // of the module whose unit this is
  const uint8_t (*xmm)[16];       // nullptr: not available in this frame
  const EntryValues* entry;       // nullptr: none is known
  uint64_t thread_pointer;        // of the thread; 0: unknown
  uint64_t tls_module;            // the module's number with the dynamic loader; 0: no TLS
  const TlsModules* tls_modules;  // nullptr: not known
  const HitFacts* facts;          // nullptr: nothing is known of the hit
};

// Copies size_bytes from the target; false = it cannot be read. Never faults.
struct MemoryReader {
  bool (*read)(void* self, uint64_t address, void* out, uint32_t size_bytes);
  void* self;
};

struct EvalResult {
  uint64_t value;
  Code error;  // kOk, or why there is no value
};

// `code` points at the first instruction of a verified program of `count` instructions.
EvalResult Evaluate(const Insn* code, uint32_t count, const FrameContext& frame,
                    const MemoryReader& memory, const StringRef* strings);

// Cells behind the stack's: the locals, then room for the comparison of texts (text_ops.h).
inline constexpr uint32_t kSideCells = kMaxLocals + 26;

// The same on kMaxStack + kSideCells cells that the caller owns, so that the hit path can keep
// them off the application's stack.
EvalResult EvaluateWithStack(uint64_t* cells, const Insn* code, uint32_t count,
                             const FrameContext& frame, const MemoryReader& memory,
                             const StringRef* strings);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_INTERPRETER_H_
