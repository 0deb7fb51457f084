// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only. Stack use is a few hundred bytes: everything large is in
// the slot.
#include "agent/hit/capture.h"

#include <sys/syscall.h>

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/locals.h"
#include "agent/hit/process_state.h"
#include "agent/hit/record_writer.h"
#include "agent/hit/thread_state.h"
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

void FillHeader(const CaptureRequest& request, RecordHeader& header) {
  stillframe_save_xmm(header.xmm);
  header.magic = kRecordMagic;
  header.sequence = 0;
  header.probe_id = request.probe->probe_id;
  header.site_index = request.site_index;
  header.thread_id = ThreadId();
  header.start_ticks = request.start_ticks;
  header.pad = 0;
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
}

void AddSiteFrame(const CaptureRequest& request, RecordWriter& record, Walker& walker,
                  Locals& locals) {
  const ProbeRuntime& probe = *request.probe;
  const SitePlan& site = probe.sites[request.site_index];
  const FrameRecord& frame = record.frames()[0];
  FrameContext context{};
  context.registers = record.header().registers.gpr;
  context.valid_registers = 0xffff;
  context.cfa = frame.cfa;
  context.cfa_known = frame.cfa != 0 ? 1 : 0;
  context.load_bias = probe.load_bias;
  context.xmm = record.header().xmm;
  walker.SetUnit(0, &probe.unit);
  locals.AddVariables(0, probe.unit, context, site.first_expression, site.expression_count);
  locals.AddFrame(0, probe.unit, context, site.frame);
}

void AddCallers(uint32_t local_frames, RecordWriter& record, Walker& walker, Locals& locals) {
  const CallerTable* const table = g_process.callers.load(std::memory_order_acquire);
  const uint32_t count = Clamp(record.header().frame_count, 1, local_frames);
  uint64_t registers[kRegisterCount];
  for (uint32_t i = 1; i < count; ++i) {
    FrameRecord& frame = record.frames()[i];
    // The table is by return address; a pc that a signal interrupted is something else.
    if (frame.pc_is_exact != 0) continue;
    const CallerEntry* const caller = FindCaller(table, frame.pc);
    if (caller == nullptr) continue;
    frame.caller_plan_id = caller->caller_plan_id;
    FrameContext context{};
    CallerContext(frame, caller->load_bias, registers, context);
    walker.SetUnit(static_cast<uint16_t>(i), &caller->unit);
    locals.AddFrame(static_cast<uint16_t>(i), caller->unit, context, 0);
  }
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
  stack.window = scratch.window;
  stack.window_capacity = kWindowBytes;
  stack.refills_left = kMaxWindowRefills;
  const UnwindModules* const modules = g_process.modules.load(std::memory_order_acquire);
  const UnwindResult result = Unwind(modules, *request.registers, stack, record.frames(),
                                     Clamp(limits.frames, 1, kMaxFrames));
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
  FillHeader(request, record.header());
  AddFrames(request, record);
  // The last resort, far above what the other bounds allow, because time goes on while the thread
  // is not running.
  const uint64_t deadline =
      request.start_ticks + g_process.ticks_per_second.load(std::memory_order_relaxed) / 50;
  Walker walker(record, reader, limits, deadline);
  Locals locals(record, walker, request.cells);
  AddSiteFrame(request, record, walker, locals);
  AddCallers(Clamp(limits.local_frames, 1, kMaxLocalFrames), record, walker, locals);
  walker.Run();
  record.Finish();
  record.header().end_ticks = stillframe_read_ticks();
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
