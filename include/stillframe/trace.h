// Tells the agent which distributed trace the calling thread works for.
//
//   stillframe::TraceScope scope(request.header("traceparent"), request.header("baggage"));
//
// Snapshots taken on this thread while `scope` lives carry its trace and span id, and tracepoints
// of the session that the baggage names (`stillframe=SESSION`) are active. Scopes nest; the end of
// one restores the one before. Works with and without the agent present (it then costs a branch).
// Threads: a scope belongs to the thread that made it.
#ifndef STILLFRAME_TRACE_H_
#define STILLFRAME_TRACE_H_

#include <dlfcn.h>

#include <cstring>
#include <string_view>

#include "stillframe/stillframe.h"

namespace stillframe {

namespace internal {

// The agent's functions. A program that was linked without the agent and runs with it preloaded
// has its weak references resolved to null by the linker already; the loader still knows the names.
struct TraceFunctions {
  decltype(&stillframe_trace_parse) parse = stillframe_trace_parse;
  decltype(&stillframe_trace_set) set = stillframe_trace_set;
  decltype(&stillframe_trace_get) get = stillframe_trace_get;
  // Absent from an agent older than this header: then there are no sessions.
  decltype(&stillframe_baggage_parse) parse_baggage = stillframe_baggage_parse;
  decltype(&stillframe_sessions_set) set_sessions = stillframe_sessions_set;
  decltype(&stillframe_sessions_get) get_sessions = stillframe_sessions_get;

  static const TraceFunctions& Get() {
    static const TraceFunctions functions = Find();
    return functions;
  }
  bool present() const { return parse != nullptr && set != nullptr && get != nullptr; }
  bool has_sessions() const {
    return parse_baggage != nullptr && set_sessions != nullptr && get_sessions != nullptr;
  }

 private:
  static TraceFunctions Find() {
    TraceFunctions found;
    if (found.present() && found.has_sessions()) return found;
    Resolve("stillframe_trace_parse", found.parse);
    Resolve("stillframe_trace_set", found.set);
    Resolve("stillframe_trace_get", found.get);
    Resolve("stillframe_baggage_parse", found.parse_baggage);
    Resolve("stillframe_sessions_set", found.set_sessions);
    Resolve("stillframe_sessions_get", found.get_sessions);
    return found;
  }
  template <typename Function>
  static void Resolve(const char* name, Function& out) {
    out = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  }
};

}  // namespace internal

class TraceScope {
 public:
  // From a W3C `traceparent` header, "00-<32 hex>-<16 hex>-<2 hex>". A malformed or empty one
  // leaves the thread's context as it is.
  explicit TraceScope(std::string_view traceparent) {
    stillframe_trace context;
    if (functions_.present() &&
        functions_.parse(traceparent.data(), traceparent.size(), &context) == 1) {
      Enter(context);
    }
  }
  // The same, and the request's sessions from its W3C `baggage` header: those and no others while
  // the scope lives, whether or not the traceparent is valid.
  TraceScope(std::string_view traceparent, std::string_view baggage) : TraceScope(traceparent) {
    if (!functions_.has_sessions()) return;
    stillframe_sessions sessions;
    functions_.parse_baggage(baggage.data(), baggage.size(), &sessions);
    functions_.get_sessions(&previous_sessions_);
    functions_.set_sessions(&sessions);
    entered_sessions_ = true;
  }
  // From ids as bytes: 16 of the trace, 8 of the span.
  TraceScope(const unsigned char* trace_id, const unsigned char* span_id, bool sampled) {
    stillframe_trace context = {};
    std::memcpy(context.trace_id, trace_id, sizeof context.trace_id);
    std::memcpy(context.span_id, span_id, sizeof context.span_id);
    context.valid = 1;
    context.flags = sampled ? 1 : 0;
    Enter(context);
  }
  // From ids in hexadecimal (32 and 16 digits, either case); malformed ones change nothing.
  TraceScope(std::string_view trace_id_hex, std::string_view span_id_hex, bool sampled) {
    char header[56] = "00-";
    if (trace_id_hex.size() != 32 || span_id_hex.size() != 16) return;
    std::memcpy(header + 3, trace_id_hex.data(), 32);
    header[35] = '-';
    std::memcpy(header + 36, span_id_hex.data(), 16);
    std::memcpy(header + 52, sampled ? "-01" : "-00", 3);
    for (char* c = header; c < header + 55; ++c) {
      if (*c >= 'A' && *c <= 'F') *c = static_cast<char>(*c - 'A' + 'a');
    }
    stillframe_trace context;
    if (functions_.present() && functions_.parse(header, 55, &context) == 1) Enter(context);
  }
  ~TraceScope() {
    if (entered_) functions_.set(&previous_);
    if (entered_sessions_) functions_.set_sessions(&previous_sessions_);
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

  // Whether this scope set a context.
  bool active() const { return entered_; }

 private:
  void Enter(const stillframe_trace& context) {
    if (!functions_.present()) return;
    functions_.get(&previous_);
    functions_.set(&context);
    entered_ = true;
  }

  const internal::TraceFunctions& functions_ = internal::TraceFunctions::Get();
  stillframe_trace previous_ = {};
  stillframe_sessions previous_sessions_ = {};
  bool entered_ = false, entered_sessions_ = false;
};

}  // namespace stillframe

#endif  // STILLFRAME_TRACE_H_
