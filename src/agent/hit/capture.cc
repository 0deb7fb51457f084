// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only. Stack use is a few hundred bytes: everything large is in
// the slot.
#include "agent/hit/capture.h"

#include <sys/syscall.h>

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/entry_stash.h"
#include "agent/hit/locals.h"
#include "agent/hit/process_state.h"
#include "agent/hit/record_writer.h"
#include "agent/hit/thread_state.h"
#include "agent/hit/unplanned_frames.h"
#include "agent/hit/unwinder.h"
#include "agent/hit/walker.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr uint64_t kRedZoneBytes = 128;
constexpr uint8_t kRsp = 7;
constexpr uint32_t kMaxWindowRefills = 2 * kMaxFrames;

SF_HIT_INLINE uint32_t Clamp(uint32_t value, uint32_t low, uint32_t high) {
  return value < low ? low : value > high ? high : value;
}

uint32_t ThreadId() {
  ThreadState& thread = t_thread;
  if (thread.thread_id == 0) {
    thread.thread_id = static_cast<uint32_t>(stillframe_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0));
  }
  return thread.thread_id;
}

// In the scratch space, which nothing uses yet: on the application's stack there is no room.
void SaveX87(RecordWriter& record) {
  constexpr uint64_t kStackOffset = 32;
  auto at = reinterpret_cast<uint64_t>(record.scratch().slice);
  at = (at + 15) & ~uint64_t{15};
  auto* const area = reinterpret_cast<uint8_t*>(at);  // NOLINT: an aligned part of the slice
  stillframe_save_x87(area);
  constexpr uint64_t kBytes = (kVectorCount - kX87Result) * uint64_t{16};
  CopyWords(record.header().xmm[kX87Result], area + kStackOffset, kBytes / 8);
}

void FillHeader(const CaptureRequest& request, RecordWriter& record) {
  RecordHeader& header = record.header();
  if (t_thread.fault_vectors == nullptr) {
    stillframe_save_xmm(header.xmm);
  } else {  // a handler begins with others
    CopyWords(header.xmm, t_thread.fault_vectors, kXmmCount * 2);
  }
  if (request.probe->uses_x87) SaveX87(record);
  header.magic = kRecordMagic;
  header.sequence = 0;
  header.probe_id = request.probe->probe_id;
  header.site_index = request.site_index;
  header.thread_id = ThreadId();
  header.start_ticks = request.start_ticks;
  header.signal_number = t_thread.fault_signal;
  header.fault_address = t_thread.fault_address;
  header.fingerprint = request.probe->throws != nullptr ? t_thread.fingerprint : 0;
  header.thread_pointer = stillframe_thread_pointer();
  CopyWords(&header.tls_modules, &g_process.tls_modules, sizeof(TlsModules) / 8);
  header.span_ticks = request.span_ticks;
  header.hits = request.probe->uses_facts ? t_thread.facts.hits : 0;
  header.duration_ns = request.probe->uses_facts ? t_thread.facts.duration_ns : 0;
  const ThreadState& thread = t_thread;
  const uint32_t index = thread.trace_index.load(std::memory_order_relaxed) & 1;
  CopyWords(&header.trace, &thread.traces[index], sizeof(TraceContextRecord) / 8);
  CopyWords(&header.registers, request.registers, sizeof(RegisterFile) / 8);
}

const CallerEntry* FindCaller(const CallerTable* table, uint64_t return_address) {
  if (table == nullptr) return nullptr;
  uint32_t at = CallerHash(return_address);
  for (uint32_t i = 0; i <= table->mask; ++i, ++at) {
    const CallerEntry& entry = table->entries[at & table->mask];
    if (entry.return_address == 0) return nullptr;
    if (entry.return_address == return_address) return &entry;
  }
  return nullptr;
}

// What a location program of a caller may use: rsp and the registers that callees save.
void CallerContext(const FrameRecord& frame, uint64_t load_bias, uint64_t* registers,
                   FrameContext& context) {
  context.registers = registers;
  context.valid_registers = uint32_t{1} << kRsp;
  registers[kRsp] = frame.rsp;
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    registers[kSavedRegisters[i]] = frame.saved[i];
    if ((frame.valid >> i & 1) != 0) {
      context.valid_registers |= uint32_t{1} << kSavedRegisters[i];
    }
  }
  context.cfa = frame.cfa;
  context.cfa_known = frame.cfa != 0 ? 1 : 0;
  context.load_bias = load_bias;
  context.xmm = nullptr;
  context.facts = nullptr;
}

// A machine frame with its plan and what its programs may use.
struct PlannedFrame {
  const UnitView* unit;  // nullptr: there is no plan
  const FramePlan* plan;
  FrameContext context;
  uint64_t registers[kRegisterCount];
};

// The frames of which variables are captured, and one more for what it passes to them. One at a
// time: all of them together are too much for the application's stack.
class PlannedFrames {
 public:
  PlannedFrames(const CaptureRequest& request, RecordWriter& record)
      : request_(request),
        record_(record),
        callers_(g_process.callers.load(std::memory_order_acquire)) {}

  void Get(uint32_t index, PlannedFrame& out) {
    out.unit = nullptr;
    if (index >= record_.header().frame_count) return;
    if (index == 0) return GetSite(out);
    FrameRecord& frame = record_.frames()[index];
    // The table is by return address; a pc that a signal interrupted is something else.
    if (frame.pc_is_exact != 0) return;
    const CallerEntry* const caller = FindCaller(callers_, frame.pc);
    if (caller == nullptr) return;
    if (caller->unit.frames == nullptr) return;
    frame.caller_plan_id = caller->caller_plan_id;
    out.unit = &caller->unit;
    out.plan = &caller->unit.frames[0];
    CallerContext(frame, caller->load_bias, out.registers, out.context);
    out.context.entry = Entry(index);
    out.context.thread_pointer = record_.header().thread_pointer;
    out.context.tls_modules = &g_process.tls_modules;
    out.context.tls_module = caller->tls_module;
  }

 private:
  const EntryValues* Entry(uint32_t index) const {
    return index < kMaxLocalFrames ? &record_.scratch().entries[index] : nullptr;
  }

  void GetSite(PlannedFrame& out) {
    const ProbeRuntime& probe = *request_.probe;
    const FrameRecord& frame = record_.frames()[0];
    out.unit = &probe.unit;
    out.plan = &probe.unit.frames[probe.sites[request_.site_index].frame];
    out.context.registers = record_.header().registers.gpr;
    out.context.valid_registers = 0xffff;
    out.context.cfa = frame.cfa;
    out.context.cfa_known = frame.cfa != 0 ? 1 : 0;
    out.context.load_bias = probe.load_bias;
    out.context.xmm = record_.header().xmm;
    out.context.entry = Entry(0);
    out.context.thread_pointer = record_.header().thread_pointer;
    out.context.tls_modules = &g_process.tls_modules;
    out.context.tls_module = probe.tls_module;
    out.context.facts = probe.uses_facts ? &t_thread.facts : nullptr;
  }

  const CaptureRequest& request_;
  RecordWriter& record_;
  const CallerTable* callers_;
};

// A word above all frames that were unwound.
bool ReadStackWord(RecordWriter& record, uint64_t address, uint64_t& out) {
  const uint32_t data = record.Find(address, sizeof out);
  if (data == 0) return ReadSome(address, &out, sizeof out) == sizeof out;
  CopyBytes(&out, record.slot() + data, sizeof out);
  return true;
}

// What frame `index` + 1 passes to frame `index`, if it is certain that it calls that one. `frame`:
// room for both.
void FillEntryValues(PlannedFrames& frames, uint32_t index, Locals& locals, PlannedFrame& frame,
                     EntryValues& out) {
  frames.Get(index, frame);
  if (frame.unit == nullptr || frame.plan->uses_entry_values == 0 ||
      frame.plan->may_tail_call_itself != 0) {
    return;
  }
  const FramePlan& callee = *frame.plan;
  const uint64_t callee_bias = frame.context.load_bias;
  frames.Get(index + 1, frame);
  if (frame.unit == nullptr) return;
  const FramePlan& caller = *frame.plan;
  uint64_t value = 0;
  const bool certain = caller.callee.count == 0
                           ? CallsFunction(caller, frame.context.load_bias, callee, callee_bias)
                           : locals.Evaluate(*frame.unit, frame.context, caller.callee, value) &&
                                 value == callee.function_entry.value + callee_bias;
  if (!certain) return;
  for (uint32_t i = 0; i < caller.parameter_count; ++i) {
    const CallParameter& parameter = frame.unit->call_parameters[caller.first_parameter + i];
    if (!locals.Evaluate(*frame.unit, frame.context, parameter.program, value)) continue;
    out.cells[parameter.cell] = value;
    out.valid |= uint32_t{1} << parameter.cell;
  }
}

// The same from what a probe at the function's entry stashed, which is certain. It goes into the
// record, too.
void FillStashedValues(const CaptureRequest& request, PlannedFrames& frames, uint32_t index,
                       RecordWriter& record, PlannedFrame& frame, EntryValues& out) {
  if (request.probe->stashed_count == 0) return;
  frames.Get(index, frame);
  if (frame.unit == nullptr || frame.plan->function_entry.value == 0) return;
  const FrameRecord& machine = record.frames()[index];
  uint64_t return_address = 0;
  if (index + 1 < record.header().frame_count) {
    return_address = record.frames()[index + 1].pc;
  } else if (!ReadStackWord(record, machine.cfa - 8, return_address)) {
    return;
  }
  const uint64_t entry = frame.plan->function_entry.value + frame.context.load_bias;
  const StashedFunction* const function =
      ReadFrameStash(*request.probe, entry, machine.pc, machine.cfa, return_address, out);
  if (function != nullptr) record.AppendEntryValues(index, out);
}

void AddLocals(const CaptureRequest& request, uint32_t local_frames, RecordWriter& record,
               Walker& walker, Locals& locals) {
  PlannedFrames frames(request, record);
  EntryValues* const entries = record.scratch().entries;
  // From the outermost in: what a frame passes on may be what it was given itself.
  PlannedFrame frame;
  for (uint32_t i = local_frames; i-- != 0;) {
    entries[i].valid = 0;
    entries[i].stashed = 0;
    entries[i].absent = Code::kOk;
    FillEntryValues(frames, i, locals, frame, entries[i]);
    FillStashedValues(request, frames, i, record, frame, entries[i]);
  }
  for (uint32_t i = 0; i < local_frames; ++i) {
    frames.Get(i, frame);
    if (frame.unit == nullptr) continue;
    walker.SetUnit(static_cast<uint16_t>(i), frame.unit, frame.context.load_bias);
    if (i == 0) {
      const SitePlan& site = request.probe->sites[request.site_index];
      locals.AddVariables(0, *frame.unit, frame.context, site.first_expression,
                          site.expression_count);
    }
    locals.AddFrame(static_cast<uint16_t>(i), *frame.unit, frame.context,
                    static_cast<uint32_t>(frame.plan - frame.unit->frames));
  }
}

// Of callers that were never looked at: the table knows those that cannot have a plan, too.
__attribute__((noinline)) void AddUnplanned(uint32_t local_frames, RecordWriter& record,
                                            uint64_t deadline) {
  const CallerTable* const callers = g_process.callers.load(std::memory_order_acquire);
  UnplannedFrames unplanned(record, g_process.modules.load(std::memory_order_acquire), deadline);
  for (uint32_t i = 1; i < local_frames; ++i) {
    const FrameRecord& frame = record.frames()[i];
    if (frame.pc_is_exact != 0 || FindCaller(callers, frame.pc) == nullptr) unplanned.Add(frame);
  }
  unplanned.Run();
}

// What the plans name. A stack frame of its own.
__attribute__((noinline)) void AddPlanned(const CaptureRequest& request, uint32_t local_frames,
                                          FastReader& reader, RecordWriter& record,
                                          uint64_t deadline) {
  Walker walker(record, reader, request.probe->limits, deadline);
  Locals locals(record, walker, reader, request.cells);
  AddLocals(request, local_frames, record, walker, locals);
  walker.Run();
}

// Copies the stack, unwinds it and makes the copy the record's first chunk.
void AddFrames(const CaptureRequest& request, RecordWriter& record) {
  const CaptureLimits& limits = request.probe->limits;
  Scratch& scratch = record.scratch();
  StackCopy stack{};
  stack.slice = scratch.slice;
  stack.slice_address = request.registers->gpr[kRsp] - kRedZoneBytes;
  const uint32_t wanted =
      ClipToRange(stack.slice_address, Clamp(limits.bytes / 4, 512, kSliceBytes));
  stack.slice_bytes = ReadSome(stack.slice_address, scratch.slice, wanted);
  scratch.slice_bytes = wanted;
  stack.window = scratch.window;
  stack.window_capacity = kWindowBytes;
  stack.refills_left = kMaxWindowRefills;
  const UnwindModules* const modules = g_process.modules.load(std::memory_order_acquire);
  const UnwindResult result = Unwind(modules, *request.registers, stack, record.frames(),
                                     Clamp(limits.frames, 1, kMaxFrames));
  if (stack.refills_left != kMaxWindowRefills) scratch.window_bytes = kWindowBytes;
  if (result.stopped) record.header().flags |= kRecordUnwindStopped;
  record.EndFrames(result.frame_count);
  if (stack.slice_bytes != 0) {
    record.AppendCopy(stack.slice_address, scratch.slice, stack.slice_bytes);
  }
}

}  // namespace

void Capture(const CaptureRequest& request, FastReader& reader, const ring::Slot& slot) {
  const CaptureLimits& limits = request.probe->limits;
  RecordWriter record(slot.data, limits.bytes);
  FillHeader(request, record);
  AddFrames(request, record);
  // The last resort, far above what the other bounds allow, because time goes on while the thread
  // is not running.
  const uint64_t deadline =
      request.start_ticks + g_process.ticks_per_second.load(std::memory_order_relaxed) / 50;
  const uint32_t local_frames =
      Clamp(record.header().frame_count, 1, Clamp(limits.local_frames, 1, kMaxLocalFrames));
  AddPlanned(request, local_frames, reader, record, deadline);
  AddUnplanned(local_frames, record, deadline);
  record.Finish();
  record.header().end_ticks = stillframe_read_ticks();
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
