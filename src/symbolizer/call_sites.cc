#include "symbolizer/call_sites.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "symbolizer/dwarf_util.h"

namespace stillframe {
namespace {

constexpr uint64_t kMaxScannedBytes = 256u << 20;
constexpr uint64_t kPieceBytes = 1u << 20;
constexpr size_t kMaxCalls = 4u << 20;
constexpr size_t kCallBytes = 5;
constexpr uint8_t kCallRel32 = 0xe8;

// What other modules, and this one through its linkage table, know a function by: its linkage name,
// or its plain name for extern "C" functions. "" for functions that only their own unit can call.
std::string_view ExternalName(const Dwarf_Die& function) {
  if (!dwarf::Flag(function, DW_AT_external)) return "";
  const std::string_view linkage = dwarf::LinkageName(function);
  return linkage.empty() ? dwarf::Name(function) : linkage;
}

}  // namespace

// Reads piece by piece; each begins where the one before still had room for a whole call.
void CallSiteIndex::ReadCalls(const CodeRange& range, LinkAddress end, FileBytes& piece) {
  for (const ElfSegment& segment : module_.load_segments()) {
    const uint64_t first = range.start - segment.address;
    if (range.start < segment.address || first >= segment.file_size_bytes) continue;
    const uint64_t last = std::min<uint64_t>(first + (end - range.start), segment.file_size_bytes);
    for (uint64_t at = first; at + kCallBytes <= last; at += kPieceBytes) {
      const uint64_t size = std::min(kPieceBytes + kCallBytes - 1, last - at);
      const std::span<uint8_t> code(piece.data(), size);
      if (!module_.ReadInto(FileOffset(segment.offset.value + at), code).ok()) return;
      for (size_t i = 0; i + kCallBytes <= code.size(); ++i) {
        if (code[i] != kCallRel32) continue;
        int32_t distance = 0;
        std::memcpy(&distance, code.data() + i + 1, sizeof distance);
        const uint64_t after = (segment.address + at + i + kCallBytes) - base_;
        const uint64_t target = after + static_cast<uint64_t>(int64_t{distance});
        if (after > UINT32_MAX || target > UINT32_MAX || calls_.size() >= kMaxCalls) continue;
        if (!module_.IsCode(base_ + target)) continue;
        calls_.push_back({static_cast<uint32_t>(target), static_cast<uint32_t>(after)});
      }
    }
    return;
  }
}

void CallSiteIndex::Read() {
  if (read_ || module_.code_ranges().empty()) return;
  read_ = true;
  plt_ = ReadPltSymbols(module_);
  base_ = module_.code_ranges().front().start;  // they are sorted
  FileBytes piece(kPieceBytes + kCallBytes - 1);
  uint64_t left = kMaxScannedBytes;
  for (const CodeRange& range : module_.code_ranges()) {
    if (range.end <= range.start) continue;
    const uint64_t size = std::min<uint64_t>(range.end - range.start, left);
    ReadCalls(range, range.start + size, piece);
    left -= size;
  }
  std::sort(calls_.begin(), calls_.end(), [](const Call& a, const Call& b) {
    return a.target != b.target ? a.target < b.target : a.after < b.after;
  });
  calls_.shrink_to_fit();
}

void CallSiteIndex::AddCallers(LinkAddress target, size_t max,
                               std::vector<LinkAddress>& found) const {
  if (target < base_) return;
  const uint64_t wanted = target - base_;
  auto call = std::lower_bound(calls_.begin(), calls_.end(), wanted,
                               [](const Call& a, uint64_t b) { return a.target < b; });
  for (; call != calls_.end() && call->target == wanted && found.size() < max; ++call) {
    found.push_back(base_ + call->after);
  }
}

std::vector<LinkAddress> CallSiteIndex::FindCallers(UnitIndex& units, LinkAddress address,
                                                    uint32_t max) {
  Dwarf_Die* const unit = units.FindByAddress(address);
  const FunctionEntry* const function =
      unit == nullptr ? nullptr : units.FindFunction(unit, address);
  if (function == nullptr || max == 0) return {};
  Read();
  std::vector<LinkAddress> found;
  AddCallers(function->entry, max, found);
  const std::string_view name = ExternalName(function->die);
  for (const PltSymbol& slot : plt_) {
    if (!name.empty() && slot.name == name) AddCallers(slot.start, max, found);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace stillframe
