#include "agent/probe/site_classifier.h"

#include <algorithm>

#include "agent/probe/address_space.h"
#include "agent/probe/arch/arch.h"
#include "agent/probe/site_planner.h"

namespace stillframe::probe {
namespace {

// Where Linux puts position-independent programs when addresses are not randomized.
constexpr uint64_t kProgramBase = 0x555555554000;
// Somewhere in the area of libraries.
constexpr uint64_t kLibraryBase = 0x7F3000000000;
constexpr uint64_t kPageBytes = 4096;
// The heap begins at random within 32 MiB (since Linux 6.9: 1 GiB) behind the program: the middle.
constexpr uint64_t kHeapGapBytes = 16ull << 20;

Result<std::unique_ptr<arch::SiteAnalysis>> Analyze(std::span<const uint8_t> text, size_t offset,
                                                    uint64_t address) {
  const size_t before = std::min<size_t>(offset, arch::kContextBytes);
  const size_t after = std::min<size_t>(text.size() - offset, arch::kContextBytes);
  return arch::AnalyzeSite(
      {text.subspan(offset - before, before), text.subspan(offset, after), address});
}

}  // namespace

class SiteClassifier::Space final : public IslandSpace {
 public:
  Space(uint64_t start, uint64_t end) {
    free_.Add({kLowestMappable, kUserEnd});
    free_.Remove({start & ~(kPageBytes - 1), (end + kPageBytes - 1) & ~(kPageBytes - 1)});
  }
  void Take(uint64_t start, uint64_t end) { free_.Remove({start, end}); }
  std::optional<uint64_t> Find(const arch::AddressSet& set, uint32_t size_bytes,
                               uint64_t near) const override {
    return free_.FindNearest(set, size_bytes, near);
  }

 private:
  IntervalSet free_;
};

SiteClassifier::SiteClassifier(LoadKind kind, LinkAddress module_start, LinkAddress module_end)
    : bias_(kind == LoadKind::kFixed        ? 0
            : kind == LoadKind::kExecutable ? kProgramBase
                                            : kLibraryBase) {
  const uint64_t end = module_end.value + bias_;
  space_ = std::make_unique<Space>(module_start.value + bias_, end);
  if (kind != LoadKind::kLibrary) {
    space_->Take(end + kHeapGapBytes, end + kHeapGapBytes + kHeapReserveBytes);
  }
}

SiteClassifier::~SiteClassifier() = default;

Result<Classification> SiteClassifier::Classify(std::span<const uint8_t> text,
                                                LinkAddress text_address,
                                                LinkAddress address) const {
  if (address < text_address || address.value - text_address.value >= text.size()) {
    return Status(Code::kInvalidArgument, "the address is outside the text");
  }
  const size_t offset = address.value - text_address.value;
  SF_ASSIGN_OR_RETURN(const auto site, Analyze(text, offset, address.value + bias_));
  const auto length = static_cast<uint8_t>(site->instruction_bytes());
  for (const arch::PatchOption& option : site->options()) {
    if (space_->Find(option.island, arch::kMaxIslandBytes, site->address())) {
      return Classification{option.method, false, length};
    }
  }
  const std::string none = "the bytes there allow no jump to an address that can be mapped";
  std::vector<std::unique_ptr<arch::SiteAnalysis>> behind;
  std::vector<const arch::SiteAnalysis*> chain{site.get()};
  size_t end = offset + length;
  for (size_t i = 0; i < kMaxEvicted; ++i) {
    if (offset + kEvictionTextBytes > text.size()) break;
    auto next = Analyze(text, end, text_address.value + bias_ + end);
    if (!next.ok()) return Status(Code::kUnsafeSite, none + " (" + next.status().message() + ")");
    if (!MayEvict(*chain.back(), **next)) {
      return Status(Code::kUnsafeSite, none + " (control never goes on behind it)");
    }
    end += (*next)->instruction_bytes();
    behind.push_back(std::move(*next));
    chain.push_back(behind.back().get());
    const auto found = PlanEviction(chain, text.subspan(offset), *space_);
    if (found) return Classification{found->front().option.method, true, length};
  }
  return Status(Code::kUnsafeSite, none);
}

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
    case Method::kTrap:
      return "TRAP";
  }
  return "NONE";
}

}  // namespace stillframe::probe
