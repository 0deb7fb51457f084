#include "agent/span_plan.h"

#include <algorithm>
#include <set>

#include "agent/probe/plain_code.h"

namespace stillframe::agent {
namespace {

constexpr int64_t kMaxPartBytes = 4 << 20;

}  // namespace

Result<std::vector<LinkAddress>> FunctionExits(SymbolModule& module, const ProbePlan& entries) {
  std::set<LinkAddress> exits;
  for (const SitePlan& site : entries.sites) {
    const auto parts = module.FunctionParts(site.address);
    const auto inside = [&parts](uint64_t address) {
      return std::any_of(parts.begin(), parts.end(), [address](const auto& part) {
        return address >= part.first.value && address < part.second.value;
      });
    };
    for (const auto& [begin, end] : parts) {
      if (end - begin > kMaxPartBytes)
        return Status(Code::kUnsafeSite, "the function is too large");
      const std::vector<uint8_t> text = module.ReadCode(begin, static_cast<uint32_t>(end - begin));
      const auto found = probe::FindExits(text, begin.value, inside);
      if (!found) return Status(Code::kUnsafeSite, "the function's code is not understood");
      for (const uint64_t address : *found) exits.insert(LinkAddress(address));
    }
  }
  return std::vector<LinkAddress>(exits.begin(), exits.end());
}

void DropVariables(ProbePlan& plan) {
  for (VirtualFrame& frame : plan.unit.virtual_frames) frame.variable_count = 0;
  plan.limits.frames = 1;
  plan.limits.local_frames = 0;
}

}  // namespace stillframe::agent
