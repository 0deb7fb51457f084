// Keeps the hit path's unwind tables in step with the loaded modules. Agent thread.
#ifndef STILLFRAME_AGENT_UNWIND_MODULES_H_
#define STILLFRAME_AGENT_UNWIND_MODULES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/loaded_modules.h"
#include "plan/unwind_table.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

class UnwindModules {
 public:
  // Builds tables for modules that are new and publishes the whole set. Tables are kept by
  // (path, build-id), so a module that comes back costs nothing.
  void Refresh(const std::vector<LoadedModule>& modules, Symbolizer& symbolizer);
  // After WaitForQuiescence: frees what the last publication replaced.
  void FreeRetired() { retired_.clear(); }
  uint64_t bytes() const;

 private:
  struct Published {
    std::vector<hit::UnwindModule> modules;
    hit::UnwindModules head{};
  };
  std::map<std::string, std::unique_ptr<UnwindTable>> tables_;  // by path + build-id
  std::unique_ptr<Published> current_;
  std::vector<std::unique_ptr<Published>> retired_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_UNWIND_MODULES_H_
