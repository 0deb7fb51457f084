#include <cstdio>

#include "stillframe/stillframe.h"
#include "stillframe/trace.h"

int main() {
  const stillframe::TraceScope scope("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  stillframe_trace trace = {};
  stillframe_trace_get(&trace);
  std::printf("%s %d %02x\n", stillframe_version(), scope.active(), trace.trace_id[0]);
  return scope.active() && trace.trace_id[0] == 0x4b ? 0 : 1;
}
