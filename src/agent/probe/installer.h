// The one ProbeInstaller: what is known of each site, and the steps between its states.
//
//   (unknown) --Prepare--> prepared --Arm--> armed --Disarm--> prepared --Forget--> forgotten
//   forgotten --Prepare--> prepared: the old trampoline again if the bytes are the same
//   armed --Disarm--> held: silent, but patched still, because the jump of an armed site below it
//   reads its bytes; prepared as soon as that one goes. An evicted neighbour is held from the
//   start.
//
// Dense probing. A punned jump at A takes its displacement from the instructions behind A. When one
// of those, B, is patched as well, A's island is computed from B's patched bytes ("A requires B").
// So sites are planned from the highest address to the lowest (E9Patch, PLDI 2020, §4), patched in
// that order, level by level, with a core sync between levels, and restored in the opposite order.
// If B comes when A is armed already, A is taken out, B goes in, and A comes back with new bytes.
//
// Agent thread only. After fork(2) the child must not use it: every call refuses there.
#ifndef STILLFRAME_AGENT_PROBE_INSTALLER_H_
#define STILLFRAME_AGENT_PROBE_INSTALLER_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <set>

#include "agent/probe/arch/arch.h"
#include "agent/probe/code_memory.h"
#include "agent/probe/forbidden_ranges.h"
#include "agent/probe/probe_code_arena.h"
#include "agent/probe/probe_installer.h"
#include "agent/probe/site_planner.h"
#include "agent/probe/site_policy.h"
#include "agent/probe/text_view.h"
#include "agent/probe/text_writer.h"

namespace stillframe::probe {

class Installer final : public ProbeInstaller {
 public:
  Installer(HitFunction hit, std::unique_ptr<TextWriter> writer, CodeLimits limits = {});
  // Restores the text of every site that is still armed. Trampolines stay: threads may be in them.
  ~Installer() override;

  std::vector<Result<InstalledSite>> PrepareAll(std::span<const SiteRequest> requests) override;
  std::vector<Status> ArmAll(std::span<const RuntimeAddress> sites) override;
  std::vector<Status> DisarmAll(std::span<const RuntimeAddress> sites) override;
  Result<uint64_t> PlaceProbeCode(RuntimeAddress site, const ProbeCodeSpec& spec) override;
  void FreeProbeCode(uint64_t address) override;
  FastHitTicks MeasureFastHits() override;
  bool LostPatch(RuntimeAddress site) override;
  void Forget(RuntimeAddress start, RuntimeAddress end) override;
  uint32_t armed_count() const override { return armed_count_; }
  Status Tick() override;

  const TextAbilities& abilities() const { return writer_->abilities(); }
  const CodeMemory& memory() const { return memory_; }
  uint32_t mapped_pages() const { return memory_.mapped_pages(); }
  // Sites whose text is patched: the armed ones and those that they need.
  uint32_t patched_count() const;
  // Tests: consider only this method from now on; kNone considers all.
  void Only(Method method) { only_ = method; }

 private:
  enum class State : uint8_t { kPrepared, kArmed, kHeld, kForgotten };
  // How a site is patched, given what stands behind it.
  struct Plan {
    arch::PatchOption option;
    uint64_t island = 0;
    arch::PatchWindow original{};  // while the sites that it requires are patched
    arch::PatchWindow patched{};
    std::vector<uint64_t> required;  // addresses
  };
  struct Site {
    uint64_t address = 0;
    State state = State::kPrepared;
    int protection = 0;
    bool allow_trap = false;
    uint64_t text_end = 0;  // of the module
    uint64_t body = 0;
    hit::SiteRuntime* runtime = nullptr;
    std::shared_ptr<const arch::SiteAnalysis> analysis;
    Plan plan;
    std::vector<Plan> known;  // those made before: their islands are used again

    bool patched() const { return state == State::kArmed || state == State::kHeld; }
  };
  using Sites = std::map<uint64_t, Site>;  // by address
  // What one call works on.
  struct Batch {
    explicit Batch(TextSystem& system) : view(system) {}
    TextView view;
    std::vector<Mapping> maps;      // empty: not read yet
    std::set<uint64_t> planned;     // sites whose patched bytes the view shows
    std::vector<uint64_t> written;  // sites with code that is not flushed
  };

  Status CheckProcess() const;
  Status ReadMaps(Batch& batch);
  // Every reason that does not look at the site's own bytes.
  Result<Mapping> CheckPlace(uint64_t address, const ModuleText& module, const Batch& batch);
  // Measuring (installer_cost.cc).
  uint32_t TicksOfAction(RuntimeAddress site, hit::SiteRuntime* runtime, hit::Action action);
  // Planning (installer_plan.cc).
  Result<Site*> PrepareSite(const SiteRequest& request, Batch& batch);
  // kUnsafeSite when the site is not where an instruction begins; see site_boundary.h.
  Status CheckBoundary(uint64_t site, const ModuleText& module);
  Result<Site*> FindOrBuild(uint64_t address, const ModuleText& module, const Mapping& mapping,
                            Batch& batch);
  Status CheckAlignment(const Site& site, const Batch& batch) const;
  Status PlanSite(Site& site, Batch& batch);
  Status PlanJump(Site& site, const arch::PatchWindow& window, size_t readable);
  Status PlanByEviction(Site& site, Batch& batch);
  Status Evict(const std::vector<Site*>& sites, const std::vector<PlacedOption>& placed,
               Batch& batch);
  Status PlanTrap(Site& site, const arch::PatchWindow& window);
  Result<Site*> Successor(const Site& site, Batch& batch);
  static bool IsStillPatched(const Plan& plan, std::span<const uint8_t> live);
  bool Usable(const Plan& plan, const Site& site, const arch::PatchWindow& window,
              size_t readable) const;
  Status TryOption(Site& site, const arch::PatchOption& option, const arch::PatchWindow& window);
  Status Show(Site& site, Batch& batch);
  Result<size_t> ReadWindow(const Site& site, TextView& view, arch::PatchWindow& window);
  Result<uint64_t> PlaceBody(const arch::SiteAnalysis& analysis, hit::SiteRuntime* runtime);
  Result<uint64_t> PlaceIsland(const Site& site, const arch::PatchOption& option);
  Result<hit::SiteRuntime*> NewRuntime(uint64_t address);
  // Patched sites below whose jumps read bytes that [first, end) of this site's patch would change.
  std::vector<uint64_t> Disturbed(uint64_t address, const arch::PatchOption& option) const;
  bool IsRequired(uint64_t address, uint64_t except, const Batch& batch) const;

  // Arming (installer_arm.cc).
  struct ArmSet {
    std::set<uint64_t> wanted;     // to be patched, helpers included
    std::set<uint64_t> displaced;  // patched now, to come back with a new plan:
    std::map<uint64_t, Plan> replacements;
    std::map<uint64_t, Status> dropped;  // no longer wanted, and why
    void Drop(uint64_t address, Status why);
  };
  void AddRequired(ArmSet& set) const;
  void AddDisplaced(ArmSet& set) const;
  // Makes every plan of the set fit the others. False: the set has changed, look again.
  bool FitPlans(ArmSet& set);
  Status FitPlan(Site& site, Batch& batch);
  bool IsOurChange(uint64_t address) const;
  void DropDisturbers(const Site& displaced, const Status& why, ArmSet& set) const;
  // Those that need each address of the set come in later groups than it.
  std::vector<std::vector<uint64_t>> Levels(const std::set<uint64_t>& addresses) const;
  // Traps: their route, and whether they may be armed at all. Failing ones leave the set.
  void RouteTraps(ArmSet& set);
  void WithdrawUnsafeTraps(const std::set<uint64_t>& addresses,
                           std::map<uint64_t, Status>& results);
  std::set<uint64_t> ArmedTraps() const;
  void Patch(const std::set<uint64_t>& addresses, std::map<uint64_t, Status>& results);
  void Restore(const std::set<uint64_t>& addresses, std::map<uint64_t, Status>& results);
  void Hold(Site& site);
  // A patched site below whose plan rests on this one; `but_for` do not count.
  bool IsNeeded(uint64_t address, const std::set<uint64_t>& but_for) const;
  TextChange Change(const Site& site, bool arm) const;

  HitFunction hit_;
  std::unique_ptr<TextWriter> writer_;
  CodeMemory memory_;
  ProbeCodeArena probe_code_;
  const hit::CodeLayout layout_;
  uint64_t own_function_ = 0;  // what MeasureFastHits calls; 0: not made yet
  PolicyFacts facts_;
  pid_t pid_;
  bool shadow_stack_;
  Method only_ = Method::kNone;
  uint32_t armed_count_ = 0;
  int64_t traps_checked_ns_ = 0;
  Sites sites_;
  std::map<std::string, std::vector<ForbiddenRange>> forbidden_;  // by file and place
  // Runtimes are reached from trampolines for as long as the process lives, so their pages are
  // never unmapped either.
  uint64_t runtime_next_ = 0;
  uint64_t runtime_end_ = 0;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_INSTALLER_H_
