// One tracepoint in force in one module: its plan, and what hits read of it.
#ifndef STILLFRAME_AGENT_MODULE_PROBE_H_
#define STILLFRAME_AGENT_MODULE_PROBE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/entry_stash.h"
#include "agent/hit/hit.h"
#include "agent/light_plan.h"
#include "agent/loaded_modules.h"
#include "agent/site_table.h"
#include "agent/unit_view.h"
#include "model/log_template.h"
#include "model/tracepoint.h"
#include "plan/plan.h"

namespace stillframe::agent {

// What a probe of a SPAN does.
struct SpanRole {
  uint32_t id = 0;  // the same for both ends, and never reused
  bool ends = false;
  bool any_frame = false;  // it may end in another function than it began in
};

class ModuleProbe {
 public:
  // `tracepoint_id` is kept for the records that name this probe.
  // `measure`: of a DISTRIBUTION, by site; else empty.
  ModuleProbe(std::string tracepoint_id, uint64_t probe_id, ProbePlan plan,
              std::vector<hit::MeasureSite> measure, const SpanRole& span,
              const LoadedModule& module, const model::TracepointSpec& spec,
              uint64_t ticks_per_second);
  ModuleProbe(const ModuleProbe&) = delete;
  ModuleProbe& operator=(const ModuleProbe&) = delete;

  // Arms every site; fills sites(). Some may be refused: armed_sites() tells how many are live.
  void Arm(SiteTable& table);
  // Takes it out everywhere. Running hits may go on until quiescence.
  void Disarm(SiteTable& table);
  // Out of the text for a while, and back. Its counters stay.
  void Pause(SiteTable& table);
  void Resume(SiteTable& table);
  // Gives up the sites that are traps, which the installer took out for the reason `why`. False
  // when there are none.
  bool DropTraps(SiteTable& table, const Status& why);
  // Before it is armed. The stash must outlive the last hit.
  void UseStash(const EntryStash& stash);
  void ForgetSites() { armed_.clear(), paused_.clear(); }  // the module was unloaded

  const std::string& tracepoint_id() const { return tracepoint_id_; }
  uint64_t id() const { return runtime_.probe_id; }
  const ProbePlan& plan() const { return plan_; }
  const LoadedModule& module() const { return module_; }
  hit::ProbeRuntime& runtime() { return runtime_; }
  const hit::ProbeRuntime& runtime() const { return runtime_; }
  const LightPlan& light() const { return light_; }
  // What makes a message of a record; nullopt when the tracepoint is no LOG.
  const std::optional<model::LogTemplate>& log() const { return log_; }
  size_t armed_sites() const { return armed_.size(); }
  const std::vector<model::SiteStatus>& sites() const { return sites_; }
  // The first refusal, when no site could be armed.
  const Status& refusal() const { return refusal_; }

 private:
  void CountOnly();  // a dry run
  void ArmSignals();

  const std::string tracepoint_id_;
  const ProbePlan plan_;
  const std::vector<hit::MeasureSite> measure_;
  const LoadedModule module_;
  std::optional<model::LogTemplate> log_;
  UnitArrays arrays_;
  LightPlan light_;
  bool allow_trap_ = false;
  bool lacks_throws_ = false;
  hit::Scope scope_;
  hit::ProbeRuntime runtime_;
  std::vector<RuntimeAddress> armed_;
  std::vector<SiteTable::Addition> paused_;  // to be armed again
  std::vector<model::SiteStatus> sites_;
  Status refusal_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_MODULE_PROBE_H_
