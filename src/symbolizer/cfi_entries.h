// Entries of .eh_frame and .debug_frame (LSB "Exception Frames"; DWARF 5 §6.4.1), without running
// them.
#ifndef STILLFRAME_SYMBOLIZER_CFI_ENTRIES_H_
#define STILLFRAME_SYMBOLIZER_CFI_ENTRIES_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "base/address.h"
#include "base/status.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {

enum class CfiFormat { kEhFrame, kDebugFrame };

struct CfiSection {
  ByteSpan bytes;
  LinkAddress address;  // where the section is loaded: base of pc-relative pointers
  CfiFormat format = CfiFormat::kEhFrame;
};

struct CommonEntry {
  uint64_t code_alignment = 1;
  int64_t data_alignment = 1;
  uint64_t return_address_register = 16;
  uint8_t pointer_encoding = 0;  // DW_EH_PE_* of addresses in frame entries and DW_CFA_set_loc
  bool has_augmentation_data = false;
  bool signal_frame = false;   // augmentation 'S'
  uint64_t program_start = 0;  // [start, end) of the initial instructions in the section
  uint64_t program_end = 0;
};

struct FrameEntry {
  const CommonEntry* common = nullptr;  // valid during the call of `visit` only
  LinkAddress start;
  LinkAddress end;
  uint64_t program_start = 0;
  uint64_t program_end = 0;
};

// Reads a pointer (LSB "DW_EH_PE_*"); fails the reader for encodings that have no meaning in a
// file.
uint64_t ReadEncodedPointer(ByteReader& reader, const CfiSection& section, uint8_t encoding);

// Calls `visit` for each frame entry. Entries with an unknown augmentation are skipped; kCorrupt
// when the chain of lengths breaks (what came before was visited).
Status ForEachFrameEntry(const CfiSection& section,
                         const std::function<void(const FrameEntry&)>& visit);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_CFI_ENTRIES_H_
