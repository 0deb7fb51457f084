// From the desired set to probes in force, and back to a status for each tracepoint.
//
// Agent thread only. Convergent: SetDesired may be called with any set at any time; what is gone
// is taken out, what is new or changed is (re)armed, the rest is left alone.
#ifndef STILLFRAME_AGENT_TRACEPOINT_STORE_H_
#define STILLFRAME_AGENT_TRACEPOINT_STORE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/caller_plans.h"
#include "agent/durable/writer.h"
#include "agent/entry_stash.h"
#include "agent/loaded_modules.h"
#include "agent/module_probe.h"
#include "agent/policy.h"
#include "agent/site_table.h"
#include "agent/unwind_modules.h"
#include "debuginfod/debug_fetcher.h"
#include "model/agent_info.h"
#include "symbolizer/formatters.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

struct StoreOptions {
  std::vector<std::string> debug_path;
  std::vector<std::string> formatter_files;
  const RedactionPolicy* redaction = nullptr;
  const PolicyFile* policy = nullptr;  // nullptr: everything is allowed
  uint64_t ticks_per_second = 0;
  uint32_t bytes_per_snapshot = 65536;
  double cpu_percent = 0;                           // of one processor, for all hits; 0 = no limit
  debuginfod::DebugFetcher* debug_files = nullptr;  // nullptr: nothing is fetched
  durable::Writer* durable = nullptr;               // what a kill leaves is told what records mean
};

class TracepointStore {
 public:
  explicit TracepointStore(StoreOptions options);
  ~TracepointStore();

  // While the set's kill switch is on, everything is out and BLOCKED.
  void SetDesired(const model::DesiredSet& set);
  // The operator has other rules now: everything is armed anew under them.
  void PolicyChanged();
  // The server has not been heard of for too long, and why that ends everything; nullopt: it has,
  // and what it wants goes on.
  void SetSilence(std::optional<std::string> why);
  // Whether the operator lets what a frame holds be shown.
  bool MayShow(const model::Frame& frame) const;
  // Looks at loaded modules (retrying what is PENDING), expiry and hit limits. Cheap when nothing
  // changed. `now_ns` is CLOCK_MONOTONIC.
  void Tick(int64_t now_ns);
  // Takes every probe out for good; the tracepoints stay, for their last reports.
  void TakeAllOut();
  // After TakeAllOut, once no thread is in our code any more: its unwinders need not know of us.
  void ReleaseUnwinders();

  // The live or retired probe that a record names; nullptr when it was freed.
  const ModuleProbe* FindProbe(uint64_t probe_id) const;
  // A snapshot of the tracepoint was made: counts it against the tracepoint's own hit limit, which
  // spans modules. False = over the limit, throw it away (counted as dropped).
  bool AdmitSnapshot(const std::string& tracepoint_id);

  // One per desired tracepoint, counters included; acked is what a COUNTER counted, what became
  // of records only the outbox knows.
  std::vector<model::TracepointReport> Reports() const;
  // Changes whenever a state or reason does.
  uint64_t status_version() const { return status_version_; }
  // Whether anything is armed or waiting for the ring to drain.
  bool active() const;
  // Whether a tracepoint's file may come with a library that is not loaded yet.
  bool waits_for_module() const;
  // Whether a debug file is being fetched, for which Tick wants to be called often.
  bool fetches() const;
  // Frees what is retired, if no hit is running. The ring must have been drained since the probes
  // were taken out: the caller drains after `quiescent` turned true and then calls Free.
  bool NeedsCollection() const;
  void FreeRetired();

  CallerPlans& callers() { return callers_; }
  const std::vector<LoadedModule>& modules() const { return modules_; }
  // Changes whenever modules() does.
  uint64_t modules_version() const { return modules_version_; }
  // What the process pays: time spent in hits, of tracepoints that are gone as well, and the memory
  // of the unwind tables and of the ring's slots in use.
  double HitSeconds() const;
  uint64_t MemoryBytes() const;
  Symbolizer& symbolizer() { return *symbolizer_; }
  // For StoreOptions::durable, each turn: what hits of every probe counted as.
  std::vector<ring::RingMirror::Counts> MirrorCounts() const;

 private:
  struct Active {
    model::DesiredTracepoint desired;
    std::vector<std::unique_ptr<ModuleProbe>> probes;
    std::unique_ptr<EntryStash> stash;  // nullptr: no entry values are wanted
    model::State state = model::State::kReceived;
    std::string reason, message;
    std::vector<model::SiteStatus> sites;         // of the last arming, also when it is over
    hit::CounterSums retired_sums{};              // of probes freed already
    std::map<uint64_t, uint64_t> retired_throws;  // by fingerprint
    uint64_t retired_counted = 0;                 // captures among them that leave no record
    std::unique_ptr<hit::DistributionSums> retired_distribution;  // of a DISTRIBUTION; 6 KB
    uint64_t captured_before = 0;                                 // captures of earlier revisions
    uint64_t admitted = 0;         // snapshots of this revision let through
    uint64_t over_limit = 0;       // and thrown away
    uint64_t fast_ticks_seen = 0;  // at the last look at the budget
    uint64_t stash_ticks_seen = 0;
    bool out_of_text = false;     // while THROTTLED: hits cost too much even when nothing is done
    int64_t paused_until_ns = 0;  // then
    uint64_t stopped_seen = 0;    // hits that the budget stopped, at the last look
    int64_t stopped_ns = 0;       // when there were more of them last
    int64_t pause_ns = 0;         // the last one; each is longer than the one before
    int64_t expires_ns = 0;       // CLOCK_MONOTONIC; 0 = never
    int64_t begun_ns = 0;         // this revision; of a dry run the rates are since then
    hit::CounterSums begun_sums{};
    uint64_t last_probe_id = 0;   // for who finds the ring after the process's death
    uint64_t granted = 0;         // of the fleet's hits, when they are leased
    uint64_t limited_before = 0;  // hits that were rate limited when the last of them was taken
    bool wants_more = false;      // hits were declined since, for want of more
    uint64_t modules_seen = 0;    // the version of the list of modules that it was armed over
  };

  // Of a tracepoint in one module.
  struct ModulePlan {
    const LoadedModule* module = nullptr;
    ProbePlan plan;
    std::vector<hit::MeasureSite> measure;  // of a DISTRIBUTION, by site
    std::vector<ReturnSite> returns;        // when it is meant where a function is left
    std::vector<LinkAddress> passed_over;   // sites of the line that begin no execution of it
  };
  using Plans = std::vector<ModulePlan>;
  using CallersWanted = std::vector<CallerPlans::WantedEntry>;
  // To an instruction near one that allows no jump.
  using Step = std::optional<LinkAddress> (*)(SymbolModule& module, LinkAddress site);

  Status Prepare();  // installer, unwind tables; once, at the first tracepoint
  void MeasureHits();
  void RefreshModules();
  void HookUnwinders();
  void ForgetUnloaded(const std::vector<LoadedModule>& now);
  // Our patches went with the old copy of a module that is in the list as before.
  bool WasReloaded(const LoadedModule& module) const;
  // Arming (tracepoint_arming.cc).
  void Arm(Active& active);
  void CompileAndArm(Active& active);
  Status CompileEverywhere(const Active& active, Plans& plans);
  // Of the modules that were listed first after that version of the list.
  Status CompileEverywhere(const Active& active, bool name_near_files, Plans& plans,
                           uint64_t after = 0);
  static Result<ModulePlan> CompileIn(const model::TracepointSpec& spec, const PlanRequest& request,
                                      SymbolModule& opened, const LoadedModule& module);
  // The plans of a SPAN's other end.
  Status CompileEnds(const Active& active, const Plans& begins, Plans& ends);
  std::vector<std::string> ThrownTypes(const std::string& type);
  // Debug files (tracepoint_debug_files.cc). After a failure to compile that a debug file may mend:
  // asks for it. The status says what is waited for (waits_for_file_), why it was not to be had, or
  // the same as before.
  Status WantDebugFile(const model::TracepointSpec& spec, const Status& status);
  bool StepDebugFiles(int64_t now_ns);  // true: a tracepoint may have what it waits for
  // Returns which of them want entry values.
  CallersWanted PrepareCallers(const model::TracepointSpec& spec, const Plans& plans);
  Status AddThrown(const model::TracepointSpec& spec, const model::LogTemplate& log,
                   ModulePlan& thrown);
  void PrepareThrowers();
  void NoteProbe(const model::DesiredTracepoint& tracepoint, const ModuleProbe& probe);
  // Entries that the plans want; sites that cannot do without are taken out of the plans where
  // they cannot be had. An error when there are no others (tracepoint_stash.cc).
  Status ArmStash(Active& active, Plans& plans, Plans& ends, const CallersWanted& callers);
  void AddCallers(uint32_t local_frames, const CallersWanted& callers,
                  std::vector<EntryStash::Function>& functions);
  static Status DropUnstashed(const Active& active, ModulePlan& plan);
  void CheckStashBudget(double share);
  static Status Fine(const Active& active);  // OK, with what the user should know
  const ModuleProbe& ArmIn(Active& active, ModulePlan plan, const SpanRole& span);
  // Sites that no jump fits are tried one or a few instructions away; if none fits there either,
  // the sites that were passed over are taken.
  void ArmNear(Active& active, ModulePlan plan, const SpanRole& span, Step step);
  void ArmSpan(Active& active, Plans begins, Plans ends);
  void ConcludeArming(Active& active);
  // The installer took every trap out: what has no other site is in error.
  void DropTraps(const Status& why);
  void TakeOut(Active& active);
  void UpdateGuard();
  void SetState(Active& active, model::State state, const Status& why);
  // Limits in the course of time (tracepoint_limits.cc).
  // `begins`: it was not desired before.
  void Accept(Active& active, const model::DesiredTracepoint& tracepoint, bool begins);
  void Begin(Active& active, const model::DesiredTracepoint& tracepoint);
  void Block(Active& active);
  std::optional<std::string> Stop() const;  // the server's or the operator's, or for want of one
  void StopOrArmAll();
  Status CheckPolicy(const model::TracepointSpec& spec, const Plans& plans) const;
  void TickOne(Active& active, int64_t now_ns, bool files_changed);
  bool IsInNewModules(const Active& active);
  void TickArmed(Active& active, int64_t now_ns);
  void TickThrottled(Active& active, int64_t now_ns);
  bool IsOver(const Active& active) const;
  static bool LostItsSignals(const Active& active);
  bool WasStoppedByBudget(Active& active, int64_t now_ns);
  void SetGrant(Active& active, uint64_t granted);
  // Captures that a tracepoint may make in this revision, and those it made.
  static uint64_t Allowed(const Active& active);
  model::Projection Project(const Active& active, const hit::CounterSums& sums) const;
  uint64_t Used(const Active& active) const;
  // Counts and costs (tracepoint_counts.cc).
  void CheckBudget();
  void Pause(Active& active, double percent);
  void Resume(Active& active);
  // Live, retired and freed probes of the tracepoint together.
  hit::CounterSums Sums(const Active& active) const;
  std::vector<model::ThrowCount> Throws(const Active& active) const;
  hit::DistributionSums Distribution(const Active& active) const;
  // Captures that leave no record (COUNTER): the report that tells them delivers them.
  uint64_t Counted(const Active& active) const;

  StoreOptions options_;
  const Formatters formatters_;
  std::unique_ptr<Symbolizer> symbolizer_;
  CallerPlans callers_;
  UnwindModules unwind_;
  std::unique_ptr<probe::ProbeInstaller> installer_;
  std::unique_ptr<SiteTable> sites_;
  bool waits_for_file_ = false;  // the tracepoint that was compiled last
  Status installer_status_;
  bool prepared_ = false;

  std::vector<LoadedModule> modules_;
  uint64_t modules_version_ = 0;
  uint64_t module_generation_ = 0;
  int64_t budget_checked_ns_ = 0;
  int64_t looked_at_ns_ = 0;
  int64_t slots_freed_ns_ = 0;
  std::optional<std::string> stop_;     // the kill switch is on, and why
  std::optional<std::string> silence_;  // the server is not there, and nothing goes on without it
  std::map<std::string, Active> active_;
  std::map<std::string, Active> gone_;  // removed; their counts, in case they come back
  std::vector<std::unique_ptr<ModuleProbe>> retired_;
  std::vector<std::unique_ptr<EntryStash>> retired_stashes_;
  std::map<uint64_t, const ModuleProbe*> by_id_;
  uint64_t next_probe_id_ = 1;
  uint32_t next_span_id_ = 1;
  uint64_t status_version_ = 0;
  uint64_t gone_ticks_ = 0;  // in hits of tracepoints that were removed
  bool guarded_ = false;     // fast condition reads are on
  bool unhooked_ = false;    // unwinders stop at trampolines: said once
  bool guard_lost_ = false;  // the program took the handlers' place: said once
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_TRACEPOINT_STORE_H_
