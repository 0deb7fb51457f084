#include "agent/probe/site_policy.h"

#include <sys/auxv.h>

#include <algorithm>
#include <string_view>

// Both ends of the section that holds the agent's code in libstillframe.a (cmake/agent_object.ld),
// named by the linker of the program; null in the shared library, where nothing defines them.
// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
extern "C" __attribute__((weak, visibility("hidden"))) const char __start_stillframe_text[];
extern "C" __attribute__((weak, visibility("hidden"))) const char __stop_stillframe_text[];
// NOLINTEND(bugprone-reserved-identifier)

namespace stillframe::probe {
namespace {

Status Unsafe(const std::string& why) { return Status(Code::kUnsafeSite, why); }

const Mapping* FindMapping(const std::vector<Mapping>& maps, uint64_t address) {
  for (const Mapping& map : maps) {
    if (map.start.value <= address && address < map.end.value) return &map;
  }
  return nullptr;
}

bool SameFile(const Mapping& a, const Mapping& b) {
  return a.inode != 0 && a.inode == b.inode && a.path == b.path;
}

bool IsLoader(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == path.npos ? path : path.substr(slash + 1);
  return name.starts_with("ld-linux") || name.starts_with("ld-musl") || name.starts_with("ld.so") ||
         (name.starts_with("ld-2.") && name.ends_with(".so"));
}

bool IsAgentCode(const std::vector<Mapping>& maps, const PolicyFacts& facts, const Mapping& mapping,
                 RuntimeAddress site) {
  if (facts.linked_text_start != facts.linked_text_end) {
    return facts.linked_text_start <= site.value && site.value < facts.linked_text_end;
  }
  const Mapping* agent = FindMapping(maps, facts.agent_code);
  const Mapping* program = FindMapping(maps, facts.program_entry);
  if (agent == nullptr || !SameFile(*agent, mapping)) return false;
  return program == nullptr || !SameFile(*agent, *program);
}

}  // namespace

PolicyFacts ReadPolicyFacts() {
  return PolicyFacts{reinterpret_cast<uint64_t>(&ReadPolicyFacts), getauxval(AT_ENTRY),
                     reinterpret_cast<uint64_t>(__start_stillframe_text),
                     reinterpret_cast<uint64_t>(__stop_stillframe_text)};
}

Result<Mapping> CheckSiteAllowed(const std::vector<Mapping>& maps, const PolicyFacts& facts,
                                 RuntimeAddress site, const ModuleText& module) {
  if (site < module.text_start || site >= module.text_end) {
    return Unsafe("the address is outside the module's text");
  }
  const Mapping* mapping = FindMapping(maps, site.value);
  if (mapping == nullptr) {
    return Status(Code::kModuleUnloaded, "nothing is mapped at the address");
  }
  if (!mapping->executable) return Unsafe("the memory there is not executable");
  if (!mapping->readable) return Unsafe("the text there cannot be read");
  if (!mapping->is_private) return Unsafe("the text there is shared with other processes");
  if (mapping->path.starts_with("[v")) {  // [vdso], [vvar], [vsyscall]
    return Unsafe("the kernel's own page " + mapping->path + " is never probed");
  }
  if (IsLoader(mapping->path) || IsLoader(module.path)) {
    return Unsafe("the dynamic loader is never probed");
  }
  if (IsAgentCode(maps, facts, *mapping, site)) return Unsafe("the agent does not probe itself");
  return *mapping;
}

}  // namespace stillframe::probe
