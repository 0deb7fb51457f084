// Patches live text. One instance per process, used by the agent thread only.
//
// Every write compares the bytes it expects first; text is never made non-executable; trampolines
// live as long as the process and are reused only for their own site; a failed step rolls back.
#ifndef STILLFRAME_AGENT_PROBE_PROBE_INSTALLER_H_
#define STILLFRAME_AGENT_PROBE_PROBE_INSTALLER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/hit/hit.h"
#include "base/address.h"
#include "base/status.h"
#include "plan/program.h"

namespace stillframe::probe {

enum class Method : uint8_t {
  kNone = 0,
  kCallRetarget,
  kExactPun,      // one byte stored
  kAlignedStore,  // the changed bytes lie in one aligned 8-byte word
  kGuarded,       // straddles words: guard, core sync, tail, core sync, head
  kTrap,          // int3; only when it is asked for
};
const char* MethodName(Method method);  // "CALL_RETARGET", "EXACT_PUN", ...

// The module that a site belongs to, as the agent knows it.
struct ModuleText {
  std::string path;
  RuntimeAddress text_start;  // executable mapping that holds the site
  RuntimeAddress text_end;
  // Where an instruction is known to begin, at or before the site, by other debug information than
  // the one that named the site: a row of the unwind table. 0: not known, and not checked.
  RuntimeAddress boundary = RuntimeAddress();
};

struct InstalledSite {
  hit::SiteRuntime* runtime = nullptr;  // owned by the installer, lives as long as the process
  Method method = Method::kNone;
};

// How the frame at a site is found: CFA = register + offset, or not that simply.
struct SiteCfa {
  bool known = false;
  uint8_t dwarf_register = 0;
  int32_t offset = 0;
};

// What code for one probe at one site does before anything is saved. The condition is verified.
struct ProbeCodeSpec {
  std::span<const Insn> condition;          // empty: none, always true
  const hit::StringRef* strings = nullptr;  // what the condition refers to
  SiteCfa cfa;
  uint64_t load_bias = 0;
  uint64_t first_counter = 0;  // address of count[0] in the probe's first shard
  // Of a hit whose condition holds. kCapture goes the full way, as does kLog without `light`.
  hit::Action action = hit::Action::kCapture;
  const LightSite* light = nullptr;  // kLog, when the probe's own limits let every hit pass
  const Insn* code = nullptr;        // that the programs of `light` are slices of
  uint64_t probe_id = 0;
  uint32_t site_index = 0;
};

// Called with the address of a RegisterFile (plan/record.h). Must be compiled for general registers
// only: no vector state is saved around it.
using HitFunction = void (*)(hit::SiteRuntime*, void* register_file);

// One site to prepare. `module` must outlive the call.
struct SiteRequest {
  RuntimeAddress site;
  const ModuleText* module = nullptr;
  bool allow_trap = false;  // int3 where nothing else fits and no thread would die of it
};

class ProbeInstaller {
 public:
  // Self-tests the patch methods on a scratch page; kNotPermitted with a reason when none works.
  // `hit` is what trampolines call (hit::stillframe_hit).
  static Result<std::unique_ptr<ProbeInstaller>> Create(HitFunction hit);
  virtual ~ProbeInstaller() = default;

  // Builds the trampolines (or reuses the sites' old ones) without changing the sites' text: the
  // caller sets runtime->list, then calls ArmAll. Sites whose bytes depend on each other are
  // planned together. A site that is armed already is returned as it is. One read of the process's
  // maps for all. One result for each request, in their order. Errors: kUnsafeSite (reason in the
  // message), kProbeFailed, kNotPermitted, kOverLimit, kModuleUnloaded.
  virtual std::vector<Result<InstalledSite>> PrepareAll(std::span<const SiteRequest> requests) = 0;
  // Patches prepared sites: each is live when its result is OK. Arming an armed site does nothing.
  // Armed neighbours whose jumps read bytes that change are taken out for a moment and put back
  // with a new island. kProbeFailed: the bytes changed since Prepare, or a step failed and was
  // rolled back. kUnsafeSite: no way to have it together with another armed site.
  // kModuleUnloaded: gone, or forgotten.
  virtual std::vector<Status> ArmAll(std::span<const RuntimeAddress> sites) = 0;
  // Restores the original bytes; kProbeFailed when the bytes are not ours: they are left alone.
  // Where another armed site's jump reads them, they stay until that one goes: the site is out of
  // force as soon as its list is empty. A thread may run the trampoline for any time after this.
  virtual std::vector<Status> DisarmAll(std::span<const RuntimeAddress> sites) = 0;
  // Compiles what `spec` says for a prepared site; the caller lets it in by storing the address in
  // runtime->entry. kUnsupported: something in the condition cannot be compiled; kUnsafeSite,
  // kOverLimit, kNotPermitted: there is no room for it. Hits then go the full way.
  virtual Result<uint64_t> PlaceProbeCode(RuntimeAddress site, const ProbeCodeSpec& spec) = 0;
  // Once nothing leads there and WaitForQuiescence returned true.
  virtual void FreeProbeCode(uint64_t address) = 0;
  // What a hit costs that probe code decides alone, in ticks: counted, and with an empty light
  // record (0 without hit::PrepareStreams). Measured on a function of our own, which stays; {} when
  // that cannot be had. Before any probe of Action::kLog is armed.
  struct FastHitTicks {
    uint32_t counted = 0;
    uint32_t logged = 0;
  };
  virtual FastHitTicks MeasureFastHits() = 0;
  // Whether an armed site's text is the original again without our doing: the module was unloaded
  // and loaded anew at the same place. False when somebody else's bytes are there.
  virtual bool LostPatch(RuntimeAddress site) = 0;
  // The module was unloaded: forget its sites without touching memory.
  virtual void Forget(RuntimeAddress start, RuntimeAddress end) = 0;
  virtual uint32_t armed_count() const = 0;
  // Now and then: gives back what is not used any more (the SIGTRAP handler). An error says why
  // every armed trap was just taken out of the text: their sites are not armed any more.
  virtual Status Tick() { return Status(); }

  // One site each.
  Result<InstalledSite> Prepare(RuntimeAddress site, const ModuleText& module) {
    const SiteRequest request{site, &module};
    return std::move(PrepareAll({&request, 1}).front());
  }
  Status Arm(RuntimeAddress site) { return ArmAll({&site, 1}).front(); }
  Status Disarm(RuntimeAddress site) { return DisarmAll({&site, 1}).front(); }
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_PROBE_INSTALLER_H_
