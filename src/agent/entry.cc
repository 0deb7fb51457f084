// What the outside sees of the library: the constructor that reads the environment, and the C API.
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "agent/agent.h"
#include "agent/hit/hit.h"
#include "agent/identity.h"
#include "agent/loader_guard.h"
#include "agent/options.h"
#include "agent/scope_plan.h"
#include "base/log.h"
#include "stillframe/stillframe.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kExitDeadlineMs = 500;

// Never destroyed: see agent.h. Written once under g_start_mutex, cleared in a forked child.
std::atomic<Agent*> g_agent{nullptr};  // partner: every API function
std::atomic<bool> g_in_child{false};   // partner: OnForkChild
std::atomic<bool> g_stopped{false};    // partner: stillframe_stop
std::atomic<pid_t> g_pid{0};           // of the process that the agent belongs to
pthread_mutex_t g_start_mutex = PTHREAD_MUTEX_INITIALIZER;

// The child has this thread only: no agent thread, and locks in unknown states. It forgets the
// agent, and its probes (still in its text) return at once. It never reports as the parent.
void OnForkChild() {
  LoaderGuard::Unlock();
  hit::DisableInChild();
  g_in_child.store(true, std::memory_order_relaxed);
  g_agent.store(nullptr, std::memory_order_relaxed);
}

// The agent, or nullptr when there is none in this process. A child that was made without the fork
// handlers (clone(2) by itself) has a copy of the pointer, and mutexes in unknown states behind it.
Agent* RunningAgent() {
  Agent* agent = g_agent.load(std::memory_order_acquire);
  return agent != nullptr && getpid() == g_pid.load(std::memory_order_relaxed) ? agent : nullptr;
}

// Runs among the host's exit handlers. quick_exit and _exit skip it, as they skip the host's own.
void OnExit() {
  Agent* agent = RunningAgent();
  if (agent != nullptr) agent->Stop(kExitDeadlineMs, /*at_exit=*/true);
}

// Whether the program (the first module that is listed) was started by a dynamic loader. Without
// one, dlopen brings in a second C library of which nothing is set up, and libdw crashes in it.
int HasLoader(dl_phdr_info* program, size_t, void*) {
  for (int i = 0; i < program->dlpi_phnum; ++i) {
    if (program->dlpi_phdr[i].p_type == PT_INTERP) return 1;
  }
  return -1;  // ends the listing
}

// The main thread's, at pthread_exit; exit() and a return from main() do not come here.
void OnMainThreadEnd(void*) {
  Agent* agent = RunningAgent();
  if (agent == nullptr) return;
  g_agent.store(nullptr, std::memory_order_release);
  g_stopped.store(true, std::memory_order_relaxed);
  agent->StopWithMainThread(kExitDeadlineMs);
}

void WatchMainThread() {
  static pthread_key_t key;
  static const bool made = pthread_key_create(&key, &OnMainThreadEnd) == 0;
  if (made && gettid() == getpid()) pthread_setspecific(key, &key);
}

int StartWith(Options options) {
  SetLogLevel(options.log_level);
  if (dl_iterate_phdr(&HasLoader, nullptr) != 1) {
    LogError("the agent stays off: a program linked with -static cannot load libdw");
    return -1;
  }
  auto* agent = new Agent(std::move(options));
  static bool registered = false;
  if (!registered) {
    registered = true;
    pthread_atfork(&LoaderGuard::Lock, &LoaderGuard::Unlock, &OnForkChild);
    atexit(&OnExit);
  }
  g_pid.store(getpid(), std::memory_order_relaxed);
  g_agent.store(agent, std::memory_order_release);
  WatchMainThread();
  if (Status status = agent->Start(); !status.ok()) {
    LogError("the agent stays off: " + status.ToString());
    g_agent.store(nullptr, std::memory_order_release);
    return -1;
  }
  return 0;
}

int StartFromEnvironment(const char* server, const char* service, const char* api_key) {
  const auto environment = [=](const char* name) -> const char* {
    if (server != nullptr && strcmp(name, "STILLFRAME_SERVER") == 0) return server;
    if (service != nullptr && strcmp(name, "STILLFRAME_SERVICE") == 0) return service;
    if (api_key != nullptr && strcmp(name, "STILLFRAME_API_KEY") == 0) return api_key;
    return getenv(name);
  };
  auto options = ReadOptions(environment, ProgramName());
  if (!options.ok()) {
    LogError("the agent stays off: " + options.status().message());
    return -1;
  }
  if (!options->enabled) return -1;
  return StartWith(std::move(*options));
}

int Start(const char* server, const char* service, const char* api_key) {
  if (g_in_child.load(std::memory_order_relaxed)) return -1;
  // A setuid program takes no orders from its caller's environment, and StartFromEnvironment reads
  // it whoever asks.
  if (getauxval(AT_SECURE) != 0) {
    LogError("the agent stays off: this program runs with more rights than its caller");
    return -1;
  }
  if (g_stopped.load(std::memory_order_relaxed)) {
    LogError("the agent was stopped and does not start again in this process");
    return -1;
  }
  pthread_mutex_lock(&g_start_mutex);
  int result = 0;
  try {
    if (g_agent.load(std::memory_order_acquire) == nullptr) {
      result = StartFromEnvironment(server, service, api_key);
    }
  } catch (...) {
    result = -1;  // no memory: the host runs on without us
  }
  pthread_mutex_unlock(&g_start_mutex);
  return result;
}

__attribute__((constructor)) void OnLoad() {
  if (EnabledByEnvironment()) Start(nullptr, nullptr, nullptr);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// Returns whether all digits are valid; `any` is set when a byte is not zero.
bool ReadHex(const char* text, uint8_t* out, size_t bytes, bool& any) {
  for (size_t i = 0; i < bytes; ++i) {
    const int high = HexDigit(text[2 * i]);
    const int low = HexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<uint8_t>(high * 16 + low);
    any = any || out[i] != 0;
  }
  return true;
}

}  // namespace
}  // namespace stillframe::agent

using namespace stillframe;  // NOLINT: C functions below

extern "C" {

const char* stillframe_version(void) { return agent::kAgentVersion; }

int stillframe_start(const char* server, const char* service, const char* api_key) {
  return agent::Start(server, service, api_key);
}

void stillframe_stop(void) {
  if (agent::RunningAgent() == nullptr) return;
  agent::Agent* running = agent::g_agent.exchange(nullptr, std::memory_order_acq_rel);
  if (running != nullptr) agent::g_stopped.store(true, std::memory_order_relaxed);
  if (running != nullptr) running->Stop(agent::kExitDeadlineMs, /*at_exit=*/false);
}

int stillframe_flush(uint32_t timeout_ms) {
  agent::Agent* running = agent::RunningAgent();
  return running == nullptr || running->Flush(timeout_ms) ? 1 : 0;
}

// W3C Trace Context §3.2: version-traceid-parentid-flags, lower case; ids must not be all zero;
// a later version may be longer, but only after another dash.
int stillframe_trace_parse(const char* traceparent, size_t size_bytes, stillframe_trace* out) {
  memset(out, 0, sizeof *out);
  if (traceparent == nullptr || size_bytes < 55) return 0;
  uint8_t version = 0, flags = 0;
  bool any = false, trace_any = false, span_any = false;
  stillframe_trace parsed = {};
  if (traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-' ||
      !agent::ReadHex(traceparent, &version, 1, any) || version == 0xff ||
      (size_bytes > 55 && (version == 0 || traceparent[55] != '-')) ||
      !agent::ReadHex(traceparent + 3, parsed.trace_id, 16, trace_any) || !trace_any ||
      !agent::ReadHex(traceparent + 36, parsed.span_id, 8, span_any) || !span_any ||
      !agent::ReadHex(traceparent + 53, &flags, 1, any)) {
    return 0;
  }
  parsed.valid = 1;
  parsed.flags = flags;
  *out = parsed;
  return 1;
}

static_assert(sizeof(stillframe_trace) == sizeof(TraceContextRecord));

void stillframe_trace_set(const stillframe_trace* context) {
  TraceContextRecord record = {};
  if (context != nullptr) memcpy(&record, context, sizeof record);
  hit::SetThreadTraceContext(record);
}

void stillframe_trace_get(stillframe_trace* out) {
  const TraceContextRecord record = hit::GetThreadTraceContext();
  memcpy(out, &record, sizeof *out);
}

static_assert(sizeof(stillframe_sessions) == sizeof(hit::SessionSet));

int stillframe_baggage_parse(const char* baggage, size_t size_bytes, stillframe_sessions* out) {
  hit::SessionSet sessions = {};
  const uint32_t count =
      baggage == nullptr ? 0 : agent::ParseBaggage({baggage, size_bytes}, sessions);
  memcpy(out, &sessions, sizeof *out);
  return static_cast<int>(count);
}

void stillframe_sessions_set(const stillframe_sessions* sessions) {
  hit::SessionSet set = {};
  if (sessions != nullptr) memcpy(&set, sessions, sizeof set);
  hit::SetThreadSessions(set);
}

void stillframe_sessions_get(stillframe_sessions* out) {
  const hit::SessionSet sessions = hit::GetThreadSessions();
  memcpy(out, &sessions, sizeof *out);
}

}  // extern "C"
