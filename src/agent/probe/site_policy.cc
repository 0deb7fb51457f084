#include "agent/probe/site_policy.h"

#include <sys/auxv.h>

#include <algorithm>
#include <string_view>

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

bool IsAgentLibrary(const std::vector<Mapping>& maps, const PolicyFacts& facts,
                    const Mapping& mapping) {
  const Mapping* agent = FindMapping(maps, facts.agent_code);
  const Mapping* program = FindMapping(maps, facts.program_entry);
  if (agent == nullptr || !SameFile(*agent, mapping)) return false;
  return program == nullptr || !SameFile(*agent, *program);
}

}  // namespace

PolicyFacts ReadPolicyFacts() {
  return PolicyFacts{reinterpret_cast<uint64_t>(&ReadPolicyFacts), getauxval(AT_ENTRY)};
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
  if (IsAgentLibrary(maps, facts, *mapping)) return Unsafe("the agent does not probe itself");
  return *mapping;
}

}  // namespace stillframe::probe
