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
constexpr uint8_t kCallOpcode = 0xE8;
// CS override: ignored by near jumps and calls in 64-bit mode. It moves the displacement by one
// byte. Which of the ignored prefixes stands there makes no difference to the displacement.
constexpr uint8_t kPadding = 0x2E;
constexpr uint8_t kMaxPadding = kMaxInstructionBytes - 5;
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

// Bytes that the instruction begins with and that near jumps ignore in 64-bit mode: segment
// overrides (SDM volume 2 §2.1.1), then REX, which counts only right before an opcode (§2.2.1).
// They can stay where they are in front of the jump. 66 cannot (AMD shortens the target), F2 is
// BND, F3 and LOCK mean nothing there or raise #UD.
struct OwnPrefixes {
  uint8_t count = 0;
  bool ends_in_rex = false;
};
OwnPrefixes FindOwnPrefixes(const Instruction& insn) {
  OwnPrefixes own;
  static constexpr uint8_t kSegments[] = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65};
  while (own.count < insn.opcode_offset &&
         std::find(std::begin(kSegments), std::end(kSegments), insn.bytes[own.count]) !=
             std::end(kSegments)) {
    ++own.count;
  }
  if (insn.rex != 0 && own.count < insn.opcode_offset && insn.bytes[own.count] == insn.rex) {
    ++own.count;
    own.ends_in_rex = true;
  }
  return own;
}

// Builds the list of options for one site. Bytes [kept, padding) become padding, then comes the
// opcode, then the displacement, of which only what lies before `changed_end` is free.
class OptionList {
 public:
  OptionList(const X86Site& site, std::span<const uint8_t> window) : site_(site), window_(window) {}

  void Add(Method method, uint8_t kept, uint8_t padding, uint8_t changed_end) {
    const auto end = static_cast<uint8_t>(padding + 5);
    if (end > window_.size() || changed_end <= padding) return;
    const int32_t original = ReadDisplacement(window_.data() + padding + 1);
    const auto free_bytes = static_cast<uint32_t>(std::min<int>(changed_end - padding - 1, 4));
    const uint8_t dependent_end = std::max(end, site_.insn().length);
    PatchOption option{method, kept, changed_end, dependent_end, padding, {}};
    option.island = Reachable(site_.address() + end, original, 0, free_bytes);
    if (option.island.count != 0) options_.push_back(option);
  }
  // The instruction is E8 or E9 already: bytes [first, end) of its displacement change.
  void AddRetarget(Method method, uint32_t first, uint32_t end) {
    const uint8_t length = site_.insn().length;
    const auto field = static_cast<uint8_t>(length - 4);
    const int32_t original = ReadDisplacement(window_.data() + field);
    PatchOption option{
        method, static_cast<uint8_t>(field + first), static_cast<uint8_t>(field + end),
        length, static_cast<uint8_t>(field - 1),     {}};
    option.island = Reachable(site_.end(), original, first, end);
    if (option.island.count != 0) options_.push_back(option);
  }
  // The guard is two bytes long and has to be one store itself.
  bool CanGuard() const { return BytesToWordEnd(site_.address()) >= 2; }
  std::vector<PatchOption> Take() && { return std::move(options_); }

 private:
  const X86Site& site_;
  std::span<const uint8_t> window_;
  std::vector<PatchOption> options_;
};

// E8 (E9) stays; the displacement's bytes in one aligned word change. When it straddles two words
// the low bytes or the high bytes keep their values, which leaves thousands of places for an
// island.
void AddRetargets(const X86Site& site, Method method, OptionList& options) {
  const auto field = static_cast<uint8_t>(site.insn().length - 4);
  const uint32_t in_first_word = std::min(4u, BytesToWordEnd(site.address() + field));
  if (in_first_word == 4) {
    options.AddRetarget(method, 0, 4);
    return;
  }
  const Method guarded = method == Method::kAlignedStore ? Method::kGuarded : method;
  options.AddRetarget(method, in_first_word, 4);
  options.AddRetarget(method, 0, in_first_word);
  if (options.CanGuard()) options.AddRetarget(guarded, 0, 4);
}

// An indirect call of five bytes or more becomes a direct one of the same length, so the return
// address is the original's:
//   ff 15 d0 d1 d2 d3   call [rip+d]      ->   2e e8 D0 D1 D2 D3   call island
void AddPaddedCalls(const X86Site& site, OptionList& options) {
  const uint8_t length = site.insn().length;
  const auto padding = static_cast<uint8_t>(length - 5);
  const auto in_word = static_cast<uint8_t>(std::min(16u, BytesToWordEnd(site.address())));
  options.Add(Method::kCallRetarget, 0, padding, std::min(length, in_word));
  if (length > in_word && options.CanGuard()) {
    options.Add(Method::kCallRetarget, 0, padding, length);
  }
}

void AddJumps(const X86Site& site, OptionList& options) {
  const Instruction& insn = site.insn();
  const OwnPrefixes own = FindOwnPrefixes(insn);
  const uint8_t max_padding = std::min<uint8_t>(insn.length - 1, kMaxPadding);
  const auto in_word = static_cast<uint8_t>(BytesToWordEnd(site.address()));
  auto end_of = [&](uint8_t padding) {
    return std::min<uint8_t>(insn.length, static_cast<uint8_t>(padding + 5));
  };
  for (uint8_t kept = 0; kept <= own.count && kept <= max_padding; ++kept) {
    options.Add(Method::kExactPun, kept, kept, static_cast<uint8_t>(kept + 1));
  }
  // Hand-written code jumps over a LOCK prefix when there is one thread, so what follows it must
  // stay an instruction: only the prefix itself may change.
  if (insn.lock) return;
  if (insn.legacy(OpcodeMap::kOneByte, kJumpOpcode)) {
    AddRetargets(site, Method::kAlignedStore, options);
  }
  for (uint8_t padding = 0; padding <= max_padding; ++padding) {
    options.Add(Method::kAlignedStore, 0, padding, std::min(end_of(padding), in_word));
  }
  for (uint8_t kept = 1; kept <= own.count; ++kept) {
    const uint8_t word_end = kept + static_cast<uint8_t>(BytesToWordEnd(site.address() + kept));
    // What is kept must go on being what the jump ignores: nothing may come behind a REX.
    const bool rex = own.ends_in_rex && kept == own.count;
    for (uint8_t padding = kept; padding <= (rex ? kept : max_padding); ++padding) {
      options.Add(Method::kAlignedStore, kept, padding, std::min(end_of(padding), word_end));
    }
  }
  if (!options.CanGuard()) return;
  for (uint8_t padding = 0; padding <= max_padding; ++padding) {
    if (end_of(padding) > in_word) options.Add(Method::kGuarded, 0, padding, end_of(padding));
  }
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
  OptionList options(site, window);
  if (site.flow() == Flow::kCallDirect) {
    AddRetargets(site, Method::kCallRetarget, options);
  } else if (site.site_calls()) {
    AddPaddedCalls(site, options);
  } else {
    AddJumps(site, options);
  }
  return std::move(options).Take();
}

std::vector<PatchOption> OptionsWith(const SiteAnalysis& analysis,
                                     std::span<const uint8_t> window) {
  const auto& site = static_cast<const X86Site&>(analysis);
  return PatchOptions(site, window.first(std::min<size_t>(window.size(), kPatchWindowBytes)));
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
  return std::unique_ptr<SiteAnalysis>(std::move(site));
}

PatchWindow PatchedWindow(const SiteAnalysis& analysis, const PatchOption& option, uint64_t island,
                          const PatchWindow& original) {
  const auto& site = static_cast<const X86Site&>(analysis);
  PatchWindow full = original;
  uint32_t field = site.insn().length - 4u;
  if (site.flow() != Flow::kCallDirect) {
    std::fill_n(full.begin(), option.prefix_bytes, kPadding);
    full[option.prefix_bytes] = option.method == Method::kCallRetarget ? kCallOpcode : kJumpOpcode;
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
