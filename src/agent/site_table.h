// Patched addresses and which probes each of them serves. Agent thread only.
#ifndef STILLFRAME_AGENT_SITE_TABLE_H_
#define STILLFRAME_AGENT_SITE_TABLE_H_

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/loaded_modules.h"
#include "agent/probe/probe_installer.h"
#include "base/status.h"

namespace stillframe::agent {

class SiteTable {
 public:
  explicit SiteTable(probe::ProbeInstaller& installer) : installer_(installer) {}

  struct Addition {
    RuntimeAddress address;
    hit::SiteProbe probe;
  };
  // Adds a probe to each site, patching those where it is the first one, all in one batch. It is
  // live where the result is a method. Errors are the installer's, or kOverLimit for a ninth probe
  // on one address. allow_trap: see probe::SiteRequest.
  std::vector<Result<probe::Method>> AddAll(std::span<const Addition> additions,
                                            const LoadedModule& module, bool allow_trap);
  // Takes the probe off the sites; restores the text where it was the last one. The probe may still
  // be in use by running hits until WaitForQuiescence. Failures to restore are returned; they leave
  // the site patched but silent.
  std::vector<Status> RemoveAll(std::span<const RuntimeAddress> addresses,
                                const LoadedModule& module, const hit::ProbeRuntime* probe);
  // Whether a patch between these addresses is gone: the module was loaded anew at the same place.
  bool LostPatches(RuntimeAddress start, RuntimeAddress end) const;
  // The module is gone: nothing to restore.
  void Forget(RuntimeAddress start, RuntimeAddress end);
  // After WaitForQuiescence.
  void FreeRetired();
  bool has_retired() const { return !retired_.empty() || !retired_code_.empty(); }

 private:
  struct Site {
    hit::SiteRuntime* runtime = nullptr;
    probe::Method method = probe::Method::kNone;
    std::unique_ptr<hit::SiteProbeList> list;
    uint64_t code = 0;  // compiled for its only probe; 0 = none
  };
  Result<probe::Method> AddToSite(Site& site, hit::SiteProbe probe);
  void Replace(Site& site, std::unique_ptr<hit::SiteProbeList> next);
  // Compiles what the site's only probe decides without the hit path, if it can be.
  void Compile(Site& site);

  probe::ProbeInstaller& installer_;
  std::map<uint64_t, Site> sites_;
  std::vector<std::unique_ptr<hit::SiteProbeList>> retired_;
  std::vector<uint64_t> retired_code_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_SITE_TABLE_H_
