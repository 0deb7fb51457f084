#include "agent/next_instruction.h"

#include <vector>

#include "agent/probe/plain_code.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kLongestInstruction = 15;
constexpr uint64_t kMaxFunctionBytes = 1 << 20;

// The code of the function's part with the site, from its beginning; empty when it is not known.
std::vector<uint8_t> CodeAround(SymbolModule& module, LinkAddress site, LinkAddress& begin) {
  const auto [first, end] = module.FunctionRange(site);
  begin = first;
  if (end - first <= 0 || end - first > int64_t{kMaxFunctionBytes}) return {};
  std::vector<uint8_t> text = module.ReadCode(first, static_cast<uint32_t>(end - first));
  if (static_cast<int64_t>(text.size()) != end - first) text.clear();
  return text;
}

}  // namespace

std::optional<LinkAddress> NextOfSameLine(SymbolModule& module, LinkAddress site) {
  const std::vector<uint8_t> first = module.ReadCode(site, kLongestInstruction);
  const uint32_t length = probe::PlainInstructionBytes(first);
  if (length == 0) return std::nullopt;
  // Behind a landing pad all is as before it, whatever begins there.
  const bool is_pad = probe::LandingPadBytes(first) != 0;
  const LinkAddress next = site + length;
  LinkAddress begin;
  const std::vector<uint8_t> text = CodeAround(module, site, begin);
  if (next < begin || next >= begin + text.size() || (!is_pad && !module.SameLine(site, next)) ||
      probe::MayBeBranchTarget(text, begin.value, next.value)) {
    return std::nullopt;
  }
  return next;
}

std::optional<LinkAddress> PreviousInSequence(SymbolModule& module, LinkAddress site) {
  LinkAddress begin;
  const std::vector<uint8_t> text = CodeAround(module, site, begin);
  const auto previous = probe::PlainInstructionBefore(text, begin.value, site.value);
  if (!previous || probe::MayBeBranchTarget(text, begin.value, site.value)) return std::nullopt;
  return LinkAddress(*previous);
}

}  // namespace stillframe::agent
