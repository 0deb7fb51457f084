#include "agent/probe/unwinder_hook.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "agent/probe/arch/arch.h"
#include "agent/probe/frame_table.h"
#include "base/process_maps.h"

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 35)
#define STILLFRAME_HAS_FIND_OBJECT
#endif
#endif

namespace stillframe::probe {

#ifdef STILLFRAME_HAS_FIND_OBJECT
namespace {

constexpr char kFunction[] = "_dl_find_object";
using FindObject = int (*)(void* pc, dl_find_object* result);

FindObject g_original = nullptr;  // written before the first import leads to us

// Any thread, in signal handlers too.
int FindObjectOrOurs(void* pc, dl_find_object* result) {
  FoundFrames found;
  if (!FindFrames(reinterpret_cast<uint64_t>(pc), found)) return g_original(pc, result);
  // The agent stands in as the object that the code belongs to.
  const int known = g_original(reinterpret_cast<void*>(&FindObjectOrOurs), result);
  if (known != 0) return known;
  result->dlfo_map_start = reinterpret_cast<void*>(found.start);
  result->dlfo_map_end = reinterpret_cast<void*>(found.start + found.size_bytes);
  result->dlfo_eh_frame = const_cast<uint8_t*>(found.header);
  return 0;
}

struct Range {
  uint64_t start = 0;
  uint64_t end = 0;
  bool Holds(uint64_t address, uint64_t size_bytes = 1) const {
    return address >= start && address <= end && size_bytes <= end - address;
  }
};

// A module that was looked at, while it stays.
struct Module {
  const ElfW(Phdr) * segments = nullptr;
  uint64_t bias = 0;
  Range range;
  Range read_only;                // after relocation
  std::vector<uint64_t> imports;  // where the pointers lie
  std::vector<uint64_t> before;   // what was in them; 0: not ours
  bool seen = false;
};

struct State {
  std::vector<Module> modules;
  uint64_t unloads = 0;
};
State* g_state = nullptr;  // never destroyed

// The dynamic section as far as imports need it. The loader has worked by it, yet whatever does not
// lie inside of the module is left alone.
class Dynamic {
 public:
  Dynamic(const Module& module, uint64_t address) : module_(module) {
    for (const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(address);
         module.range.Holds(reinterpret_cast<uint64_t>(entry), sizeof *entry) &&
         entry->d_tag != DT_NULL;
         ++entry) {
      Note(*entry);
    }
  }

  void FindImports(std::vector<uint64_t>& imports) const {
    if (symbols_ == 0 || names_.start == 0) return;
    FindIn(calls_, imports);
    FindIn(data_, imports);
  }

 private:
  void Note(const ElfW(Dyn) & entry) {
    switch (entry.d_tag) {
      case DT_SYMTAB:
        symbols_ = Address(entry);
        break;
      case DT_STRTAB:
        names_.start = Address(entry);
        break;
      case DT_STRSZ:
        names_.end = entry.d_un.d_val;
        break;
      case DT_JMPREL:
        calls_.start = Address(entry);
        break;
      case DT_PLTRELSZ:
        calls_.end = entry.d_un.d_val;
        break;
      case DT_RELA:
        data_.start = Address(entry);
        break;
      case DT_RELASZ:
        data_.end = entry.d_un.d_val;
        break;
      default:
        break;
    }
  }
  // glibc has made these absolute, where the section is writable.
  uint64_t Address(const ElfW(Dyn) & entry) const {
    const uint64_t value = entry.d_un.d_ptr;
    return module_.range.Holds(value) ? value : module_.bias + value;
  }
  // `table`: start and size.
  void FindIn(const Range& table, std::vector<uint64_t>& imports) const {
    if (table.start == 0 || !module_.range.Holds(table.start, table.end)) return;
    const auto* const entries = reinterpret_cast<const ElfW(Rela)*>(table.start);
    for (size_t i = 0; i < table.end / sizeof *entries; ++i) {
      const ElfW(Rela)& entry = entries[i];
      if (!arch::IsFunctionImport(static_cast<uint32_t>(ELF64_R_TYPE(entry.r_info)))) continue;
      const uint64_t at = module_.bias + entry.r_offset;
      if (at % sizeof(uint64_t) == 0 && module_.range.Holds(at, sizeof(uint64_t)) &&
          IsOurFunction(ELF64_R_SYM(entry.r_info))) {
        imports.push_back(at);
      }
    }
  }
  bool IsOurFunction(uint64_t symbol_index) const {
    const auto* const symbol = reinterpret_cast<const ElfW(Sym)*>(symbols_) + symbol_index;
    if (!module_.range.Holds(reinterpret_cast<uint64_t>(symbol), sizeof *symbol)) return false;
    const uint64_t name = names_.start + symbol->st_name;
    return names_.end >= sizeof kFunction && symbol->st_name <= names_.end - sizeof kFunction &&
           module_.range.Holds(name, sizeof kFunction) &&
           std::memcmp(reinterpret_cast<const char*>(name), kFunction, sizeof kFunction) == 0;
  }

  const Module& module_;
  uint64_t symbols_ = 0;
  Range names_, calls_, data_;  // start and size
};

Module LookAt(const dl_phdr_info& info) {
  Module module;
  module.segments = info.dlpi_phdr;
  module.bias = info.dlpi_addr;
  uint64_t dynamic = 0;
  uint64_t low = UINT64_MAX, high = 0;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    const uint64_t start = info.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD) {
      low = std::min(low, start);
      high = std::max(high, start + segment.p_memsz);
    } else if (segment.p_type == PT_DYNAMIC) {
      dynamic = start;
    } else if (segment.p_type == PT_GNU_RELRO) {
      module.read_only = {start, start + segment.p_memsz};
    }
  }
  if (low < high) module.range = {low, high};
  if (dynamic != 0) Dynamic(module, dynamic).FindImports(module.imports);
  module.before.resize(module.imports.size());
  return module;
}

// One store that other threads see at once. What the loader makes read-only after relocation is
// made writable for a moment, but only once it is read-only: before, the loader is not done yet.
bool Store(const Module& module, uint64_t at, uint64_t expected, uint64_t value) {
  const bool protect = module.read_only.Holds(at, sizeof value);
  const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  void* const page = reinterpret_cast<void*>(at & ~(page_bytes - 1));
  if (protect) {
    const auto maps = ReadProcessMaps();
    if (!maps.ok()) return false;
    const auto mapping = std::find_if(maps->begin(), maps->end(), [at](const Mapping& m) {
      return m.start.value <= at && at < m.end.value;
    });
    if (mapping == maps->end() || !mapping->readable || mapping->writable) return false;
    if (mprotect(page, page_bytes, PROT_READ | PROT_WRITE) != 0) return false;
  }
  const bool stored = std::atomic_ref(*reinterpret_cast<uint64_t*>(at))
                          .compare_exchange_strong(expected, value, std::memory_order_release);
  if (protect) (void)mprotect(page, page_bytes, PROT_READ);
  return stored;
}

// An import is ready when it holds the function's address or still the lazy loader's stub: a module
// that is being loaded is listed before it is relocated.
void Hook(Module& module) {
  const auto original = reinterpret_cast<uint64_t>(g_original);
  const auto ours = reinterpret_cast<uint64_t>(&FindObjectOrOurs);
  for (size_t i = 0; i < module.imports.size(); ++i) {
    const uint64_t at = module.imports[i];
    const uint64_t now =
        std::atomic_ref(*reinterpret_cast<uint64_t*>(at)).load(std::memory_order_relaxed);
    if (now == ours || !(now == original || module.range.Holds(now))) continue;
    if (Store(module, at, now, ours)) module.before[i] = now;
  }
}

int Visit(dl_phdr_info* info, size_t, void*) {
  State& state = *g_state;
  if (state.unloads != info->dlpi_subs) state.modules.clear();
  state.unloads = info->dlpi_subs;
  auto found = std::find_if(state.modules.begin(), state.modules.end(), [&](const Module& module) {
    return module.segments == info->dlpi_phdr && module.bias == info->dlpi_addr;
  });
  if (found == state.modules.end()) {
    found = state.modules.insert(state.modules.end(), LookAt(*info));
  }
  Hook(*found);
  return 0;
}

}  // namespace

Status HookUnwinders() {
  if (g_original == nullptr) {
    g_original = reinterpret_cast<FindObject>(dlsym(RTLD_DEFAULT, kFunction));
  }
  if (g_original == nullptr) {
    return Status(Code::kUnsupported,
                  "the C library has no _dl_find_object: unwinders stop at a trampoline");
  }
  if (g_state == nullptr) g_state = new State;
  dl_iterate_phdr(&Visit, nullptr);
  return Status();
}

void UnhookUnwinders() {
  if (g_state == nullptr) return;
  // Looks again, so that nothing is written where a module was.
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void*) {
        State& state = *g_state;
        if (state.unloads != info->dlpi_subs) state.modules.clear();
        state.unloads = info->dlpi_subs;
        for (Module& module : state.modules) {
          if (module.segments != info->dlpi_phdr) continue;
          for (size_t i = 0; i < module.imports.size(); ++i) {
            if (module.before[i] == 0) continue;
            (void)Store(module, module.imports[i], reinterpret_cast<uint64_t>(&FindObjectOrOurs),
                        module.before[i]);
            module.before[i] = 0;
          }
        }
        return 0;
      },
      nullptr);
}

uint32_t HookedImports() {
  uint32_t count = 0;
  if (g_state == nullptr) return count;
  for (const Module& module : g_state->modules) {
    for (const uint64_t before : module.before) count += before != 0;
  }
  return count;
}
#else
Status HookUnwinders() {
  return Status(Code::kUnsupported,
                "built for a C library without _dl_find_object: unwinders stop at a trampoline");
}
void UnhookUnwinders() {}
uint32_t HookedImports() { return 0; }
#endif

}  // namespace stillframe::probe
