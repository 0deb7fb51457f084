// Call frame information for trampolines, so that unwinders (exceptions out of signal handlers,
// forced unwinding, profilers, debuggers) get from a pc inside one to the probed function.
//
// To an unwinder a trampoline is a frame of its own, and the probed function its caller: at the
// site itself while the displaced instruction has not run, behind it afterwards. Such a frame is
// marked as a signal frame (augmentation 'S'), because the caller's pc is the address where it
// goes on and not a return address, so that it must not be looked up one byte before.
// After a retargeted call the return address is on the stack, and the frame is an ordinary one.
#ifndef STILLFRAME_AGENT_PROBE_ARCH_X86_64_TRAMPOLINE_CFI_H_
#define STILLFRAME_AGENT_PROBE_ARCH_X86_64_TRAMPOLINE_CFI_H_

#include <cstdint>
#include <span>
#include <vector>

namespace stillframe::probe::arch {

inline constexpr uint8_t kDwarfRbx = 3, kDwarfRsp = 7;  // psABI figure 3.36

// Where the application's value of a register is kept: at CFA + cfa_offset (a multiple of 8).
struct SavedRegister {
  uint8_t dwarf_register = 0;
  int32_t cfa_offset = 0;
  friend bool operator==(const SavedRegister&, const SavedRegister&) = default;
};

// What holds from code_offset on, up to the next row. The CFA is the stack pointer at the site
// (after the return for a retargeted call): register + cfa_offset, which is never negative.
// Registers that are not listed have the application's values.
struct CfiRow {
  uint32_t code_offset = 0;
  uint8_t cfa_register = kDwarfRsp;
  uint32_t cfa_offset = 0;
  uint64_t resume_address = 0;  // where the application goes on; 0: the return address at CFA - 8
  std::vector<SavedRegister> saved;  // ascending
  friend bool operator==(const CfiRow&, const CfiRow&) = default;
};

// A body or an island. Rows ascend and the first is at offset 0; either all of them have a
// resume_address or none has.
struct CfiRange {
  uint64_t start = 0;
  uint32_t size_bytes = 0;
  std::vector<CfiRow> rows;
};

// The contents of an .eh_frame section (LSB "Exception Frames"; DWARF 5 §6.4) with absolute
// addresses, so that it may stand anywhere: common entries, one frame entry per range, and the
// zero length that ends it.
std::vector<uint8_t> EncodeEhFrame(std::span<const CfiRange> ranges);

}  // namespace stillframe::probe::arch

#endif  // STILLFRAME_AGENT_PROBE_ARCH_X86_64_TRAMPOLINE_CFI_H_
