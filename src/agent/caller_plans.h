// Plans of caller frames, by return address: made for likely callers when a probe is armed and for
// the others when they are first seen, so that the next hit copies their heap values too. Agent
// thread; the hit path reads what Publish() put out.
#ifndef STILLFRAME_AGENT_CALLER_PLANS_H_
#define STILLFRAME_AGENT_CALLER_PLANS_H_

#include <map>
#include <memory>
#include <vector>

#include "agent/decode/snapshot_builder.h"
#include "agent/durable/writer.h"
#include "agent/hit/hit.h"
#include "agent/loaded_modules.h"
#include "agent/unit_view.h"
#include "model/snapshot.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// What is prepared when a tracepoint is armed.
inline constexpr uint32_t kCallerLevels = 5;  // frames 1 to 4 show variables, which 1 to 5 pass on
inline constexpr uint32_t kMaxPreparedCallers = 128;

class CallerPlans {
 public:
  explicit CallerPlans(Symbolizer& symbolizer) : symbolizer_(symbolizer) {}
  // nullptr: nobody is told of new callers. It must outlive this.
  void SetDurable(durable::Writer* durable) { durable_ = durable; }

  // The meaning of the machine frame at `pc`; compiles it when it is new. Valid until Forget or
  // TakeRetired. Never fails: without debug information it is the symbol's name or nothing.
  decode::FrameMeaning Resolve(RuntimeAddress pc, bool pc_is_exact,
                               const std::vector<LoadedModule>& modules);
  // Functions that ended by tail calls between a call of `called` and the function `running`
  // (SymbolModule::EndedBetween); remembered. Module and build-id are left to the caller.
  const std::vector<model::Frame>& EndedBetween(RuntimeAddress called, RuntimeAddress running,
                                                const std::vector<LoadedModule>& modules);
  // A caller's function whose plan wants entry values.
  struct WantedEntry {
    const LoadedModule* module;
    LinkAddress entry;
    uint32_t cells;  // of the stash
    uint32_t level;  // 0: it calls the function at the site
  };
  // Compiles likely callers of the function at `site`, breadth first up to `levels` and at most
  // `max` plans, and no more than what is left of a tenth of this second: malloc has hundreds of
  // callers, and the agent's thread has other things to do.
  // `wanted`: nullptr, or where those of them are added that want entry values, nearest first.
  void Prepare(const LoadedModule& module, LinkAddress site, uint32_t levels, uint32_t max,
               std::vector<WantedEntry>* wanted = nullptr);
  // The same for a caller that is known: its plan, and those of its own likely callers.
  void PrepareCaller(const LoadedModule& module, LinkAddress return_address, uint32_t levels,
                     uint32_t max) {
    Compile(module.bias.ToRuntime(return_address), false, &module);
    Prepare(module, return_address - 1, levels, max);
  }
  // Publishes the table for the hit path when it changed.
  void Publish();
  // A module went away.
  void Forget(RuntimeAddress start, RuntimeAddress end);
  // Call after WaitForQuiescence and after the ring was drained.
  void FreeRetired() { retired_tables_.clear(), retired_entries_.clear(); }
  bool has_retired() const { return !retired_tables_.empty() || !retired_entries_.empty(); }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    uint64_t id = 0;
    CallerPlan plan;
    bool has_plan = false;  // false: `meaning.function` is all there is, and hits know that
    std::unique_ptr<UnitArrays> arrays;
    decode::FrameMeaning meaning;
  };
  struct Table {
    std::vector<hit::CallerEntry> slots;
    hit::CallerTable head{};
  };
  void CompileNew(Entry& entry, RuntimeAddress pc, bool pc_is_exact, const LoadedModule& found);
  Entry& Compile(RuntimeAddress pc, bool pc_is_exact, const LoadedModule* module);
  bool MayPrepare(int64_t now_ns);
  static void Place(Table& table, uint64_t return_address, const Entry& entry);

  void Note(RuntimeAddress pc, bool pc_is_exact, const Entry& entry);

  Symbolizer& symbolizer_;
  durable::Writer* durable_ = nullptr;
  // Keyed by pc; exact pcs (signal frames) are looked up differently, hence the flag.
  std::map<std::pair<uint64_t, bool>, std::unique_ptr<Entry>> entries_;
  std::map<std::pair<uint64_t, uint64_t>, std::vector<model::Frame>> ended_;  // called, running
  std::unique_ptr<Table> published_;
  std::vector<std::unique_ptr<Table>> retired_tables_;
  std::vector<std::unique_ptr<Entry>> retired_entries_;
  uint64_t next_id_ = 1;
  int64_t second_began_ns_ = 0;  // CLOCK_MONOTONIC
  int64_t prepared_for_ns_ = 0;  // since then
  bool changed_ = false;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_CALLER_PLANS_H_
