// The ELF modules of this process, as the dynamic loader knows them.
#ifndef STILLFRAME_AGENT_LOADED_MODULES_H_
#define STILLFRAME_AGENT_LOADED_MODULES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/process_maps.h"
#include "base/status.h"

namespace stillframe::agent {

struct TextRange {
  RuntimeAddress start, end;
};

struct LoadedModule {
  // Absolute, to be opened: as the kernel names the file where the loader's name does not lead to
  // it, then with " (deleted)" when it is not there any more. It changes while the module stays:
  // files are renamed and replaced, and relative names end with the folder that they begin in.
  std::string path;
  std::string loader_name;  // the same for as long as the module is loaded; "": the executable's
  std::string build_id;     // lower-case hex from the note in memory; "" when there is none
  LoadBias bias;
  uint64_t tls_module = 0;      // its number with the dynamic loader; 0: no thread-local storage
  std::vector<TextRange> text;  // executable segments
  RuntimeAddress start, end;    // of all segments
  bool is_executable = false;   // the program itself: never unloaded
  bool is_agent = false;        // the agent's own library: never probed
  bool is_vdso = false;
  uint64_t listed_since =
      1;  // whoever keeps a list may number its versions: the first with this one

  bool Contains(RuntimeAddress address) const { return start <= address && address < end; }
  bool IsSame(const LoadedModule& other) const {
    return bias.value == other.bias.value && loader_name == other.loader_name &&
           build_id == other.build_id;
  }
  // As people know it.
  std::string ShownPath() const { return std::string(WithoutDeletedMark(path)); }
  std::string FileName() const { return ShownPath().substr(path.rfind('/') + 1); }
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
