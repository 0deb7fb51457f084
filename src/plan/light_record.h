// What a hit of a LOG tracepoint leaves in its thread's stream: the values of its expressions and
// nothing else; and what the end of a SPAN leaves, how long it took. Written by hits, or by code
// compiled for the probe; read in the same process by the agent thread, which treats every field as
// hostile, because a wild host store may have hit it.
//
//   LightHeader | TraceContextRecord | LightValue[fields] | texts in their order, padded to 8 each
//   LightHeader (ticks: of its end) | TraceContextRecord | LightValue: the span's ticks
#ifndef STILLFRAME_PLAN_LIGHT_RECORD_H_
#define STILLFRAME_PLAN_LIGHT_RECORD_H_

#include <cstdint>

#include "plan/program.h"
#include "plan/record.h"

namespace stillframe {

inline constexpr uint32_t kLightCommitted = 0x5346524C;  // LightHeader::state of a whole record
inline constexpr uint32_t kMaxLightBytes = 2048;
inline constexpr uint32_t kMaxLightFields = 32;

struct LightHeader {
  uint32_t size_bytes;  // of everything, a multiple of 8
  uint32_t state;       // written last
  uint64_t probe_id;
  uint64_t ticks;  // time stamp counter
  uint32_t site_index;
  uint32_t thread_id;
};
static_assert(sizeof(LightHeader) == 32);

struct LightValue {
  uint64_t value;       // kScalar: in the low bytes; kText: the text's whole size in bytes; kCText:
                        // its address
  uint32_t code;        // Code: kOk, or why there is no value
  uint32_t text_bytes;  // bytes of text that follow; kCText: with its end, if that was reached
};
static_assert(sizeof(LightValue) == 16);

enum class LightKind : uint8_t {
  kScalar,  // the program's value, or load_bytes read at the address that it yields
  kXmm,     // load_bytes (4 or 8) low bytes of XMM register `reg`
  kText,    // the program yields an object that holds a pointer and a size
  kCText,   // the program yields the address of a text that ends with a zero, or where that is
  kTrace,   // the trace id, which every record has
};

// One expression of one site. `offset` is that of its LightValue in the record.
struct LightField {
  LightKind kind = LightKind::kScalar;
  uint8_t load_bytes = 0;  // kScalar, kCText: 0 = nothing is read
  uint8_t reg = 0;
  uint8_t is_reference = 0;  // the program yields the address of a reference: its 8 bytes lead on
  uint32_t offset = 0;
  Program program;
  uint32_t pointer_offset = 0;  // kText: in the object
  uint32_t size_offset = 0;     // kText
  uint32_t text_capacity = 0;   // kText, kCText: a multiple of 8
};

// The record of one site.
struct LightSite {
  const LightField* fields = nullptr;
  uint32_t field_count = 0;
  uint32_t fixed_bytes = sizeof(LightHeader) + sizeof(TraceContextRecord);  // all but the texts
  uint32_t max_bytes = fixed_bytes;                                         // with full texts
  uint32_t span_offset = 0;  // of a span's LightValue; 0 = it is none
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_LIGHT_RECORD_H_
