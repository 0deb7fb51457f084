// Which stores divert a site. Only bytes of the one instruction may change; what a jump needs
// beyond them it shares with the instructions that follow ("punning"), and those bytes then choose
// where the island lies.
#include <algorithm>
#include <cstring>

#include "agent/probe/arch/x86_64/site.h"

namespace stillframe::probe::arch {
namespace {

constexpr uint32_t kWordBytes = 8;
constexpr uint8_t kJumpOpcode = 0xE9;
// CS override: ignored by near jumps in 64-bit mode. It moves the displacement by one byte.
constexpr uint8_t kPadding = 0x2E;
constexpr uint8_t kMaxPadding = 3;
// What user space can map, islands included: above the lowest pages, below the canonical hole.
constexpr int64_t kLowestIsland = 0x10000;
constexpr int64_t kHighestIsland = 0x7FFFFFFFF000 - kMaxIslandBytes;

int32_t ReadDisplacement(const uint8_t* bytes) {
  int32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// base + every rel32 whose bytes outside [free_first, free_end) are those of `fixed`, clipped to
// what can be mapped. The free bytes are at one end of the four.
AddressSet Reachable(uint64_t base, int32_t fixed, uint32_t free_first, uint32_t free_end) {
  const uint64_t free_bits = 8 * (free_end - free_first);
  const uint64_t stride = uint64_t{1} << (8 * free_first);
  const uint64_t mask = ((uint64_t{1} << free_bits) - 1) << (8 * free_first);
  auto lowest = static_cast<int64_t>(static_cast<uint32_t>(fixed) & ~mask);
  if (free_end == 4 && free_bits != 0) {
    lowest -= int64_t{1} << 31;  // the sign bit is free: the set is centred on the base
  } else {
    lowest = static_cast<int32_t>(lowest);
  }
  int64_t first = static_cast<int64_t>(base) + lowest;
  auto count = static_cast<int64_t>(uint64_t{1} << free_bits);
  const auto step = static_cast<int64_t>(stride);
  if (first < kLowestIsland) {
    const int64_t skip = (kLowestIsland - first + step - 1) / step;
    first += skip * step;
    count -= skip;
  }
  if (first > kHighestIsland || count <= 0) return AddressSet{};
  count = std::min(count, (kHighestIsland - first) / step + 1);
  return AddressSet{static_cast<uint64_t>(first), stride, static_cast<uint64_t>(count)};
}

uint32_t BytesToWordEnd(uint64_t address) {
  return kWordBytes - static_cast<uint32_t>(address % kWordBytes);
}

// E8 stays; the displacement's bytes in one aligned word change. When it straddles two words the
// low bytes or the high bytes keep their values, which leaves thousands of places for an island.
std::vector<PatchOption> CallOptions(const X86Site& site) {
  const uint8_t length = site.insn().length;
  const auto field = static_cast<uint8_t>(length - 4);
  const int32_t original = ReadDisplacement(site.insn().bytes + field);
  const uint32_t in_first_word = std::min(4u, BytesToWordEnd(site.address() + field));
  std::vector<PatchOption> options;
  auto add = [&](uint32_t first, uint32_t end) {
    PatchOption option{Method::kCallRetarget,
                       static_cast<uint8_t>(field + first),
                       static_cast<uint8_t>(field + end),
                       length,
                       0,
                       {}};
    option.island = Reachable(site.end(), original, first, end);
    if (option.island.count != 0) options.push_back(option);
  };
  if (in_first_word == 4) {
    add(0, 4);
  } else {
    add(in_first_word, 4);
    add(0, in_first_word);
  }
  return options;
}

// The jump's bytes start behind `padding` prefixes; the first `changed` bytes of the site are
// written, the rest of the displacement is what stands there.
void AddJump(const X86Site& site, std::span<const uint8_t> window, uint8_t padding, uint8_t changed,
             Method method, std::vector<PatchOption>& options) {
  const uint8_t jump_end = padding + 5;
  if (jump_end > window.size() || changed <= padding) return;
  const int32_t original = ReadDisplacement(window.data() + padding + 1);
  const auto free_bytes = static_cast<uint32_t>(std::min<int>(changed - padding - 1, 4));
  PatchOption option{method, 0, changed, std::max(jump_end, site.insn().length), padding, {}};
  option.island = Reachable(site.address() + jump_end, original, 0, free_bytes);
  if (option.island.count != 0) options.push_back(option);
}

std::vector<PatchOption> JumpOptions(const X86Site& site, std::span<const uint8_t> window) {
  std::vector<PatchOption> options;
  const uint8_t length = site.insn().length;
  const auto in_word = static_cast<uint8_t>(BytesToWordEnd(site.address()));
  const uint8_t max_padding = std::min<uint8_t>(length - 1, kMaxPadding);
  AddJump(site, window, 0, 1, Method::kExactPun, options);
  for (uint8_t padding = 0; padding <= max_padding; ++padding) {
    const uint8_t changed = std::min({length, static_cast<uint8_t>(padding + 5), in_word});
    if (changed > 1) AddJump(site, window, padding, changed, Method::kAlignedStore, options);
  }
  // The guard is two bytes long and has to be one store itself.
  if (in_word < 2) return options;
  for (uint8_t padding = 0; padding <= max_padding; ++padding) {
    const uint8_t changed = std::min<uint8_t>(length, padding + 5);
    if (changed > in_word) AddJump(site, window, padding, changed, Method::kGuarded, options);
  }
  return options;
}

// mov rax, 15; syscall: signal return. Unwinders and debuggers know it by these very bytes.
bool IsSignalReturn(const SiteText& text) {
  static constexpr uint8_t kBytes[] = {0x48, 0xC7, 0xC0, 0x0F, 0x00, 0x00, 0x00, 0x0F, 0x05};
  const std::span<const uint8_t> pattern(kBytes);
  auto starts_with = [](std::span<const uint8_t> bytes, std::span<const uint8_t> head) {
    return bytes.size() >= head.size() && std::equal(head.begin(), head.end(), bytes.begin());
  };
  if (starts_with(text.at, pattern)) return true;
  return text.before.size() >= 7 && starts_with(text.before.last(7), pattern.first(7)) &&
         starts_with(text.at, pattern.subspan(7));
}

// glibc skips the LOCK prefix while there is one thread, by a branch into the instruction (malloc,
// the loader): no byte of such an instruction may change.
//   74 01     je   1f
//   f0        lock
//   48 0f b1  1: cmpxchg
bool IsLockSkipped(const Instruction& insn, const SiteText& text) {
  const size_t size = text.before.size();
  return insn.lock && size >= 2 && (text.before[size - 2] & 0xF0) == 0x70 &&
         text.before[size - 1] == 0x01;
}

}  // namespace

std::vector<PatchOption> PatchOptions(const X86Site& site, std::span<const uint8_t> window) {
  if (site.flow() == Flow::kCallDirect) return CallOptions(site);
  return JumpOptions(site, window);
}

Result<std::unique_ptr<SiteAnalysis>> AnalyzeSite(const SiteText& text) {
  const auto insn = DecodeInstruction(text.at);
  if (!insn) return Status(Code::kUnsafeSite, "the bytes there are no instruction that is known");
  if (IsSignalReturn(text)) {
    return Status(Code::kUnsafeSite, "signal return must not be changed: unwinders look for it");
  }
  if (IsLockSkipped(*insn, text)) {
    return Status(Code::kUnsafeSite, "a branch leads into the instruction, behind its lock prefix");
  }
  SF_ASSIGN_OR_RETURN(const Flow flow, CheckAllowed(*insn, text.address));
  auto site = std::make_unique<X86Site>(text.address, *insn, flow);
  const size_t window = std::min<size_t>(text.at.size(), kPatchWindowBytes);
  site->set_options(PatchOptions(*site, text.at.first(window)));
  if (site->options().empty()) {
    return Status(Code::kUnsafeSite,
                  "the bytes there allow no jump to an address that can be "
                  "mapped");
  }
  return std::unique_ptr<SiteAnalysis>(std::move(site));
}

PatchWindow PatchedWindow(const SiteAnalysis& analysis, const PatchOption& option, uint64_t island,
                          const PatchWindow& original) {
  const auto& site = static_cast<const X86Site&>(analysis);
  PatchWindow full = original;
  uint32_t field = site.insn().length - 4u;
  if (option.method != Method::kCallRetarget) {
    std::fill_n(full.begin(), option.prefix_bytes, kPadding);
    full[option.prefix_bytes] = kJumpOpcode;
    field = option.prefix_bytes + 1u;
  }
  const auto displacement = static_cast<uint32_t>(island - (site.address() + field + 4));
  std::memcpy(full.data() + field, &displacement, sizeof displacement);
  PatchWindow window = original;
  std::copy(full.begin() + option.changed_first, full.begin() + option.changed_end,
            window.begin() + option.changed_first);
  return window;
}

}  // namespace stillframe::probe::arch
