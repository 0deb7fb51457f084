#include "agent/agent_loop.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <new>

#include "agent/dw_stubs/dw_stubs.h"
#include "agent/identity.h"
#include "agent/loader_guard.h"
#include "agent/own_pages.h"
#include "agent/private_descriptors.h"
#include "agent/queries.h"
#include "agent/ring/ring.h"
#include "agent/tls_modules.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kActiveWaitMs = 10;  // how often the ring is looked at while probes are in
// Where so many records come in a turn, the ring's 32 slots might not last until the next: for a
// second it is looked at more often.
constexpr uint32_t kBusyRecords = 8;
constexpr uint32_t kNearlyFull = ring::kSlotCount * 3 / 4;
constexpr uint32_t kBusyWaitMs = 1;
constexpr int64_t kBusyForNs = 1'000'000'000;
constexpr uint32_t kPendingWaitMs = 30;   // a library that is waited for is seen within 100 ms
constexpr uint32_t kIdleWaitMs = 10'000;  // the link wakes us earlier when it has something
constexpr int64_t kLookAtPolicyNs = 500'000'000;
constexpr int64_t kReportEveryNs = 1'000'000'000;   // counters that changed
constexpr int64_t kKeepSymbolsNs = 10'000'000'000;  // debug information stays open this long
constexpr uint32_t kMaxTurnsWithoutMemory = 20;
constexpr uint32_t kDrainAtOnce = 64;
constexpr int kNicer = 5;
constexpr uint64_t kSliceNs = 100'000;  // the least that Linux takes

double ThreadCpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// sched_attr of sched_setattr(2); the C library does not have it.
struct SchedulingAttributes {
  uint32_t size_bytes = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;  // Linux 6.12: the slice of a normal thread; ignored before
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

// The host's threads go first where processors are short: a smaller share (at nice 5 a third of
// what a thread of the host gets: enough to arm in time), and slices so short that a thread that
// wakes up on our processor does not wait for the end of ours (milliseconds otherwise).
void SetNice(int nice) {
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  SchedulingAttributes attributes;
  attributes.policy = SCHED_OTHER;
  attributes.nice = nice;
  attributes.runtime_ns = kSliceNs;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}
void StepBack() { SetNice(std::min(getpriority(PRIO_PROCESS, 0) + kNicer, 19)); }
// A host that ends waits for us. Needs RLIMIT_NICE or a privilege; without, nothing changes.
void CatchUp() { SetNice(getpriority(PRIO_PROCESS, static_cast<id_t>(getpid()))); }

}  // namespace

void AgentLoop::Run() {
  pthread_setname_np(pthread_self(), "stillframe");
  StepBack();
  if (Status status = SetUp(); !status.ok()) {
    LogError("the agent stays off: " + status.ToString());
    return;
  }
  while (GoesOn()) TurnInMemory();
  Finish();
}

// Memory that is out now may come back: what the turn was about is tried again, or was given up by
// those who know how. Only a lasting want ends the agent.
void AgentLoop::TurnInMemory() {
  try {
    Turn();
    turns_without_memory_ = 0;
  } catch (const std::bad_alloc&) {
    if (++turns_without_memory_ > kMaxTurnsWithoutMemory) throw;
    if (store_ != nullptr) store_->symbolizer().ReleaseMemory();
    link_->Wait(kActiveWaitMs * turns_without_memory_);
  }
}

bool AgentLoop::GoesOn() {
  const std::lock_guard lock(agent_.mutex_);
  return !agent_.shared_.stop;
}

Status AgentLoop::SetUp() {
  clock_.Start();
  policy_.Refresh();
  identity_ = MakeIdentity(options_);
  auto link = options_.server.empty() ? MakeFileLink(options_, identity_)
                                      : MakeServerLink(options_, identity_);
  SF_ASSIGN_OR_RETURN(link_, std::move(link));
  const std::lock_guard lock(agent_.mutex_);
  agent_.shared_.link = link_.get();
  return Status();
}

void AgentLoop::MakeStore() {
  const uint64_t ticks_per_second = clock_.Calibrate();
  {
    const LoaderGuard guard;
    if (Status status = LoadDw(); !status.ok()) {
      LogError("no debug information can be read: " + status.ToString());
    }
    hit::SetTlsModules(FindTlsModules());
  }
  MakeDurable();
  const hit::ProcessLimits limits{
      .ticks_per_second = ticks_per_second,
      .snapshots_per_second = options_.limits.snapshots_per_second,
      .cpu_permille = static_cast<uint32_t>(options_.limits.cpu_percent * 10),
  };
  if (Status status = hit::Initialize(limits); !status.ok()) {
    LogError("setting up the hit path: " + status.ToString());
  }
  std::vector<std::string> debug_path = options_.debug_path;
  if (!options_.debuginfod_urls.empty()) {
    debug_files_ = std::make_unique<debuginfod::DebugFetcher>(debuginfod::FetchOptions{
        .urls = options_.debuginfod_urls, .cache_folder = options_.debuginfod_cache});
    debug_path.push_back(debug_files_->folder());
  }
  store_ = std::make_unique<TracepointStore>(
      StoreOptions{.debug_path = std::move(debug_path),
                   .formatter_files = options_.formatter_files,
                   .redaction = &redaction_,
                   .policy = &policy_,
                   .ticks_per_second = ticks_per_second,
                   .bytes_per_snapshot = options_.limits.bytes_per_snapshot,
                   .cpu_percent = options_.limits.cpu_percent,
                   .debug_files = debug_files_.get(),
                   .durable = durable_.get()});
  collector_ = std::make_unique<Collector>(*store_, outbox_, clock_, identity_, &redaction_,
                                           options_.limits.logs_per_second);
  collector_->SetDurable(durable_.get());
}

void AgentLoop::MakeDurable() {
  if (options_.ring_folder.empty()) return;
  auto writer = durable::Writer::Create(options_.ring_folder,
                                        {durable::kEntriesFormat, identity_, policy_.policy()},
                                        HasPrivateDescriptors());
  if (!writer.ok()) {
    LogError("the ring stays private: " + writer.status().ToString());
    return;
  }
  durable_ = std::move(*writer);
  outbox_.SetObserver(durable_.get());
}

void AgentLoop::MirrorState() {
  if (durable_ == nullptr) return;
  const uint64_t ticks = hit::ReadTicks();
  durable_->Mirror(ticks, clock_.UnixNanos(ticks), clock_.ticks_per_second(),
                   store_->MirrorCounts());
}

void AgentLoop::ApplyDesired() {
  auto desired = link_->TakeDesired();
  if (!desired) return;
  if (store_ == nullptr && desired->tracepoints.empty()) return;
  if (store_ == nullptr) MakeStore();
  store_->SetDesired(*desired);
  last_use_ns_ = MonotonicNanos();
  symbols_open_ = true;
}

void AgentLoop::ApplyPolicy() {
  const int64_t now = MonotonicNanos();
  if (options_.policy_file.empty() || now - policy_ns_ < kLookAtPolicyNs) return;
  policy_ns_ = now;
  if (!policy_.Refresh() || store_ == nullptr) return;
  if (durable_ != nullptr)
    durable_->NoteProcess({durable::kEntriesFormat, identity_, policy_.policy()});
  store_->PolicyChanged();
  last_use_ns_ = now;
  symbols_open_ = true;
}

void AgentLoop::AnswerQueries() {
  for (const model::Query& query : link_->TakeQueries()) {
    if (store_ == nullptr) MakeStore();
    link_->Answer(AnswerQuery(query, store_->symbolizer(), ListLoadedModules()));
    last_use_ns_ = MonotonicNanos();
    symbols_open_ = true;
  }
}

uint32_t AgentLoop::WaitMs() const {
  if (recovery_.busy()) return kActiveWaitMs;
  if (store_ != nullptr && store_->fetches()) return kBusyWaitMs;
  if (store_ != nullptr && MonotonicNanos() < busy_until_ns_) return kBusyWaitMs;
  if (store_ != nullptr && store_->active()) return kActiveWaitMs;
  if (store_ != nullptr && store_->waits_for_module()) return kPendingWaitMs;
  if (!outbox_.empty()) return 100;
  return store_ != nullptr || !options_.policy_file.empty() ? 1'000 : kIdleWaitMs;
}

// A thread that ends the program waits for its record, or the ring was nearly full: no time to step
// back for the others.
void AgentLoop::HurryForWaiters() {
  const bool waiting = hit::IsAnyoneWaiting() || MonotonicNanos() < hurry_until_ns_;
  if (waiting == hurries_) return;
  hurries_ = waiting;
  if (waiting) {
    CatchUp();
  } else {
    StepBack();
  }
}

void AgentLoop::Turn() {
  ApplyPolicy();
  ApplyDesired();
  if (store_ != nullptr) store_->SetSilence(link_->silence());
  AnswerQueries();
  if (store_ != nullptr) {
    HurryForWaiters();
    const uint32_t drained = collector_->Drain(kDrainAtOnce);
    if (drained >= kBusyRecords) busy_until_ns_ = MonotonicNanos() + kBusyForNs;
    if (drained >= kNearlyFull) hurry_until_ns_ = MonotonicNanos() + kBusyForNs;
    if (collector_->TakeSymbolUse()) {
      last_use_ns_ = MonotonicNanos();
      symbols_open_ = true;
    }
    // What ends the program goes first: taking probes out waits for hits, and that hit for us.
    if (!hit::IsAnyoneWaiting()) {
      const uint64_t before = store_->status_version();
      store_->Tick(MonotonicNanos());
      if (store_->status_version() != before) {  // perhaps armed
        last_use_ns_ = MonotonicNanos();
        symbols_open_ = true;
      }
      MirrorState();
      CollectGarbage();
      ReportStatuses();
    }
    if (symbols_open_ && MonotonicNanos() - last_use_ns_ > kKeepSymbolsNs) {
      store_->symbolizer().ReleaseMemory();
      GiveBackOwnPages();
      symbols_open_ = false;
    }
  }
  link_->Send(outbox_);
  // Threads that end the program wait for this.
  if (collector_ != nullptr && outbox_.empty()) hit::SetShipped(collector_->drained());
  recovery_.Step(*link_);
  TellWaiters();
  link_->Wait(WaitMs());
}

// What was taken out may still be in use by hits that began before, and by records in the ring.
void AgentLoop::CollectGarbage() {
  if (!store_->NeedsCollection() || !hit::WaitForQuiescence(1)) return;
  // Records of what was taken out are in the ring by now, and the oldest are taken first: one round
  // as long as the ring takes them all, however fast new ones come.
  static_assert(kDrainAtOnce >= ring::kSlotCount);
  collector_->Drain(kDrainAtOnce);
  store_->FreeRetired();
}

void AgentLoop::DrainUntil(int64_t deadline_ns) {
  while (collector_->Drain(kDrainAtOnce) > 0 && MonotonicNanos() < deadline_ns) {
  }
}

std::vector<model::TracepointReport> AgentLoop::Reports() {
  if (store_ == nullptr) return {};
  std::vector<model::TracepointReport> reports = store_->Reports();
  for (model::TracepointReport& report : reports) {
    report.status.instance = identity_.instance;
    model::Counters& counters = report.status.counters;
    counters.acked += outbox_.acked(report.id);
    counters.in_flight = outbox_.in_flight(report.id);
    for (const auto& [reason, count] : outbox_.dropped(report.id))
      counters.dropped[reason] += count;
    // The ring's share of the second identity: captured, but not decoded yet.
    uint64_t known = counters.acked + counters.in_flight;
    for (const auto& [reason, count] : counters.dropped) known += count;
    if (counters.captured > known) counters.in_flight += counters.captured - known;
  }
  return reports;
}

void AgentLoop::ReportStatuses() {
  const bool urgent = store_->status_version() != reported_version_;
  const int64_t now = MonotonicNanos();
  if (!urgent && now - reported_at_ns_ < kReportEveryNs) return;
  std::vector<model::TracepointReport> reports = Reports();
  uint64_t activity = 0;
  for (const auto& report : reports) {
    activity += report.status.counters.hits + report.status.counters.acked;
  }
  reported_at_ns_ = now;
  if (!urgent && activity == reported_activity_) return;
  identity_.cpu_seconds = ThreadCpuSeconds() + store_->HitSeconds();
  identity_.rss_bytes = store_->MemoryBytes();
  reported_version_ = store_->status_version();
  reported_activity_ = activity;
  link_->Report(std::move(reports), urgent);
}

void AgentLoop::TellWaiters() {
  const bool quiet = outbox_.empty();  // the ring was drained in this turn
  const std::lock_guard lock(agent_.mutex_);
  Agent::Shared& shared = agent_.shared_;
  // Desired sets that were taken have been applied: armed, pending or refused. Those that wait for
  // a debug file are not settled yet.
  const bool fetches = store_ != nullptr && store_->fetches();
  if (!shared.settled && link_->knows_desired() && !fetches) {
    shared.settled = true;
    agent_.changed_.notify_all();
  }
  if (quiet && shared.flush_done != shared.flush_wanted) {
    shared.flush_done = shared.flush_wanted;
    agent_.changed_.notify_all();
  }
}

void AgentLoop::Finish() {
  // For the last report, and for the host to see us finish in time.
  constexpr int64_t kReserveNs = 50'000'000;
  bool at_exit = false;
  int64_t deadline = 0;
  {
    const std::lock_guard lock(agent_.mutex_);
    at_exit = agent_.shared_.at_exit;
    deadline = agent_.shared_.stop_deadline_ns;
  }
  CatchUp();
  if (debug_files_ != nullptr) debug_files_->Stop();
  if (store_ != nullptr) {
    if (!at_exit) {
      store_->TakeAllOut();
      if (hit::WaitForQuiescence(100)) store_->ReleaseUnwinders();
    }
    DrainUntil(deadline - 4 * kReserveNs);
  }
  link_->Send(outbox_);
  while (!outbox_.empty() && MonotonicNanos() < deadline - kReserveNs) {
    link_->Wait(5);
    link_->Send(outbox_);
  }
  // What could not be delivered waits in the files for the next start.
  if (durable_ != nullptr && outbox_.empty()) durable_->Remove();
  if (durable_ == nullptr) outbox_.DropAll("shutdownDeadline");
  const int64_t left_ms = (deadline - MonotonicNanos()) / 1'000'000;
  link_->Close(Reports(), static_cast<uint32_t>(std::clamp<int64_t>(left_ms, 0, 100)));
  const std::lock_guard lock(agent_.mutex_);
  agent_.shared_.link = nullptr;
}

}  // namespace stillframe::agent
