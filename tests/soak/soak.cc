// Arms and disarms probes with the agent's own installer while threads run the code, signals fly,
// libraries come and go and children are forked. soak [SECONDS] [PLUGIN]; 0 = until 10^7 cycles.
//
// Ends with 0 when nothing crashed, every result of the code was right, the text is as in the file,
// and the accounting holds:
//  - of a probe that was in for the whole run, hits = executions as the callers counted them;
//  - captured records = records taken from the ring.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/loaded_modules.h"
#include "agent/loader_guard.h"
#include "agent/probe/installer.h"
#include "agent/ring/ring.h"
#include "agent/site_table.h"
#include "base/process_maps.h"

namespace stillframe::agent {
namespace {

using Function = long (*)(long);
struct TableEntry {
  Function function;
  uint64_t site;
};

extern "C" const TableEntry soak_table[];
extern "C" const TableEntry soak_table_end[];
extern "C" long soak_steady(long value);

constexpr int kThreads = 8;
constexpr uint64_t kWantedCycles = 10'000'000;
constexpr size_t kArmedAtOnce = 48;
constexpr uint64_t kTicksPerSecond = 2'000'000'000;

using Clock = std::chrono::steady_clock;

std::atomic<bool> g_stop{false};
std::atomic<uint64_t> g_wrong{0};
std::atomic<uint64_t> g_steady_calls{0};  // in this process
std::atomic<uint64_t> g_signals{0};
std::atomic<uint64_t> g_children{0};
std::map<uint64_t, uint8_t> g_first_bytes;  // of every site, as in the file

// The five-byte instructions that straddle words, with two bytes at least in the first: there is
// often a better way than a guard, but this program is about the guard as well.
bool MustBeGuarded(const TableEntry& entry) {
  constexpr uint8_t kMoveImmediate = 0xB8;
  const uint64_t offset = entry.site % 8;
  return g_first_bytes.at(entry.site) == kMoveImmediate && offset >= 4 && offset <= 6;
}

std::vector<TableEntry> Table() { return {soak_table, soak_table_end}; }

// What the functions return before any probe is in, for the arguments that are used.
constexpr long kArguments = 4;
struct Expected {
  TableEntry entry;
  long results[kArguments];
};
std::vector<Expected> g_expected;

void FindExpected() {
  for (const TableEntry& entry : Table()) {
    Expected expected{entry, {}};
    for (long i = 0; i < kArguments; ++i) expected.results[i] = entry.function(i * 1000 + 7);
    g_expected.push_back(expected);
    g_first_bytes[entry.site] = *reinterpret_cast<const uint8_t*>(entry.site);
  }
}

// One pass over all functions; the number of wrong results.
uint64_t RunAll(long argument) {
  uint64_t wrong = 0;
  for (const Expected& expected : g_expected) {
    wrong += expected.entry.function(argument * 1000 + 7) != expected.results[argument];
  }
  return wrong;
}

void CallSteady(int times) {
  for (int i = 0; i < times; ++i) g_wrong += soak_steady(i) != i + 0x55;
  g_steady_calls += static_cast<uint64_t>(times);
}

void OnSignal(int) {
  const int saved = errno;
  g_wrong += RunAll(static_cast<long>(g_signals++ % kArguments));
  CallSteady(1);
  errno = saved;
}

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// At a lower priority: where processors are few, the one that arms and disarms gets its turn.
void Work() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
  for (long i = 0; !g_stop; ++i) {
    g_wrong += RunAll(i % kArguments);
    CallSteady(10);
  }
}

void SendSignals(const std::vector<pthread_t>& workers) {
  for (size_t i = 0; !g_stop; ++i) {
    pthread_kill(workers[i % workers.size()], SIGUSR1);
    usleep(500);
  }
}

// Children have the parent's probes in their text; their hits return at once.
void ForkChildren() {
  while (!g_stop) {
    const pid_t child = fork();
    if (child == 0) _exit(RunAll(1) == 0 ? 0 : 1);
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) == child) {
      g_wrong += status != 0;
      ++g_children;
    }
    usleep(5000);
  }
}

// ---- probes ----

// Three kinds: a condition that is false, a plain count, and rate-limited captures.
struct Probe {
  explicit Probe(uint64_t id, const std::vector<Insn>& condition, hit::Action action,
                 uint64_t captures_per_second) {
    unit.code = condition;
    unit.frames.push_back(FramePlan{});
    unit.virtual_frames.push_back(VirtualFrame{});
    unit.frames[0].virtual_count = 1;
    sites[0].condition = {0, static_cast<uint32_t>(condition.size())};
    runtime.probe_id = id;
    runtime.unit.code = unit.code.data();
    runtime.unit.virtual_frames = unit.virtual_frames.data();
    runtime.unit.frames = unit.frames.data();
    runtime.sites = sites;
    runtime.action = action;
    if (captures_per_second != 0) runtime.ticks_per_permit = kTicksPerSecond / captures_per_second;
  }
  PlanUnit unit;
  SitePlan sites[1];
  hit::ProbeRuntime runtime;
};

struct Tally {
  uint64_t cycles = 0;
  uint64_t batches = 0;
  uint64_t failed = 0;
  uint64_t plugin_loads = 0;
  uint64_t taken = 0;  // records from the ring
  std::map<std::string, uint64_t> methods;
  std::map<std::string, uint64_t> refusals;
};

void Drain(Tally& tally) {
  ring::Slot slot;
  while (ring::Take(slot)) {
    ++tally.taken;
    ring::Release(slot);
  }
}

class Toggler {
 public:
  Toggler(probe::Installer& installer, SiteTable& table, const LoadedModule& program,
          std::deque<Probe>& probes)
      : installer_(installer), table_(table), program_(program), probes_(probes) {}

  void Run(Clock::time_point deadline, bool until_wanted, const char* plugin) {
    for (uint64_t i = 0;; ++i) {
      const bool over = until_wanted ? tally_.cycles >= kWantedCycles : Clock::now() >= deadline;
      if (over) break;
      Arm(i);
      if (armed_.size() > kArmedAtOnce) DisarmOldest();
      if (i % 8 == 7) Batch(i);
      if (i % 256 == 255) CollectGarbage();
      if (plugin != nullptr && i % 5000 == 4999) UsePlugin(plugin, i);
    }
    while (!armed_.empty()) DisarmOldest();
  }

  void CollectGarbage() {
    Drain(tally_);
    if (hit::WaitForQuiescence(100)) table_.FreeRetired();
  }
  Tally& tally() { return tally_; }

  Result<probe::Method> Add(RuntimeAddress address, const LoadedModule& module, Probe& probe) {
    const SiteTable::Addition addition{address, {&probe.runtime, 0}};
    return table_.AddAll({&addition, 1}, module, /*allow_trap=*/false).front();
  }
  void Remove(RuntimeAddress address, const LoadedModule& module, const hit::ProbeRuntime* probe) {
    RemoveAll({&address, 1}, module, probe);
  }
  void RemoveAll(std::span<const RuntimeAddress> addresses, const LoadedModule& module,
                 const hit::ProbeRuntime* probe) {
    for (const Status& status : table_.RemoveAll(addresses, module, probe)) {
      if (++tally_.failed < 5) std::printf("disarming: %s\n", status.ToString().c_str());
    }
  }

 private:
  struct Armed {
    uint64_t address;
    const hit::ProbeRuntime* probe;
  };

  void Arm(uint64_t i) {
    // A step that is no divisor of the number of sites, so that neighbours in time are not in
    // space.
    const TableEntry& entry = g_expected[i * 37 % g_expected.size()].entry;
    Probe& probe = probes_[i % probes_.size()];
    installer_.Only(MustBeGuarded(entry) ? probe::Method::kGuarded : probe::Method::kNone);
    const auto method = Add(RuntimeAddress(entry.site), program_, probe);
    installer_.Only(probe::Method::kNone);
    if (Count(method)) armed_.push_back({entry.site, &probe.runtime});
  }

  // Whether the site is armed.
  bool Count(const Result<probe::Method>& method) {
    if (method.ok()) {
      ++tally_.methods[probe::MethodName(*method)];
      return true;
    }
    ++tally_.refusals[method.status().message()];
    if (method.status().code() != Code::kUnsafeSite && ++tally_.failed < 5) {
      std::printf("arming: %s\n", method.status().ToString().c_str());
    }
    return false;
  }

  void DisarmOldest() {
    const Armed oldest = armed_.front();
    armed_.pop_front();
    Remove(RuntimeAddress(oldest.address), program_, oldest.probe);
    ++tally_.cycles;
  }

  // Everything that is not armed goes in and out at once, as when a whole file is probed: by turns
  // as the planner likes it, and those that must be guarded so.
  void Batch(uint64_t i) {
    const bool guarded = i / 8 % 2 == 0;
    Probe& probe = probes_[i % probes_.size()];
    std::vector<SiteTable::Addition> additions;
    for (const Expected& expected : g_expected) {
      const uint64_t site = expected.entry.site;
      const bool is_armed = std::any_of(armed_.begin(), armed_.end(),
                                        [&](const Armed& armed) { return armed.address == site; });
      if (is_armed || (guarded && !MustBeGuarded(expected.entry))) continue;
      additions.push_back({RuntimeAddress(site), {&probe.runtime, 0}});
    }
    installer_.Only(guarded ? probe::Method::kGuarded : probe::Method::kNone);
    const auto added = table_.AddAll(additions, program_, /*allow_trap=*/false);
    installer_.Only(probe::Method::kNone);
    std::vector<RuntimeAddress> in;
    for (size_t k = 0; k < added.size(); ++k) {
      if (Count(added[k])) in.push_back(additions[k].address);
    }
    RemoveAll(in, program_, &probe.runtime);
    tally_.cycles += in.size();
    ++tally_.batches;
  }

  // Loads the library, probes it, and lets it go: by turns with the probe taken out before, and
  // with the probe still in, as when a host unloads what the agent has not looked at yet.
  void UsePlugin(const char* path, uint64_t i) {
    void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      ++tally_.failed;
      return;
    }
    ++tally_.plugin_loads;
    const auto function = reinterpret_cast<Function>(dlsym(handle, "SoakPlugin"));
    const std::vector<LoadedModule> modules = ListLoadedModules();
    const RuntimeAddress address(reinterpret_cast<uint64_t>(function));
    const LoadedModule* const module = FindModule(modules, address);
    Probe& probe = probes_[i % probes_.size()];
    const auto method = Add(address, *module, probe);
    g_wrong += function(4) != 7;
    if (method.ok() && plugin_turn_++ % 2 == 0) Remove(address, *module, &probe.runtime);
    dlclose(handle);
    table_.Forget(module->start, module->end);
  }

  probe::Installer& installer_;
  SiteTable& table_;
  const LoadedModule& program_;
  std::deque<Probe>& probes_;
  std::deque<Armed> armed_;
  uint64_t plugin_turn_ = 0;
  Tally tally_;
};

// ---- the end ----

// Bytes of the program's executable segments that differ from the file.
long TextDifferences(const LoadedModule& program) {
  auto file = ReadFile("/proc/self/exe", 256u << 20);
  if (!file.ok() || file->size() < sizeof(Elf64_Ehdr)) return -1;
  Elf64_Ehdr header;
  std::memcpy(&header, file->data(), sizeof header);
  long different = 0;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, file->data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
    const auto* live = reinterpret_cast<const char*>(program.bias.value + segment.p_vaddr);
    for (uint64_t k = 0; k < segment.p_filesz; ++k) {
      different += live[k] != (*file)[segment.p_offset + k];
    }
  }
  return different;
}

int Report(const Tally& tally, double seconds, double cpu_seconds, long different,
           const hit::CounterSums& steady, const std::deque<Probe>& probes) {
  uint64_t captured = 0, hits = 0;
  for (const Probe& probe : probes) {
    const hit::CounterSums sums = hit::SumCounters(probe.runtime);
    hits += sums.count[hit::kHits];
    if (probe.runtime.action == hit::Action::kCapture) captured += sums.count[hit::kCaptured];
  }
  const auto cycles = static_cast<double>(tally.cycles);
  std::printf(
      "%.1f s: %lu cycles of arming and disarming (%lu batches), %.0f a second, %.1f us of "
      "processor each\n",
      seconds, tally.cycles, tally.batches, cycles / seconds, cpu_seconds * 1e6 / cycles);
  for (const auto& [method, count] : tally.methods) {
    std::printf("  %-14s %lu\n", method.c_str(), count);
  }
  for (const auto& [why, count] : tally.refusals) {
    std::printf("  refused        %lu: %s\n", count, why.c_str());
  }
  std::printf("%lu hits, %lu captured, %lu records taken\n", hits, captured, tally.taken);
  std::printf("steady probe: %lu hits, %lu executions\n", steady.count[hit::kHits],
              g_steady_calls.load());
  std::printf("%lu signals, %lu children, %lu loads of a library\n", g_signals.load(),
              g_children.load(), tally.plugin_loads);
  std::printf("wrong results %lu, failed steps %lu, bytes of text that differ %ld\n",
              g_wrong.load(), tally.failed, different);
  const bool right = g_wrong == 0 && tally.failed == 0 && different == 0 && tally.cycles > 0 &&
                     hits > 0 && captured > 0 && captured == tally.taken &&
                     steady.count[hit::kHits] == g_steady_calls.load();
  std::printf(right ? "ok\n" : "FAILED\n");
  return right ? 0 : 1;
}

int Soak(double seconds, const char* plugin) {
  FindExpected();
  const hit::ProcessLimits limits{
      .ticks_per_second = kTicksPerSecond, .snapshots_per_second = 0, .cpu_permille = 0};
  if (Status status = hit::Initialize(limits); !status.ok()) {
    std::printf("%s\n", status.ToString().c_str());
    return 1;
  }
  pthread_atfork(&LoaderGuard::Lock, &LoaderGuard::Unlock, [] {
    LoaderGuard::Unlock();
    hit::DisableInChild();
  });
  auto writer = probe::TextWriter::Create(probe::MakeLinuxTextSystem());
  if (!writer.ok()) {
    std::printf("%s\n", writer.status().ToString().c_str());
    return 1;
  }
  probe::Installer installer(reinterpret_cast<probe::HitFunction>(&hit::stillframe_hit),
                             std::move(*writer));
  const LoadedModule program = ListLoadedModules().front();
  SiteTable table(installer);
  std::deque<Probe> probes;
  const std::vector<Insn> never = {MakeInsn(Op::kRegister, 0, 5), MakeInsn(Op::kConst, -7),
                                   MakeInsn(Op::kEq), MakeInsn(Op::kReturn)};
  probes.emplace_back(1, never, hit::Action::kCapture, 0);
  probes.emplace_back(2, std::vector<Insn>(), hit::Action::kCount, 0);
  probes.emplace_back(3, std::vector<Insn>(), hit::Action::kCapture, 200);
  Probe steady(4, never, hit::Action::kCapture, 0);
  const RuntimeAddress steady_site(reinterpret_cast<uint64_t>(&soak_steady));
  Toggler toggler(installer, table, program, probes);
  if (!toggler.Add(steady_site, program, steady).ok()) return 1;

  struct sigaction action {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  std::vector<std::thread> threads;
  std::vector<pthread_t> workers;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back(&Work);
    workers.push_back(threads.back().native_handle());
  }
  std::thread sender([&] { SendSignals(workers); });
  std::thread forker(&ForkChildren);

  const auto start = Clock::now();
  toggler.Run(start + std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6)), seconds == 0,
              plugin);
  const double cpu = ThreadSeconds();
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  g_stop = true;
  sender.join();
  for (auto& thread : threads) thread.join();
  forker.join();
  // After the last thread, so that every execution was counted.
  toggler.Remove(steady_site, program, &steady.runtime);
  toggler.CollectGarbage();
  return Report(toggler.tally(), took, cpu, TextDifferences(program),
                hit::SumCounters(steady.runtime), probes);
}

}  // namespace
}  // namespace stillframe::agent

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  return stillframe::agent::Soak(argc > 1 ? std::atof(argv[1]) : 60, argc > 2 ? argv[2] : nullptr);
}
