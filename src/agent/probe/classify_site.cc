// ClassifySite and the names of methods: what needs no process.
#include <algorithm>

#include "agent/probe/arch/arch.h"
#include "agent/probe/probe_installer.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kFixedBase = 0x400000;
// Where Linux puts position-independent programs when addresses are not randomized.
constexpr uint64_t kUsualLoadAddress = 0x555555554000;
constexpr uint64_t kPageBytes = 4096;

// Is there a member outside the module's own pages? It is one run of addresses, so the ends tell,
// but for a set that spans it: then one of the ends is outside.
bool Mappable(const arch::AddressSet& set, uint64_t text_start, uint64_t text_end) {
  const uint64_t start = text_start & ~(kPageBytes - 1);
  const uint64_t end = (text_end + kPageBytes - 1) & ~(kPageBytes - 1);
  auto outside = [&](uint64_t a) { return a + arch::kMaxIslandBytes <= start || a >= end; };
  return outside(set.first) || outside(set.last());
}

}  // namespace

const char* MethodName(Method method) {
  switch (method) {
    case Method::kNone:
      return "NONE";
    case Method::kCallRetarget:
      return "CALL_RETARGET";
    case Method::kExactPun:
      return "EXACT_PUN";
    case Method::kAlignedStore:
      return "ALIGNED_STORE";
    case Method::kGuarded:
      return "GUARDED";
  }
  return "NONE";
}

Result<Method> ClassifySite(std::span<const uint8_t> text, LinkAddress text_address,
                            LinkAddress address, std::optional<bool> position_independent) {
  if (address < text_address || address.value - text_address.value >= text.size()) {
    return Status(Code::kInvalidArgument, "the address is outside the text");
  }
  const bool relocated = position_independent.value_or(text_address.value < kFixedBase);
  const uint64_t bias = relocated ? kUsualLoadAddress : 0;
  const size_t offset = address.value - text_address.value;
  const size_t before = std::min<size_t>(offset, arch::kContextBytes);
  const size_t after = std::min<size_t>(text.size() - offset, arch::kContextBytes);
  SF_ASSIGN_OR_RETURN(const auto site,
                      arch::AnalyzeSite({text.subspan(offset - before, before),
                                         text.subspan(offset, after), address.value + bias}));
  for (const arch::PatchOption& option : site->options()) {
    const uint64_t start = text_address.value + bias;
    if (Mappable(option.island, start, start + text.size())) return option.method;
  }
  return Status(Code::kUnsafeSite, "every jump that fits there leads back into the module");
}

}  // namespace stillframe::probe
