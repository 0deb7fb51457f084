// The one ProbeInstaller: what is known of each site, and the steps between its states.
//
//   (unknown) --Prepare--> prepared --Arm--> armed --Disarm--> prepared --Forget--> forgotten
//   forgotten --Prepare--> prepared: the old trampoline again if the bytes are the same
//
// Agent thread only. After fork(2) the child must not use it: every call refuses there.
#ifndef STILLFRAME_AGENT_PROBE_INSTALLER_H_
#define STILLFRAME_AGENT_PROBE_INSTALLER_H_

#include <sys/types.h>

#include <map>
#include <memory>

#include "agent/probe/arch/arch.h"
#include "agent/probe/code_memory.h"
#include "agent/probe/probe_code_arena.h"
#include "agent/probe/probe_installer.h"
#include "agent/probe/site_policy.h"
#include "agent/probe/text_writer.h"

namespace stillframe::probe {

class Installer final : public ProbeInstaller {
 public:
  Installer(HitFunction hit, std::unique_ptr<TextWriter> writer);
  // Restores the text of every site that is still armed. Trampolines stay: threads may be in them.
  ~Installer() override;

  Result<InstalledSite> Prepare(RuntimeAddress site, const ModuleText& module) override;
  Status Arm(RuntimeAddress site) override;
  Status Disarm(RuntimeAddress site) override;
  Result<uint64_t> PlaceProbeCode(RuntimeAddress site, const ProbeCodeSpec& spec) override;
  void FreeProbeCode(uint64_t address) override { probe_code_.Free(address); }
  void Forget(RuntimeAddress start, RuntimeAddress end) override;
  uint32_t armed_count() const override { return armed_count_; }

  const TextAbilities& abilities() const { return writer_->abilities(); }
  uint32_t mapped_pages() const { return memory_.mapped_pages(); }
  // Tests: consider only this method from now on; kNone considers all.
  void Only(Method method) { only_ = method; }

 private:
  enum class State : uint8_t { kPrepared, kArmed, kForgotten };
  struct Site {
    uint64_t address = 0;
    State state = State::kPrepared;
    arch::PatchOption option;
    arch::PatchWindow original{};
    arch::PatchWindow patched{};
    int protection = 0;
    hit::SiteRuntime* runtime = nullptr;
  };
  struct Window {
    std::vector<uint8_t> before;
    std::vector<uint8_t> at;
  };

  Status CheckProcess() const;
  Result<Window> ReadWindow(uint64_t site, const ModuleText& module);
  bool Reusable(const Site& site, const Window& window) const;
  Result<Site> Build(uint64_t address, const Window& window, int protection);
  Result<uint64_t> PlaceBody(const arch::SiteAnalysis& analysis, hit::SiteRuntime* runtime);
  Result<uint64_t> PlaceIsland(const arch::PatchOption& option, uint64_t body, uint64_t near);
  Status ChooseOption(const arch::SiteAnalysis& analysis, uint64_t body, Site& site);
  Status TryOption(const arch::SiteAnalysis& analysis, uint64_t body, Site& site);
  // kUnsafeSite when arming would change bytes that an armed site depends on, or the reverse.
  Status CheckOverlap(uint64_t address, const arch::PatchOption& option) const;
  TextChange Change(const Site& site, bool arm) const;
  Result<hit::SiteRuntime*> NewRuntime(uint64_t address);

  HitFunction hit_;
  std::unique_ptr<TextWriter> writer_;
  CodeMemory memory_;
  ProbeCodeArena probe_code_;
  const hit::CodeLayout layout_;
  PolicyFacts facts_;
  pid_t pid_;
  bool shadow_stack_;
  Method only_ = Method::kNone;
  uint32_t armed_count_ = 0;
  std::map<uint64_t, Site> sites_;  // by address
  // Runtimes are reached from trampolines for as long as the process lives, so their pages are
  // never unmapped either.
  uint64_t runtime_next_ = 0;
  uint64_t runtime_end_ = 0;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_INSTALLER_H_
