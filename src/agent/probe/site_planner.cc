#include "agent/probe/site_planner.h"

#include <algorithm>
#include <array>

namespace stillframe::probe {
namespace {

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;
// Places tried for each island by the length of the chain: the product is what it costs.
constexpr uint32_t kTries[kMaxEvicted + 2] = {0, 1, 96, 20, 8};
using Text = std::array<uint8_t, kEvictionTextBytes>;

// A place for the island, spread over all it could have.
uint64_t Spread(const arch::AddressSet& set, uint32_t index) {
  const auto fraction = static_cast<unsigned __int128>(kGolden * (index + 1));
  return set.first + static_cast<uint64_t>((fraction * set.count) >> 64) * set.stride;
}

class Search {
 public:
  Search(std::span<const arch::SiteAnalysis* const> chain, const IslandSpace& space)
      : chain_(chain), space_(space), placed_(chain.size()), tries_(kTries[chain.size()]) {}

  // Places chain[index] and everything before it.
  bool Place(size_t index, const Text& text) {
    const arch::SiteAnalysis& site = *chain_[index];
    const size_t offset = site.address() - chain_[0]->address();
    arch::PatchWindow window;
    std::copy_n(text.begin() + offset, window.size(), window.begin());
    for (const arch::PatchOption& option : arch::OptionsWith(site, window)) {
      const uint32_t tries =
          index == 0 ? 1 : static_cast<uint32_t>(std::min<uint64_t>(tries_, option.island.count));
      for (uint32_t i = 0; i < tries; ++i) {
        arch::AddressSet wanted = option.island;
        if (index != 0) wanted = {Spread(option.island, i), 1, 1};
        const auto island = space_.Find(wanted, arch::kMaxIslandBytes, site.address());
        if (!island || !IsApart(*island, index)) continue;
        placed_[index] = {option, *island};
        if (index == 0) return true;
        Text next = text;
        const arch::PatchWindow patched = arch::PatchedWindow(site, option, *island, window);
        std::copy(patched.begin(), patched.end(), next.begin() + offset);
        if (Place(index - 1, next)) return true;
      }
    }
    return false;
  }
  std::vector<PlacedOption> Take() && { return std::move(placed_); }

 private:
  bool IsApart(uint64_t island, size_t index) const {
    return std::all_of(placed_.begin() + index + 1, placed_.end(), [&](const PlacedOption& other) {
      return island + arch::kMaxIslandBytes <= other.island ||
             other.island + arch::kMaxIslandBytes <= island;
    });
  }

  std::span<const arch::SiteAnalysis* const> chain_;
  const IslandSpace& space_;
  std::vector<PlacedOption> placed_;
  uint32_t tries_;
};

}  // namespace

bool MayEvict(const arch::SiteAnalysis& site, const arch::SiteAnalysis& successor) {
  return site.falls_through() || successor.is_filler();
}

std::optional<std::vector<PlacedOption>> PlanEviction(
    std::span<const arch::SiteAnalysis* const> chain, std::span<const uint8_t> text,
    const IslandSpace& space) {
  Text bytes{};
  if (text.size() < bytes.size()) return std::nullopt;
  std::copy_n(text.begin(), bytes.size(), bytes.begin());
  Search search(chain, space);
  if (!search.Place(chain.size() - 1, bytes)) return std::nullopt;
  return std::move(search).Take();
}

}  // namespace stillframe::probe
