// What arming and disarming cost the agent thread, and what they do to another thread. Drives the
// installer itself, without the rest of the agent, over code in a private mapping of a file, as
// text of programs is. Prints Markdown; exits with 1 when a probe did not hit as often as it was
// called.
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/probe/installer.h"
#include "base/process_maps.h"

namespace stillframe::probe {
namespace {

using std::string_view_literals::operator""sv;

uint64_t g_hits = 0;  // atomically

uint64_t Hits() { return __atomic_load_n(&g_hits, __ATOMIC_RELAXED); }

__attribute__((target("general-regs-only"))) void CountingHit(hit::SiteRuntime*, void*) {
  __atomic_fetch_add(&g_hits, 1, __ATOMIC_RELAXED);
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "arm_bench: %s\n", what.c_str());
  std::exit(1);
}

double MicrosNow() {
  using std::chrono::duration;
  return duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

// Bursts should not be cut short by others on this machine. Refused without the privilege.
void PinTo(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  const sched_param priority{1};
  sched_setscheduler(0, SCHED_FIFO, &priority);
}

// ---- code to probe ----

// Beginnings of functions as compilers write them, each ended by a return. The site is the first
// instruction; its length is what matters to the method.
constexpr std::string_view kFunctions[] = {
    "\x48\x83\xEC\x08\x89\xF8\x48\x83\xC4\x08\xC3"sv,  // sub rsp, 8; mov eax, edi; add; ret
    "\x89\xF8\x01\xF0\x83\xC0\x07\xC3"sv,              // mov eax, edi; add; add; ret
    "\x53\x89\xFB\x89\xD8\x83\xC0\x01\x5B\xC3"sv,      // push rbx; mov; mov; add; pop; ret
    "\xB8\x07\x00\x00\x00\x01\xF8\x01\xF0\xC3"sv,      // mov eax, 7; add; add; ret
    "\x48\x8D\x44\x37\x07\x83\xC0\x01\x90\xC3"sv,      // lea rax, [rdi+rsi+7]; add; nop; ret
    "\x48\xC7\xC0\x05\x00\x00\x00\x01\xF8\xC3"sv,      // mov rax, 5; add; ret
    "\x31\xC0\x85\xFF\x0F\x9F\xC0\x83\xC0\x02\xC3"sv,  // xor; test; setg al; add; ret
    "\x48\x89\xF8\x48\x01\xF0\x48\x83\xC0\x03\xC3"sv,  // mov rax, rdi; add; add; ret
};
constexpr uint64_t kStride = 96;  // and one byte more for each: every position in a word
constexpr uint64_t kPageBytes = 4096;

class CodeFile {
 public:
  explicit CodeFile(uint64_t functions)
      : size_((functions * (kStride + 1) / kPageBytes + 2) * kPageBytes) {
    const int fd = memfd_create("arm_bench", MFD_CLOEXEC);
    std::vector<char> bytes(size_, '\xCC');
    for (uint64_t i = 0; i < functions; ++i) {
      const std::string_view code = kFunctions[i % std::size(kFunctions)];
      std::memcpy(bytes.data() + Offset(i), code.data(), code.size());
    }
    if (fd < 0 || write(fd, bytes.data(), size_) != static_cast<ssize_t>(size_)) Fail("no memfd");
    void* map = mmap(nullptr, size_, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED) Fail("cannot map executable memory");
    base_ = reinterpret_cast<uint64_t>(map);  // never unmapped: trampolines refer to it
  }
  RuntimeAddress site(uint64_t i) const { return RuntimeAddress(base_ + Offset(i)); }
  ModuleText text() const {
    return {"code file", RuntimeAddress(base_), RuntimeAddress(base_ + size_)};
  }
  int Call(uint64_t i) const { return reinterpret_cast<int (*)(int, int)>(site(i).value)(1, 2); }

 private:
  static uint64_t Offset(uint64_t i) { return 256 + i * (kStride + 1); }
  uint64_t size_;
  uint64_t base_ = 0;
};

std::unique_ptr<Installer> MakeInstaller() {
  auto writer = TextWriter::Create(MakeLinuxTextSystem());
  if (!writer.ok()) Fail(writer.status().ToString());
  return std::make_unique<Installer>(&CountingHit, std::move(*writer));
}

// Of the busy thread, if there is one: whether it runs now.
const std::atomic<bool>* g_other = nullptr;

bool OtherRests() { return g_other != nullptr && !*g_other; }

void WaitForOther() {
  while (OtherRests()) _mm_pause();
}

// Another thread of the process that runs on the other core all the time: without one, barriers and
// shootdowns of address translations cost nothing.
class BusyThread {
 public:
  explicit BusyThread(std::function<void()> step, std::function<void()> rested = {})
      : thread_([this, step = std::move(step), rested = std::move(rested)] {
          PinTo(1);
          running_ = true;
          while (!stop_.load(std::memory_order_relaxed)) {
            awake_ = true;
            const double slice_end = MicrosNow() + kSliceMicros;
            while (!stop_.load(std::memory_order_relaxed) && MicrosNow() < slice_end) step();
            awake_ = false;
            usleep(kRestMicros);
            if (rested) rested();
          }
        }) {
    while (!running_) sched_yield();
    g_other = &awake_;
  }
  ~BusyThread() {
    g_other = nullptr;
    stop_ = true;
    thread_.join();
  }

 private:
  // The kernel stops real-time threads that take more than 95 % of a second.
  static constexpr double kSliceMicros = 200'000;
  static constexpr useconds_t kRestMicros = 20'000;
  std::atomic<bool> running_{false};
  std::atomic<bool> awake_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// ---- arming, warm and cold ----

struct Times {
  std::vector<double> arm, disarm;
};

// The index of a site that only `method` is considered for and that it fits; prepared.
uint64_t FindSite(Installer& installer, const CodeFile& file, Method method, uint64_t functions) {
  installer.Only(method);
  for (uint64_t i = 0; i < functions; ++i) {
    const auto prepared = installer.Prepare(file.site(i), file.text());
    if (prepared.ok() && prepared->method == method) return i;
  }
  Fail(std::string("no site for ") + MethodName(method));
}

Times ToggleWarm(Installer& installer, const CodeFile& file, uint64_t index, int rounds) {
  Times times;
  const RuntimeAddress site = file.site(index);
  for (int round = 0; round <= rounds; ++round) {
    WaitForOther();
    const double start = MicrosNow();
    const Status armed = installer.Arm(site);
    const double between = MicrosNow();
    if (!armed.ok()) Fail(armed.ToString());
    const uint64_t before = Hits();
    (void)file.Call(index);
    if (Hits() != before + 1) Fail("an armed site did not hit");
    const double again = MicrosNow();
    const Status disarmed = installer.Disarm(site);
    const double end = MicrosNow();
    if (!disarmed.ok()) Fail(disarmed.ToString());
    if (round == 0 || OtherRests()) continue;  // the first one copies pages
    times.arm.push_back(between - start);
    times.disarm.push_back(end - again);
  }
  return times;
}

// First arming of a site on a page that nothing has touched: trampoline, island and copied page.
Times Cold(Method method, int rounds) {
  Times times;  // arm = Prepare and Arm; disarm = Arm alone
  auto installer = MakeInstaller();
  installer->Only(method);
  std::vector<std::unique_ptr<CodeFile>> files;  // one for each round
  for (int round = 0; round < rounds; ++round) {
    constexpr uint64_t kCount = 64;
    files.push_back(std::make_unique<CodeFile>(kCount));
    const CodeFile& file = *files.back();
    for (uint64_t i = static_cast<uint64_t>(round) % 8; i < kCount; ++i) {
      WaitForOther();
      const double start = MicrosNow();
      const auto prepared = installer->Prepare(file.site(i), file.text());
      if (!prepared.ok()) continue;
      const double between = MicrosNow();
      const Status armed = installer->Arm(file.site(i));
      const double end = MicrosNow();
      if (!armed.ok()) Fail(armed.ToString());
      if (!OtherRests()) {
        times.arm.push_back(end - start);
        times.disarm.push_back(end - between);
      }
      break;
    }
  }
  return times;
}

size_t MappingCount() {
  const auto maps = ReadProcessMaps();
  return maps.ok() ? maps->size() : 0;
}

constexpr Method kMethods[] = {Method::kExactPun, Method::kAlignedStore, Method::kGuarded};

void PrintTimes(const char* name, const char* other, const std::vector<double>& times,
                const char* target) {
  std::printf("| %s | %s | %.1f | %.1f | %.1f | %s |\n", name, other, Quantile(times, 0.5),
              Quantile(times, 0.1), Quantile(times, 0.9), target);
}

// First of all, while the process has as many mappings as a small service: an arming that has to
// find room reads /proc/self/maps, which takes about 7 us for each 40 of them.
void MeasureCold(bool busy) {
  std::unique_ptr<BusyThread> other;
  if (busy) other = std::make_unique<BusyThread>([] { _mm_pause(); });
  const char* const beside = busy ? "one running" : "none";
  for (const Method method : kMethods) {
    const Times cold = Cold(method, 16);
    const std::string name = MethodName(method);
    PrintTimes(("prepare and arm, cold, " + name).c_str(), beside, cold.arm, "≤ 300");
    PrintTimes(("of which arm, cold, " + name).c_str(), beside, cold.disarm, "");
  }
  std::printf("| mappings of the process by then | %s | %zu | | | |\n", beside, MappingCount());
}

void MeasureArming(bool busy) {
  std::unique_ptr<BusyThread> other;
  if (busy) other = std::make_unique<BusyThread>([] { _mm_pause(); });
  const char* const beside = busy ? "one running" : "none";
  constexpr uint64_t kSites = 64;
  for (const Method method : kMethods) {
    auto installer = MakeInstaller();
    const CodeFile file(kSites);
    const uint64_t index = FindSite(*installer, file, method, kSites);
    const Times warm = ToggleWarm(*installer, file, index, 500);
    const std::string name = MethodName(method);
    const char* const target = method == Method::kGuarded ? "≤ 300" : "≤ 30";
    PrintTimes(("arm, warm, " + name).c_str(), beside, warm.arm, target);
    PrintTimes(("disarm, warm, " + name).c_str(), beside, warm.disarm, "");
  }
}

// ---- a thousand at once ----

void MeasureThousand(bool busy) {
  constexpr uint64_t kSites = 1000;
  constexpr int kRounds = 5;
  std::unique_ptr<BusyThread> other;
  if (busy) other = std::make_unique<BusyThread>([] { _mm_pause(); });
  std::vector<double> arm, disarm;
  uint64_t refused = 0;
  for (int round = 0; round < kRounds; ++round) {
    auto installer = MakeInstaller();
    const CodeFile file(kSites);
    const ModuleText text = file.text();
    std::vector<SiteRequest> requests;
    for (uint64_t i = 0; i < kSites; ++i) requests.push_back({file.site(i), &text});
    std::vector<RuntimeAddress> prepared;
    std::vector<uint64_t> armed;
    const double start = MicrosNow();
    const auto installed = installer->PrepareAll(requests);
    for (uint64_t i = 0; i < kSites; ++i) {
      if (installed[i].ok()) prepared.push_back(file.site(i));
    }
    const std::vector<Status> statuses = installer->ArmAll(prepared);
    arm.push_back((MicrosNow() - start) / 1000);
    for (uint64_t i = 0, at = 0; i < kSites; ++i) {
      if (installed[i].ok() && statuses[at++].ok()) armed.push_back(i);
    }
    refused = kSites - armed.size();
    const uint64_t before = Hits();
    for (const uint64_t i : armed) (void)file.Call(i);
    if (Hits() != before + armed.size()) Fail("some of a thousand probes did not hit");
    const double again = MicrosNow();
    for (const Status& status : installer->DisarmAll(prepared)) {
      if (!status.ok()) Fail("a probe cannot be taken out: " + status.ToString());
    }
    disarm.push_back((MicrosNow() - again) / 1000);
  }
  std::printf(
      "| 1,000 probes of one file, prepare and arm (ms) | %s | %.1f | %.1f | %.1f | ≤ 100; "
      "%lu refused |\n",
      busy ? "one running" : "none", Quantile(arm, 0.5), Quantile(arm, 0), Quantile(arm, 1),
      refused);
  std::printf("| 1,000 probes, disarm (ms) | %s | %.1f | %.1f | %.1f | |\n",
              busy ? "one running" : "none", Quantile(disarm, 0.5), Quantile(disarm, 0),
              Quantile(disarm, 1));
}

// ---- the other thread's pauses ----

constexpr int kBuckets = 12;  // < 1, < 2, < 4 … < 1024, more (µs)

struct Pauses {
  std::string name;
  uint64_t buckets[kBuckets] = {};
  double longest_us = 0;
  uint64_t toggles = 0;
};

double TicksPerMicro() {
  const double start = MicrosNow();
  const uint64_t ticks = __rdtsc();
  while (MicrosNow() - start < 20'000) {
  }
  return static_cast<double>(__rdtsc() - ticks) / (MicrosNow() - start);
}

// A thread that does nothing but look at the clock (and call `index` when it is probed) sees every
// time in which it did not run as a gap between two looks.
Pauses WatchPauses(std::string name, Method method, bool calls_it, double seconds) {
  const double ticks_per_us = TicksPerMicro();
  constexpr uint64_t kSites = 64;
  auto installer = MakeInstaller();
  const CodeFile file(kSites);
  Pauses pauses;
  pauses.name = std::move(name);
  const bool arming = method != Method::kNone;
  const uint64_t index = arming ? FindSite(*installer, file, method, kSites) : 0;
  uint64_t last = 0;
  const double end = MicrosNow() + seconds * 1e6;
  {
    const auto look = [&] {
      // Many looks to a step, so that the step's own overhead is in few of them.
      for (int i = 0; i < 1000; ++i) {
        if (calls_it) (void)file.Call(index);
        const uint64_t now = __rdtsc();
        const double gap = last == 0 ? 0 : static_cast<double>(now - last) / ticks_per_us;
        last = now;
        int bucket = 0;
        while (bucket < kBuckets - 1 && gap >= static_cast<double>(1 << bucket)) ++bucket;
        ++pauses.buckets[bucket];
        pauses.longest_us = std::max(pauses.longest_us, gap);
      }
    };
    const BusyThread watcher(look, [&last] { last = 0; });
    while (MicrosNow() < end) {
      if (arming) {
        if (!installer->Arm(file.site(index)).ok()) Fail("cannot arm");
        if (!installer->Disarm(file.site(index)).ok()) Fail("cannot disarm");
        ++pauses.toggles;
      }
      usleep(1000);  // no more than a thousand a second, so that pauses do not run into each other
    }
  }
  return pauses;
}

void PrintPauses(const std::vector<Pauses>& all) {
  std::printf("\n| gap between two looks at the clock |");
  for (const Pauses& pauses : all) std::printf(" %s |", pauses.name.c_str());
  std::printf("\n| --- |");
  for (size_t i = 0; i < all.size(); ++i) std::printf(" --- |");
  std::printf("\n| arm and disarm pairs |");
  for (const Pauses& pauses : all) std::printf(" %lu |", pauses.toggles);
  for (int bucket = 1; bucket < kBuckets; ++bucket) {
    const int from = 1 << (bucket - 1);
    if (bucket < kBuckets - 1) {
      std::printf("\n| %d–%d µs |", from, 2 * from);
    } else {
      std::printf("\n| ≥ %d µs |", from);
    }
    for (const Pauses& pauses : all) std::printf(" %lu |", pauses.buckets[bucket]);
  }
  std::printf("\n| longest |");
  for (const Pauses& pauses : all) std::printf(" %.1f µs |", pauses.longest_us);
  std::printf("\n");
}

int Main(double seconds) {
  PinTo(0);
  if (const std::string reasons = MakeInstaller()->abilities().reasons; !reasons.empty()) {
    std::printf("Not everything is permitted here: %s\n\n", reasons.c_str());
  }
  std::printf("| engine, µs | other threads | median | 10 %% | 90 %% | target |\n");
  std::printf("| --- | --- | --- | --- | --- | --- |\n");
  for (const bool busy : {false, true}) MeasureCold(busy);
  for (const bool busy : {false, true}) {
    MeasureArming(busy);
    MeasureThousand(busy);
  }
  std::vector<Pauses> all;
  all.push_back(WatchPauses("no arming", Method::kNone, false, seconds));
  all.push_back(WatchPauses("exact pun", Method::kExactPun, false, seconds));
  all.push_back(WatchPauses("aligned store", Method::kAlignedStore, false, seconds));
  all.push_back(WatchPauses("guarded", Method::kGuarded, false, seconds));
  all.push_back(WatchPauses("guarded, running that code", Method::kGuarded, true, seconds));
  PrintPauses(all);
  return 0;
}

}  // namespace
}  // namespace stillframe::probe

int main(int argc, char** argv) {
  return stillframe::probe::Main(argc > 1 ? std::atof(argv[1]) : 2.0);
}
