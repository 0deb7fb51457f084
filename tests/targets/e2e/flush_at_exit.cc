// Preloaded before the agent, or linked, where a test needs every snapshot: without it the agent has
// 500 ms at exit, which a busy machine may not give it. Without the agent it does nothing.
#include <stillframe/stillframe.h>

extern "C" int stillframe_flush(uint32_t timeout_ms) __attribute__((weak));

namespace {

struct Flush {
  ~Flush() {
    if (stillframe_flush != nullptr) stillframe_flush(60'000);
  }
} flush;

}  // namespace
