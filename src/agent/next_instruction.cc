#include "agent/next_instruction.h"

#include <vector>

#include "agent/probe/plain_code.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kLongestInstruction = 15;
constexpr uint64_t kMaxFunctionBytes = 1 << 20;

}  // namespace

std::optional<LinkAddress> NextOfSameLine(SymbolModule& module, LinkAddress site) {
  const uint32_t length = probe::PlainInstructionBytes(module.ReadCode(site, kLongestInstruction));
  if (length == 0) return std::nullopt;
  const LinkAddress next = site + length;
  const auto [begin, end] = module.FunctionRange(site);
  if (next < begin || next >= end || end - begin > int64_t{kMaxFunctionBytes} ||
      !module.SameLine(site, next)) {
    return std::nullopt;
  }
  const std::vector<uint8_t> text = module.ReadCode(begin, static_cast<uint32_t>(end - begin));
  if (static_cast<int64_t>(text.size()) != end - begin ||
      probe::MayBeBranchTarget(text, begin.value, next.value)) {
    return std::nullopt;
  }
  return next;
}

}  // namespace stillframe::agent
