#include "agent/loaded_modules.h"

#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <optional>

#include "agent/loader_guard.h"
#include "agent/probe/site_policy.h"

namespace stillframe::agent {
namespace {

std::string ExecutablePath() {
  char buffer[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", buffer, sizeof buffer);
  return size > 0 ? std::string(buffer, size) : "";
}

// A note segment is mapped memory of the module, but its contents are the file's: bounds first.
std::string BuildIdFromNotes(const char* notes, size_t size) {
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes, sizeof header);
    const size_t name_size = (static_cast<size_t>(header.n_namesz) + 3) & ~size_t{3};
    const size_t desc_size = (static_cast<size_t>(header.n_descsz) + 3) & ~size_t{3};
    const size_t used = sizeof header + name_size + desc_size;
    if (used > size) break;
    const char* name = notes + sizeof header;
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
        std::memcmp(name, "GNU", 4) == 0 && header.n_descsz <= 64) {
      std::string hex;
      for (size_t i = 0; i < header.n_descsz; ++i) {
        char text[3];
        snprintf(text, sizeof text, "%02x", static_cast<unsigned char>(name[name_size + i]));
        hex += text;
      }
      return hex;
    }
    notes += used;
    size -= used;
  }
  return "";
}

void ReadSegments(const dl_phdr_info& info, LoadedModule& module) {
  uint64_t low = UINT64_MAX, high = 0;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    const uint64_t start = info.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      low = std::min(low, start);
      high = std::max(high, start + segment.p_memsz);
      if ((segment.p_flags & PF_X) != 0) {
        module.text.push_back({RuntimeAddress(start), RuntimeAddress(start + segment.p_memsz)});
      }
    } else if (segment.p_type == PT_NOTE && module.build_id.empty()) {
      module.build_id = BuildIdFromNotes(reinterpret_cast<const char*>(start), segment.p_memsz);
    }
  }
  if (low < high) {
    module.start = RuntimeAddress(low);
    module.end = RuntimeAddress(high);
  }
}

int AddModule(dl_phdr_info* info, size_t, void* list) {
  auto& modules = *static_cast<std::vector<LoadedModule>*>(list);
  LoadedModule module;
  module.bias = LoadBias{info->dlpi_addr};
  module.loader_name = info->dlpi_name;
#ifdef __GLIBC__  // the hit path knows this C library's layout of thread-local storage
  module.tls_module = info->dlpi_tls_modid;
#endif
  module.is_executable = modules.empty();
  ReadSegments(*info, module);
  static const uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
  module.is_vdso = vdso != 0 && module.Contains(RuntimeAddress(vdso));
  // Linked in from the archive, the agent is a part of a module that is the host's own.
  static const bool linked_in = probe::ReadPolicyFacts().linked_text_start != 0;
  module.is_agent =
      !linked_in && module.Contains(RuntimeAddress(reinterpret_cast<uint64_t>(&AddModule)));
  modules.push_back(std::move(module));
  return 0;
}

// What the kernel calls the file behind the module's first pages that are still a file's: programs
// that move their text to huge pages leave others. "" when there is none.
std::string MappedFile(const LoadedModule& module, const std::vector<Mapping>& maps) {
  for (const Mapping& mapping : maps) {
    if (module.Contains(mapping.start) && mapping.path.starts_with('/')) return mapping.path;
  }
  return "";
}

// Names that programs give the loader may be relative to a folder that they left since, as services
// do. Without a build-id only the kernel tells that the file was replaced.
bool IsNamedByKernel(const LoadedModule& module) {
  return !module.is_vdso && !module.is_executable &&
         (module.build_id.empty() || !module.loader_name.starts_with('/'));
}

void NameFiles(std::vector<LoadedModule>& modules) {
  std::optional<std::vector<Mapping>> maps;
  const auto mapped = [&maps](const LoadedModule& module) {
    if (!maps) {
      auto read = ReadProcessMaps();
      maps = read.ok() ? std::move(*read) : std::vector<Mapping>();
    }
    return MappedFile(module, *maps);
  };
  for (LoadedModule& module : modules) {
    if (module.is_executable) {
      module.path = ExecutablePath();
      // `ld-linux-x86-64.so.2 program`, as aws-lambda-cpp packs functions: the kernel ran the
      // loader.
      static const bool was_run_by_loader = [&] {
        const std::string file = mapped(module);
        return !file.empty() && file != module.path;
      }();
      if (was_run_by_loader) module.path = mapped(module);
      continue;
    }
    if (IsNamedByKernel(module)) module.path = mapped(module);
    if (module.path.empty()) module.path = module.loader_name;
  }
}

struct PinnedWork {
  const LoadedModule& module;
  const std::function<Status()>& work;
  Status result;
};

// The loader unmaps a library under the lock that it holds around this call.
int RunIfSame(dl_phdr_info* info, size_t, void* raw) {
  auto& pinned = *static_cast<PinnedWork*>(raw);
  if (info->dlpi_addr != pinned.module.bias.value || pinned.module.loader_name != info->dlpi_name)
    return 0;
  try {
    pinned.result = pinned.work();
  } catch (...) {  // not through the loader's frames
    pinned.result = Status(Code::kInternal, "an exception while a module was held");
  }
  return 1;
}

int ReadGeneration(dl_phdr_info* info, size_t, void* out) {
  *static_cast<uint64_t*>(out) = info->dlpi_adds + info->dlpi_subs;
  return 1;
}

}  // namespace

uint64_t ModuleGeneration() {
  uint64_t generation = 0;
  const LoaderGuard guard;
  dl_iterate_phdr(ReadGeneration, &generation);
  return generation;
}

std::vector<LoadedModule> ListLoadedModules() {
  std::vector<LoadedModule> modules;
  const LoaderGuard guard;
  dl_iterate_phdr(AddModule, &modules);
  NameFiles(modules);
  return modules;
}

Status WhileLoaded(const LoadedModule& module, const std::function<Status()>& work) {
  const LoaderGuard guard;
  if (module.is_executable) return work();
  PinnedWork pinned{module, work,
                    Status(Code::kModuleUnloaded, module.FileName() + " was unloaded")};
  dl_iterate_phdr(RunIfSame, &pinned);
  return pinned.result;
}

const LoadedModule* FindModule(const std::vector<LoadedModule>& modules, RuntimeAddress address) {
  for (const LoadedModule& module : modules) {
    if (module.Contains(address)) return &module;
  }
  return nullptr;
}

}  // namespace stillframe::agent
