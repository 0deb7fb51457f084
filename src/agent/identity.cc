#include "agent/identity.h"

#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#include "agent/loaded_modules.h"
#include "base/process_maps.h"

namespace stillframe::agent {
namespace {

std::string RandomUuid() {
  unsigned char bytes[16] = {};
  if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes) {
    // Before the entropy pool is ready: time and pid still differ between processes.
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t parts[2] = {static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec,
                               static_cast<uint64_t>(getpid())};
    __builtin_memcpy(bytes, parts, sizeof bytes);
  }
  bytes[6] = (bytes[6] & 0x0f) | 0x40;  // RFC 4122 §4.4: version 4
  bytes[8] = (bytes[8] & 0x3f) | 0x80;  // and variant
  std::string text;
  for (int i = 0; i < 16; ++i) {
    char hex[3];
    snprintf(hex, sizeof hex, "%02x", bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += hex;
  }
  return text;
}

}  // namespace

std::string ProgramName() {
  // The kernel started no loader for the program: it was told to run the loader itself.
  if (getauxval(AT_BASE) == 0) {
    const std::vector<LoadedModule> modules = ListLoadedModules();
    return modules.empty() ? "" : modules.front().FileName();
  }
  char buffer[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", buffer, sizeof buffer);
  if (size <= 0) return "";
  const std::string path(WithoutDeletedMark(std::string_view(buffer, size)));
  return path.substr(path.rfind('/') + 1);
}

model::AgentIdentity MakeIdentity(const Options& options) {
  model::AgentIdentity identity;
  identity.instance = RandomUuid();
  identity.service = options.service;
  identity.version = options.version;
  identity.environment = options.environment;
  identity.labels = options.labels;
  utsname host{};
  if (uname(&host) == 0) identity.host = host.nodename;
  identity.pid = static_cast<uint32_t>(getpid());
  identity.agent_version = kAgentVersion;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  identity.start_unix_nanos = static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  for (const LoadedModule& module : ListLoadedModules()) {
    if (identity.program.empty()) identity.program = module.ShownPath();
    if (module.build_id.empty() || module.is_vdso) continue;
    identity.modules.emplace_back(module.FileName(), module.build_id);
  }
  return identity;
}

std::string ThreadName(uint32_t thread_id) {
  auto text = ReadFile("/proc/self/task/" + std::to_string(thread_id) + "/comm", 64);
  if (!text.ok()) return "";
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

}  // namespace stillframe::agent
