#include "symbolizer/cfi_entries.h"

#include <dwarf.h>

#include <optional>
#include <string>
#include <unordered_map>

namespace stillframe {
namespace {

constexpr uint8_t kEncodingFormat = 0x0f;
constexpr uint8_t kEncodingRelation = 0x70;

class EntryWalk {
 public:
  EntryWalk(const CfiSection& section, const std::function<void(const FrameEntry&)>& visit)
      : section_(section), visit_(visit) {}

  Status Run() {
    for (uint64_t offset = 0; offset < section_.bytes.size();) {
      Envelope envelope;
      if (!ReadEnvelope(offset, envelope)) {
        return Status(Code::kCorrupt,
                      "frame information at offset " + std::to_string(offset) + " is broken");
      }
      // A zero length ends .eh_frame; linkers may leave one between two inputs, so go on after it.
      if (envelope.end != envelope.body && !envelope.is_common) ReadFrame(envelope);
      offset = envelope.end;
    }
    return Status();
  }

 private:
  struct Envelope {
    uint64_t id_position = 0;
    uint64_t body = 0;  // after the id
    uint64_t end = 0;
    uint64_t id = 0;
    uint8_t offset_size = 4;
    bool is_common = false;
  };

  bool ReadEnvelope(uint64_t offset, Envelope& envelope) const {
    ByteReader reader(section_.bytes, offset);
    const uint64_t length = reader.InitialLength(&envelope.offset_size);
    if (!reader.ok() || length > reader.remaining()) return false;
    envelope.id_position = reader.position();
    envelope.end = reader.position() + length;
    if (length == 0) {
      envelope.body = envelope.end;
      return true;
    }
    // .eh_frame keeps 4-byte ids even with 64-bit lengths in GNU tools' reading of the LSB.
    const bool eh = section_.format == CfiFormat::kEhFrame;
    envelope.id = reader.Unsigned(eh ? 4 : envelope.offset_size);
    envelope.body = reader.position();
    envelope.is_common = eh                          ? envelope.id == 0
                         : envelope.offset_size == 4 ? envelope.id == 0xffffffff
                                                     : envelope.id == UINT64_MAX;
    return reader.ok() && envelope.body <= envelope.end;
  }

  const CommonEntry* FindCommon(const Envelope& frame) {
    uint64_t offset = frame.id;
    if (section_.format == CfiFormat::kEhFrame) {  // distance back from the id itself
      if (frame.id > frame.id_position) return nullptr;
      offset = frame.id_position - frame.id;
    }
    const auto [it, added] = commons_.try_emplace(offset);
    if (added) it->second = ReadCommon(offset);
    return it->second ? &*it->second : nullptr;
  }

  std::optional<CommonEntry> ReadCommon(uint64_t offset) const {
    Envelope envelope;
    if (!ReadEnvelope(offset, envelope) || !envelope.is_common) return std::nullopt;
    ByteReader reader(section_.bytes.first(envelope.end), envelope.body);
    CommonEntry common;
    const uint8_t version = reader.U8();
    if (version != 1 && version != 3 && version != 4) return std::nullopt;
    const std::string_view augmentation = reader.CString();
    if (version == 4) {
      const uint8_t address_size = reader.U8();
      const uint8_t segment_size = reader.U8();
      if (address_size != 8 || segment_size != 0) return std::nullopt;
    }
    common.code_alignment = reader.Uleb();
    common.data_alignment = reader.Sleb();
    common.return_address_register = version == 1 ? reader.U8() : reader.Uleb();
    common.program_start = reader.position();
    if (!augmentation.empty() && !ReadAugmentation(augmentation, reader, common)) {
      return std::nullopt;
    }
    common.program_end = envelope.end;
    if (!reader.ok()) return std::nullopt;
    return common;
  }

  bool ReadAugmentation(std::string_view text, ByteReader& reader, CommonEntry& common) const {
    if (text[0] != 'z') return false;
    const uint64_t length = reader.Uleb();
    const uint64_t start = reader.position();
    common.has_augmentation_data = true;
    for (const char letter : text.substr(1)) {
      if (letter == 'R') {
        common.pointer_encoding = reader.U8();
      } else if (letter == 'L') {
        reader.U8();
      } else if (letter == 'P') {
        // The personality routine: its value may be an indirection that only the loader fills.
        const uint8_t encoding = reader.U8();
        ReadEncodedPointer(reader, section_, encoding & (kEncodingFormat | kEncodingRelation));
      } else if (letter == 'S') {
        common.signal_frame = true;
      } else {
        return false;  // may change the meaning of everything after it
      }
    }
    if (!reader.ok() || reader.position() - start > length) return false;
    reader.Skip(length - (reader.position() - start));
    common.program_start = reader.position();
    return reader.ok();
  }

  void ReadFrame(const Envelope& envelope) {
    FrameEntry frame;
    frame.common = FindCommon(envelope);
    if (frame.common == nullptr) return;
    ByteReader reader(section_.bytes.first(envelope.end), envelope.body);
    const uint8_t encoding = frame.common->pointer_encoding;
    const uint64_t start = ReadEncodedPointer(reader, section_, encoding);
    // The length has the pointer's size but is never relative.
    const uint64_t length = ReadEncodedPointer(reader, section_, encoding & kEncodingFormat);
    if (frame.common->has_augmentation_data) reader.Skip(reader.Uleb());
    if (!reader.ok() || length == 0 || start + length < start) return;
    frame.start = LinkAddress(start);
    frame.end = LinkAddress(start + length);
    frame.program_start = reader.position();
    frame.program_end = envelope.end;
    visit_(frame);
  }

  const CfiSection& section_;
  const std::function<void(const FrameEntry&)>& visit_;
  std::unordered_map<uint64_t, std::optional<CommonEntry>> commons_;
};

}  // namespace

uint64_t ReadEncodedPointer(ByteReader& reader, const CfiSection& section, uint8_t encoding) {
  const uint64_t place = section.address.value + reader.position();
  uint64_t value = 0;
  switch (encoding & kEncodingFormat) {
    case DW_EH_PE_absptr:
    case DW_EH_PE_udata8:
    case DW_EH_PE_sdata8:
      value = reader.U64();
      break;
    case DW_EH_PE_udata4:
      value = reader.U32();
      break;
    case DW_EH_PE_sdata4:
      value = static_cast<uint64_t>(int64_t{static_cast<int32_t>(reader.U32())});
      break;
    case DW_EH_PE_udata2:
      value = reader.U16();
      break;
    case DW_EH_PE_sdata2:
      value = static_cast<uint64_t>(int64_t{static_cast<int16_t>(reader.U16())});
      break;
    case DW_EH_PE_uleb128:
      value = reader.Uleb();
      break;
    case DW_EH_PE_sleb128:
      value = static_cast<uint64_t>(reader.Sleb());
      break;
    default:
      reader.Fail();
      break;
  }
  switch (encoding & ~kEncodingFormat) {
    case DW_EH_PE_absptr:
      return value;
    case DW_EH_PE_pcrel:
      return place + value;
    default:
      reader.Fail();
      return 0;  // datarel, textrel, funcrel, indirect: not in linked code
  }
}

Status ForEachFrameEntry(const CfiSection& section,
                         const std::function<void(const FrameEntry&)>& visit) {
  return EntryWalk(section, visit).Run();
}

}  // namespace stillframe
