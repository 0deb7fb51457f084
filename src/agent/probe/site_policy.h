// Where no probe may ever be placed, whatever the instruction there.
#ifndef STILLFRAME_AGENT_PROBE_SITE_POLICY_H_
#define STILLFRAME_AGENT_PROBE_SITE_POLICY_H_

#include <cstdint>
#include <vector>

#include "agent/probe/probe_installer.h"
#include "base/process_maps.h"
#include "base/status.h"

namespace stillframe::probe {

// Facts about this process that the decision needs.
struct PolicyFacts {
  uint64_t agent_code = 0;     // an address in the agent's own text
  uint64_t program_entry = 0;  // the main program's entry point (AT_ENTRY)
  // The agent's text within the program that it is linked into; empty in the shared library.
  uint64_t linked_text_start = 0;
  uint64_t linked_text_end = 0;
};
PolicyFacts ReadPolicyFacts();

// The mapping that holds the site, if a probe may be placed in it. kUnsafeSite with the reason:
// outside the module's text, not executable, shared with other processes, the loader, kernel
// pages, the agent's own code (a library, or a part of the program).
Result<Mapping> CheckSiteAllowed(const std::vector<Mapping>& maps, const PolicyFacts& facts,
                                 RuntimeAddress site, const ModuleText& module);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_SITE_POLICY_H_
