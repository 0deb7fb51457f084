// What an architecture tells the neutral installer: how a site may be patched and what machine code
// goes where. One implementation per folder below arch/, chosen by CMake.
//
// To add an architecture: implement every function here; nothing outside arch/ looks at machine
// code. All of it is pure computation on the agent thread: it reads no target memory, it patches
// nothing. Errors are kUnsafeSite with a reason a user can read.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_ARCH_H_
#define STILLFRAME_AGENT_PROBE_ARCH_ARCH_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/probe/probe_installer.h"
#include "base/address.h"
#include "base/status.h"

namespace stillframe::probe::arch {

// A plan never depends on more bytes than this, counted from the site.
inline constexpr uint32_t kPatchWindowBytes = 16;
// Bytes before and after the site that AnalyzeSite wants to see when they exist.
inline constexpr uint32_t kContextBytes = 24;
// Upper bounds of what EmitBody and EmitIsland return.
inline constexpr uint32_t kMaxBodyBytes = 512;
inline constexpr uint32_t kMaxIslandBytes = 16;

// The addresses an island may have: first + i * stride for 0 <= i < count.
struct AddressSet {
  uint64_t first = 0;
  uint64_t stride = 1;
  uint64_t count = 0;

  uint64_t last() const { return first + (count - 1) * stride; }
  bool Contains(uint64_t address) const {
    return count != 0 && address >= first && address <= last() && (address - first) % stride == 0;
  }
};

// One way to divert a site. Only bytes [changed_first, changed_end) are written, all of them the
// site's own instruction's; all of [0, dependent_end) must stay as they are while the site is
// armed, because the jump reads them.
struct PatchOption {
  Method method = Method::kNone;
  uint8_t changed_first = 0;
  uint8_t changed_end = 0;
  uint8_t dependent_end = 0;
  uint8_t prefix_bytes = 0;  // padding before the jump's opcode
  AddressSet island;
};

// Why a site was understood, and everything the emitters need to know about it.
class SiteAnalysis {
 public:
  virtual ~SiteAnalysis() = default;
  virtual uint64_t address() const = 0;
  virtual uint32_t instruction_bytes() const = 0;
  virtual std::span<const uint8_t> instruction() const = 0;
  // In order of preference; may be empty.
  virtual const std::vector<PatchOption>& options() const = 0;
  // Control may go on to the instruction behind it.
  virtual bool falls_through() const = 0;
  // Does nothing: NOP of any length.
  virtual bool is_filler() const = 0;
  // The patched site is a call itself: its trampoline expects a return address on the stack.
  virtual bool site_calls() const = 0;
  // The trampoline makes this call in the program's stead, which a hardware shadow stack notices.
  virtual bool replaces_call() const = 0;
};

// Text around a site: `before` ends where the site begins, `at` starts there. Both may be shorter
// than kContextBytes at the end of a mapping.
struct SiteText {
  std::span<const uint8_t> before;
  std::span<const uint8_t> at;
  uint64_t address = 0;
};

// Length of the instruction that `text` begins with; 0 when it is cut off or none that is known.
// Says nothing about whether it may be probed.
uint32_t InstructionBytes(std::span<const uint8_t> text);

// Understands the one instruction at the site. kUnsafeSite names the mnemonic or the reason.
Result<std::unique_ptr<SiteAnalysis>> AnalyzeSite(const SiteText& text);

// The options when `window` are the bytes from the site on (the site's own instruction unchanged,
// those behind it maybe patched).
std::vector<PatchOption> OptionsWith(const SiteAnalysis& site, std::span<const uint8_t> window);

// The first kPatchWindowBytes of the site once patched; `original` are the bytes now.
using PatchWindow = std::array<uint8_t, kPatchWindowBytes>;
PatchWindow PatchedWindow(const SiteAnalysis& site, const PatchOption& option, uint64_t island,
                          const PatchWindow& original);

// Code to be written, and what unwinders are told of it: the contents of an .eh_frame section, see
// frame_table.h.
struct EmittedCode {
  std::vector<uint8_t> bytes;
  std::vector<uint8_t> frames;
};

// The trampoline's body as it must stand at `body_address`: goes on at runtime->entry, which is the
// part that saves the registers, calls hit(runtime, register file) and restores them, or probe code
// (below); runs the displaced instruction, goes back. At most 350 bytes of the application's stack
// are used before `hit` runs, the red zone included. Fills `runtime` in but for its list.
// kUnsafeSite when something it must reach is out of range from there.
Result<EmittedCode> EmitBody(const SiteAnalysis& site, uint64_t body_address,
                             hit::SiteRuntime* runtime, HitFunction hit,
                             const hit::CodeLayout& layout);

// Code for runtime->entry, as it must stand at `address`. It counts hits whose condition is false
// (and, with kCount, the others), writes records of kLog, and leaves everything else to the hit
// path. kUnsupported names what it cannot do: then the entry stays full_entry.
Result<EmittedCode> EmitProbeCode(const ProbeCodeSpec& spec, uint64_t address,
                                  const SiteAnalysis& analysis, const hit::SiteRuntime& site,
                                  const hit::CodeLayout& layout);

// The jump from the site's island to its body.
EmittedCode EmitIsland(const SiteAnalysis& site, uint64_t island_address, uint64_t body_address);
// How many bytes that will be.
uint32_t IslandBytes(uint64_t island_address, uint64_t body_address);

// What stands at the head of a site while its tail is rewritten: threads that arrive wait there.
std::span<const uint8_t> GuardBytes();

// One byte that raises SIGTRAP.
std::span<const uint8_t> TrapBytes();
// In a handler of SIGTRAP: where the trap stands that `context` (ucontext_t) tells of, and going on
// elsewhere with everything else as it was. Async-signal-safe.
uint64_t TrapAddress(const void* context);
void ResumeAt(void* context, uint64_t address);

// Whether a relocation of this ELF type makes a word the address of an imported function.
bool IsFunctionImport(uint32_t relocation_type);

// True when the hardware checks return addresses of this thread against a copy of its own.
bool ShadowStackActive();

// A function without arguments that returns `value`: the self-test patches and runs it.
std::vector<uint8_t> EmitConstantFunction(uint8_t value);

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_ARCH_H_
