// Second probes for a tracepoint: at the entries of functions whose arguments are overwritten by
// the time that its line runs and that callers may not tell (hit/entry_stash.h). Agent thread.
#ifndef STILLFRAME_AGENT_ENTRY_STASH_H_
#define STILLFRAME_AGENT_ENTRY_STASH_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/hit/entry_stash.h"
#include "agent/hit/hit.h"
#include "agent/loaded_modules.h"
#include "agent/site_table.h"
#include "plan/plan.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// The functions of a plan whose entry values are wanted, by address, and which of the stash's
// cells: by its conditions, its expressions and, where frames are captured, its variables.
std::map<LinkAddress, uint32_t> WantedEntries(const ProbePlan& plan, bool captures_frames);
// Whether the site wants some before a record is made, which could look for the caller: for its
// condition, or for the value that is measured there. `measure`: by site, or empty.
bool AsksAtOnce(const ProbePlan& plan, const std::vector<hit::MeasureSite>& measure, size_t site);

class EntryStash {
 public:
  EntryStash() = default;
  EntryStash(const EntryStash&) = delete;
  EntryStash& operator=(const EntryStash&) = delete;

  // Probes the functions' entries, all in modules that are loaded. Once; before any of the
  // tracepoint's own sites is armed.
  struct Function {
    const LoadedModule* module;
    SymbolModule* symbols;
    LinkAddress entry;
    uint32_t cells;
    bool is_caller = false;  // not of the tracepoint's own line: the first that is given up
  };
  void Arm(const std::vector<Function>& functions, SiteTable& table);
  // Takes the probes out, after the tracepoint's own sites. Running hits may go on until
  // quiescence.
  void Disarm(SiteTable& table);
  // Out of the text for a while, and back: calls that began meanwhile have no stash.
  void Pause(SiteTable& table) { Disarm(table); }
  void Resume(SiteTable& table);
  // Gives up the callers for good. False when there are none.
  bool GiveUpCallers(SiteTable& table);
  // Gives up for good, because of `why`.
  void GiveUp(SiteTable& table, const std::string& why);
  void ForgetSites(const LoadedModule& module);  // it was unloaded

  // Whether entries of that function can be stashed, or why not.
  Status Covers(RuntimeAddress entry) const;
  bool is_armed() const { return armed_; }
  // The tracepoint cannot do without: it asks at once (AsksAtOnce).
  void SetNeeded() { needed_ = true; }
  bool is_needed() const { return needed_; }
  bool has_given_up() const { return given_up_; }
  // What the user should know: functions that cannot be probed, each with the reason; "" when there
  // are none.
  const std::string& note() const { return note_; }
  const std::vector<hit::StashedFunction>& functions() const { return functions_; }
  // Time that entries took, in time stamp counter ticks.
  uint64_t Ticks() const { return hit::SumCounters(runtime_).ticks; }

 private:
  struct Place {
    LoadedModule module;
    std::vector<LinkAddress> candidates;  // the entry and what may be probed in its place
    Status refusal;                       // OK once it is probed
    RuntimeAddress probed;                // 0: it is not
    bool is_caller = false;
  };
  void Choose(const Function& function, Place& place, hit::StashedFunction& out);
  // Probes the candidate number `which` of every place that has none yet.
  void TryAll(size_t which, SiteTable& table);
  void SetInForce();
  void TakeOut(size_t index, SiteTable& table);

  hit::ProbeRuntime runtime_;
  std::vector<SitePlan> sites_;                  // without conditions: what the site table asks for
  std::vector<hit::StashedFunction> functions_;  // as `places_`; hits read it
  std::vector<Place> places_;
  std::string note_;
  bool armed_ = false;
  bool given_up_ = false;
  bool needed_ = false;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_ENTRY_STASH_H_
