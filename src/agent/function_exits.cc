#include "agent/function_exits.h"

#include <algorithm>
#include <map>

#include "agent/probe/plain_code.h"

namespace stillframe::agent {
namespace {

constexpr int64_t kMaxPartBytes = 4 << 20;
constexpr uint32_t kLongestInstruction = 15;

// Calls visit(exit, text, address of the text) for each exit of the functions.
template <typename Visit>
Status ForEachExit(SymbolModule& module, const ProbePlan& entries, Visit visit) {
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
      const auto found = static_cast<int64_t>(text.size()) != end - begin
                             ? std::nullopt
                             : probe::FindExits(text, begin.value, inside);
      if (!found) return Status(Code::kUnsafeSite, "the function's code is not understood");
      for (const probe::FunctionExit& exit : *found) visit(exit, text, begin);
    }
  }
  return Status();
}

}  // namespace

Result<std::vector<LinkAddress>> FunctionExits(SymbolModule& module, const ProbePlan& entries) {
  std::vector<LinkAddress> exits;
  SF_RETURN_IF_ERROR(
      ForEachExit(module, entries, [&](const probe::FunctionExit& exit, const auto&, LinkAddress) {
        exits.emplace_back(exit.address);
      }));
  std::sort(exits.begin(), exits.end());
  exits.erase(std::unique(exits.begin(), exits.end()), exits.end());
  return exits;
}

Result<std::vector<ReturnSite>> FunctionReturns(
    SymbolModule& module, const ProbePlan& entries,
    const std::function<bool(LinkAddress)>& has_frame_pointer) {
  std::map<LinkAddress, ReturnSite> returns;
  SF_RETURN_IF_ERROR(ForEachExit(
      module, entries,
      [&](const probe::FunctionExit& exit, const std::vector<uint8_t>& text, LinkAddress begin) {
        ReturnSite site;
        site.address = LinkAddress(exit.address);
        site.is_tail_call = exit.is_tail_call;
        const auto end =
            exit.is_tail_call ? std::nullopt : probe::FindEpilogue(text, begin.value, exit.address);
        if (end) {
          site.address = LinkAddress(end->first);
          site.frame_is_intact =
              end->frame_is_intact || (end->begins_release && has_frame_pointer(site.address));
          site.sets_integer = end->sets_integer;
          site.sets_float = end->sets_float;
        }
        returns.emplace(site.address, site);
      }));
  if (returns.empty()) return Status(Code::kLineHasNoCode, "the function never returns");
  std::vector<ReturnSite> sites;
  for (const auto& [address, site] : returns) sites.push_back(site);
  return sites;
}

std::optional<ReturnSite> NextOfReturn(SymbolModule& module, const ReturnSite& site) {
  if (site.is_tail_call) return std::nullopt;
  const uint32_t length =
      probe::FrameReleaseBytes(module.ReadCode(site.address, kLongestInstruction));
  if (length == 0) return std::nullopt;
  ReturnSite next = site;
  next.address = site.address + length;
  next.frame_is_intact = false;
  return next;
}

}  // namespace stillframe::agent
