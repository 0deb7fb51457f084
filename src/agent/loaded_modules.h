// The ELF modules of this process, as the dynamic loader knows them.
#ifndef STILLFRAME_AGENT_LOADED_MODULES_H_
#define STILLFRAME_AGENT_LOADED_MODULES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/status.h"

namespace stillframe::agent {

struct TextRange {
  RuntimeAddress start, end;
};

struct LoadedModule {
  std::string path;      // absolute; the executable's is /proc/self/exe's target
  std::string build_id;  // lower-case hex from the note in memory; "" when there is none
  LoadBias bias;
  uint64_t tls_module = 0;      // its number with the dynamic loader; 0: no thread-local storage
  std::vector<TextRange> text;  // executable segments
  RuntimeAddress start, end;    // of all segments
  bool is_executable = false;   // the program itself: never unloaded
  bool is_agent = false;        // the agent's own library: never probed
  bool is_vdso = false;

  bool Contains(RuntimeAddress address) const { return start <= address && address < end; }
  std::string FileName() const { return path.substr(path.rfind('/') + 1); }
};

// Loads and unloads since the process began: changes whenever the list may have.
uint64_t ModuleGeneration();

// Takes the loader's lock: agent thread only, never from a hit. The executable comes first.
std::vector<LoadedModule> ListLoadedModules();

// Runs `work`, which changes the module's text, while the module cannot be unloaded and the process
// cannot fork: text must not vanish under a store (HAZARDS A7), and a child that was made while a
// guard stood in the text would wait at it for ever. kModuleUnloaded, without running it, when the
// module is gone; else what `work` returns. Holds the loader's list lock meanwhile: dlopen and
// dlclose of other threads wait, so be brief and call nothing of the loader's. Agent thread.
Status WhileLoaded(const LoadedModule& module, const std::function<Status()>& work);

// The module that holds the address, or nullptr.
const LoadedModule* FindModule(const std::vector<LoadedModule>& modules, RuntimeAddress address);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_LOADED_MODULES_H_
