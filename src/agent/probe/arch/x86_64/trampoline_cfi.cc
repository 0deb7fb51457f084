#include "agent/probe/arch/x86_64/trampoline_cfi.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

namespace stillframe::probe::arch {
namespace {

constexpr uint8_t kReturnAddress = 16;  // psABI figure 3.36
constexpr int32_t kDataAlignment = -8;

// DW_CFA_* (DWARF 5 §7.24)
constexpr uint8_t kAdvanceLoc4 = 0x04;
constexpr uint8_t kDefCfa = 0x0C;
constexpr uint8_t kDefCfaOffset = 0x0E;
constexpr uint8_t kOffsetExtendedSf = 0x11;
constexpr uint8_t kValExpression = 0x16;
constexpr uint8_t kAdvanceLoc = 0x40;  // | bytes of code
constexpr uint8_t kRestore = 0xC0;     // | register
constexpr uint8_t kOffset = 0x80;      // | register
constexpr uint8_t kNop = 0x00;
constexpr uint8_t kOpConst8u = 0x0E;
constexpr uint8_t kPointerAbsolute = 0x00;  // DW_EH_PE_absptr

class Bytes {
 public:
  explicit Bytes(std::vector<uint8_t>& out) : out_(out) {}

  void U8(uint8_t value) { out_.push_back(value); }
  void U32(uint32_t value) { Raw(&value, sizeof value); }
  void U64(uint64_t value) { Raw(&value, sizeof value); }
  void Uleb(uint64_t value) {
    do {
      const auto low = static_cast<uint8_t>(value & 0x7F);
      value >>= 7;
      U8(value != 0 ? low | 0x80 : low);
    } while (value != 0);
  }
  void Sleb(int64_t value) {
    for (;;) {
      const auto low = static_cast<uint8_t>(value & 0x7F);
      value >>= 7;
      const bool last = (value == 0 && (low & 0x40) == 0) || (value == -1 && (low & 0x40) != 0);
      U8(last ? low : low | 0x80);
      if (last) return;
    }
  }
  void Text(std::string_view text) {
    Raw(text.data(), text.size());
    U8(0);
  }
  size_t size() const { return out_.size(); }

 private:
  void Raw(const void* bytes, size_t size) {
    const auto* const first = static_cast<const uint8_t*>(bytes);
    out_.insert(out_.end(), first, first + size);
  }
  std::vector<uint8_t>& out_;
};

// Writes the length in front of what `body` writes, padded to the pointer size. Returns its offset.
template <typename Body>
size_t Entry(std::vector<uint8_t>& out, Body body) {
  const size_t start = out.size();
  Bytes bytes(out);
  bytes.U32(0);
  body(bytes);
  while (out.size() % 8 != 0) bytes.U8(kNop);
  const auto length = static_cast<uint32_t>(out.size() - start - 4);
  std::memcpy(out.data() + start, &length, sizeof length);
  return start;
}

size_t EmitCommon(std::vector<uint8_t>& out, bool signal_frame) {
  return Entry(out, [&](Bytes& bytes) {
    bytes.U32(0);  // a common entry
    bytes.U8(1);   // version
    bytes.Text(signal_frame ? "zRS" : "zR");
    bytes.Uleb(1);
    bytes.Sleb(kDataAlignment);
    bytes.U8(kReturnAddress);
    bytes.Uleb(1);
    bytes.U8(kPointerAbsolute);
    bytes.U8(kDefCfa);
    bytes.Uleb(kDwarfRsp);
    bytes.Uleb(signal_frame ? 0 : 8);
    bytes.U8(kOffset | kReturnAddress);
    bytes.Uleb(1);  // CFA - 8
  });
}

bool Saves(const CfiRow& row, uint8_t dwarf_register) {
  return std::any_of(row.saved.begin(), row.saved.end(), [&](const SavedRegister& saved) {
    return saved.dwarf_register == dwarf_register;
  });
}

void Advance(Bytes& bytes, uint32_t code_bytes) {
  if (code_bytes < 0x40) return bytes.U8(static_cast<uint8_t>(kAdvanceLoc | code_bytes));
  bytes.U8(kAdvanceLoc4);
  bytes.U32(code_bytes);
}

// Only what is new in `row`.
void EmitRow(Bytes& bytes, const CfiRow* previous, const CfiRow& row) {
  if (previous != nullptr && previous->cfa_register == row.cfa_register) {
    if (previous->cfa_offset != row.cfa_offset) {
      bytes.U8(kDefCfaOffset);
      bytes.Uleb(row.cfa_offset);
    }
  } else {
    bytes.U8(kDefCfa);
    bytes.Uleb(row.cfa_register);
    bytes.Uleb(row.cfa_offset);
  }
  const uint64_t resumed = previous == nullptr ? 0 : previous->resume_address;
  if (row.resume_address != resumed) {
    bytes.U8(kValExpression);
    bytes.Uleb(kReturnAddress);
    bytes.Uleb(9);
    bytes.U8(kOpConst8u);
    bytes.U64(row.resume_address);
  }
  for (const SavedRegister& saved : row.saved) {
    const bool known =
        previous != nullptr &&
        std::find(previous->saved.begin(), previous->saved.end(), saved) != previous->saved.end();
    if (known) continue;
    bytes.U8(kOffsetExtendedSf);
    bytes.Uleb(saved.dwarf_register);
    bytes.Sleb(saved.cfa_offset / kDataAlignment);
  }
  if (previous == nullptr) return;
  for (const SavedRegister& saved : previous->saved) {
    if (!Saves(row, saved.dwarf_register)) bytes.U8(kRestore | saved.dwarf_register);
  }
}

void EmitFrame(std::vector<uint8_t>& out, const CfiRange& range, size_t common) {
  Entry(out, [&](Bytes& bytes) {
    bytes.U32(static_cast<uint32_t>(bytes.size() - common));  // from this field back
    bytes.U64(range.start);
    bytes.U64(range.size_bytes);
    bytes.Uleb(0);  // augmentation data
    const CfiRow* previous = nullptr;
    for (const CfiRow& row : range.rows) {
      if (previous != nullptr) {
        Advance(bytes, row.code_offset - previous->code_offset);
      }
      EmitRow(bytes, previous, row);
      previous = &row;
    }
  });
}

}  // namespace

std::vector<uint8_t> EncodeEhFrame(std::span<const CfiRange> ranges) {
  std::vector<uint8_t> out;
  std::optional<size_t> common[2];  // of frames that return, and of those that resume
  for (const CfiRange& range : ranges) {
    if (range.rows.empty()) continue;
    const bool resumes = range.rows[0].resume_address != 0;
    if (!common[resumes]) common[resumes] = EmitCommon(out, resumes);
    EmitFrame(out, range, *common[resumes]);
  }
  Bytes(out).U32(0);
  return out;
}

}  // namespace stillframe::probe::arch
