// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/ and
// ring/; bounded loops; general registers only.
#include "agent/hit/light.h"

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/process_state.h"
#include "agent/hit/thread_state.h"
#include "agent/ring/stream.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

SF_HIT_INLINE bool Read(uint64_t address, void* out, uint32_t size_bytes) {
  const MemoryReader& memory = t_thread.memory;
  return memory.read(memory.self, address, out, size_bytes);
}

EvalResult Run(const UnitView& unit, const Program& program) {
  ThreadState& thread = t_thread;
  return EvaluateWithStack(thread.cells, unit.code + program.first, program.count, thread.context,
                           thread.memory, unit.strings);
}

// Not inlined: the vector registers are saved only where one is wanted.
__attribute__((noinline)) uint64_t XmmBytes(uint8_t reg, uint8_t size_bytes) {
  uint8_t xmm[kXmmCount][16];
  stillframe_save_xmm(xmm);
  uint64_t value = 0;
  CopyBytes(&value, xmm[reg % kXmmCount], size_bytes);
  return value;
}

Code WriteText(const LightField& field, uint64_t object, LightValue& out, uint8_t* text) {
  uint64_t pointer = 0;
  if (!Read(object + field.pointer_offset, &pointer, 8) ||
      !Read(object + field.size_offset, &out.value, 8)) {
    return Code::kUnreadable;
  }
  const uint64_t wanted = out.value < field.text_capacity ? out.value : field.text_capacity;
  if (wanted != 0 && !Read(pointer, text, static_cast<uint32_t>(wanted))) return Code::kUnreadable;
  out.text_bytes = static_cast<uint32_t>(wanted);
  return Code::kOk;
}

// Up to its end, or until there is no room or nothing to be read. Piece by piece, none of which
// reaches into a page that the text may not reach.
void WriteCText(const LightField& field, LightValue& out, uint8_t* text) {
  constexpr uint64_t kPiece = 64, kPage = 4096;
  uint32_t done = 0;
  while (done < field.text_capacity) {
    const uint64_t from = out.value + done;
    uint64_t piece = kPiece - from % kPiece;  // divides a page
    static_assert(kPage % kPiece == 0);
    if (piece > field.text_capacity - done) piece = field.text_capacity - done;
    if (!Read(from, text + done, static_cast<uint32_t>(piece))) break;
    for (uint64_t i = 0; i < piece; ++i) {
      if (text[done + i] != 0) continue;
      out.text_bytes = done + static_cast<uint32_t>(i) + 1;
      for (++i; i < piece; ++i) text[done + i] = 0;  // what stands behind it is not ours
      return;
    }
    done += static_cast<uint32_t>(piece);
  }
  out.text_bytes = done;
}

Code WriteField(const UnitView& unit, const LightField& field, LightValue& out, uint8_t* text) {
  out.value = 0;
  out.text_bytes = 0;
  if (field.kind == LightKind::kTrace) return Code::kOk;
  if (field.kind == LightKind::kXmm) {
    out.value = XmmBytes(field.reg, field.load_bytes);
    return Code::kOk;
  }
  EvalResult result = Run(unit, field.program);
  if (result.error != Code::kOk) return result.error;
  if (field.is_reference != 0 && !Read(result.value, &result.value, 8)) return Code::kUnreadable;
  if (field.kind == LightKind::kText) return WriteText(field, result.value, out, text);
  if (field.load_bytes == 0) {
    out.value = result.value;
  } else if (!Read(result.value, &out.value, field.load_bytes)) {
    return Code::kUnreadable;
  }
  if (field.kind == LightKind::kCText && out.value != 0) WriteCText(field, out, text);
  return Code::kOk;
}

}  // namespace

Counter WriteLight(const ProbeRuntime& probe, uint32_t site_index, uint64_t ticks,
                   uint8_t*& record) {
  ThreadState& thread = t_thread;
  // Threads beyond the slots have no stream.
  if (thread.slot == nullptr) return kRingFull;
  const LightSite& site = probe.light[site_index];
  // Longer than needed where texts are short: only compiled code looks at their sizes first.
  record = ring::Reserve(thread.slot->stream, site.max_bytes);
  if (record == nullptr) return kRingFull;
  auto* const header = reinterpret_cast<LightHeader*>(record);
  header->size_bytes = site.max_bytes;
  header->probe_id = probe.probe_id;
  header->ticks = ticks;
  header->site_index = site_index;
  header->thread_id = thread.thread_id;
  const uint32_t index = thread.trace_index.load(std::memory_order_relaxed) & 1;
  CopyWords(record + sizeof(LightHeader), &thread.traces[index], sizeof(TraceContextRecord) / 8);
  uint8_t* text = record + site.fixed_bytes;
  for (uint32_t i = 0; i < site.field_count; ++i) {
    const LightField& field = site.fields[i];
    auto* const value = reinterpret_cast<LightValue*>(record + field.offset);
    value->code = static_cast<uint32_t>(WriteField(probe.unit, field, *value, text));
    text += (value->text_bytes + 7) & ~7u;
  }
  return kCaptured;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
