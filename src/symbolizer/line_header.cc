#include "symbolizer/line_header.h"

#include <dwarf.h>

#include <string>

namespace stillframe {
namespace {

// A file table entry needs at least one byte of the section, but formats with no fields at all need
// none: this bounds the loops.
constexpr uint64_t kMaxEntries = 1u << 20;
constexpr uint64_t kMaxFormats = 255;

struct EntryFormat {
  uint64_t content = 0;  // DW_LNCT_*
  uint64_t form = 0;     // DW_FORM_*
};

// One field of a version 5 entry.
struct Field {
  std::string_view text;
  uint64_t number = 0;
  ByteSpan bytes;
};

std::string_view StringAt(ByteSpan section, uint64_t offset) {
  return ByteReader(section, offset).CString();
}

Field ReadField(uint64_t form, uint8_t offset_size, const LineSections& sections,
                ByteReader& reader) {
  Field field;
  switch (form) {
    case DW_FORM_string:
      field.text = reader.CString();
      break;
    case DW_FORM_line_strp:
      field.text = StringAt(sections.line_strings, reader.Unsigned(offset_size));
      break;
    case DW_FORM_strp:
      field.text = StringAt(sections.strings, reader.Unsigned(offset_size));
      break;
    case DW_FORM_udata:
      field.number = reader.Uleb();
      break;
    case DW_FORM_sdata:
      field.number = static_cast<uint64_t>(reader.Sleb());
      break;
    case DW_FORM_data1:
      field.number = reader.U8();
      break;
    case DW_FORM_data2:
      field.number = reader.U16();
      break;
    case DW_FORM_data4:
      field.number = reader.U32();
      break;
    case DW_FORM_data8:
      field.number = reader.U64();
      break;
    case DW_FORM_data16:
      field.bytes = reader.Bytes(16);
      break;
    case DW_FORM_block:
      field.bytes = reader.Bytes(reader.Uleb());
      break;
    case DW_FORM_block1:
      field.bytes = reader.Bytes(reader.U8());
      break;
    case DW_FORM_block2:
      field.bytes = reader.Bytes(reader.U16());
      break;
    case DW_FORM_block4:
      field.bytes = reader.Bytes(reader.U32());
      break;
    // Names through .debug_str_offsets are legal but no compiler writes them here: the name stays
    // unknown, the table stays readable.
    case DW_FORM_strx:
      reader.Uleb();
      break;
    case DW_FORM_strx1:
      reader.Skip(1);
      break;
    case DW_FORM_strx2:
      reader.Skip(2);
      break;
    case DW_FORM_strx3:
      reader.Skip(3);
      break;
    case DW_FORM_strx4:
      reader.Skip(4);
      break;
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
      reader.Skip(offset_size);
      break;
    default:
      reader.Fail();
      break;
  }
  return field;
}

std::vector<EntryFormat> ReadFormats(ByteReader& reader) {
  const uint64_t count = reader.U8();
  static_assert(kMaxFormats == 255);
  std::vector<EntryFormat> formats;
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    const uint64_t content = reader.Uleb();
    formats.push_back({content, reader.Uleb()});
  }
  return formats;
}

LineFile ReadEntry(const std::vector<EntryFormat>& formats, uint8_t offset_size,
                   const LineSections& sections, ByteReader& reader) {
  LineFile file;
  for (const EntryFormat& format : formats) {
    const Field field = ReadField(format.form, offset_size, sections, reader);
    if (format.content == DW_LNCT_path) file.name = field.text;
    if (format.content == DW_LNCT_directory_index) file.folder = field.number;
    if (format.content == DW_LNCT_MD5 && field.bytes.size() == file.md5.size()) {
      file.has_md5 = true;
      memcpy(file.md5.data(), field.bytes.data(), file.md5.size());
    }
  }
  return file;
}

// Version 5 §6.2.4 items 14 to 21.
void ReadTables5(const LineSections& sections, uint8_t offset_size, ByteReader& reader,
                 LineHeader& header) {
  std::vector<EntryFormat> formats = ReadFormats(reader);
  const uint64_t folder_count = reader.Uleb();
  if (folder_count > kMaxEntries || (formats.empty() && folder_count != 0)) return reader.Fail();
  for (uint64_t i = 0; i < folder_count && reader.ok(); ++i) {
    header.folders.push_back(ReadEntry(formats, offset_size, sections, reader).name);
  }
  formats = ReadFormats(reader);
  const uint64_t file_count = reader.Uleb();
  if (file_count > kMaxEntries || (formats.empty() && file_count != 0)) return reader.Fail();
  for (uint64_t i = 0; i < file_count && reader.ok(); ++i) {
    header.files.push_back(ReadEntry(formats, offset_size, sections, reader));
  }
}

// Versions 2 to 4: NUL-terminated lists, counted from 1.
void ReadTables4(ByteReader& reader, LineHeader& header) {
  header.folders.emplace_back();
  while (reader.ok() && header.folders.size() < kMaxEntries) {
    const std::string_view folder = reader.CString();
    if (folder.empty()) break;
    header.folders.push_back(folder);
  }
  header.files.emplace_back();
  while (reader.ok() && header.files.size() < kMaxEntries) {
    LineFile file;
    file.name = reader.CString();
    if (file.name.empty()) break;
    file.folder = reader.Uleb();
    reader.Uleb();  // time of last change
    reader.Uleb();  // length
    header.files.push_back(file);
  }
}

void ReadFixedPart(ByteReader& reader, LineHeader& header) {
  header.min_instruction_length = reader.U8();
  header.max_operations = header.version >= 4 ? reader.U8() : 1;
  header.default_is_stmt = reader.U8() != 0;
  header.line_base = reader.S8();
  header.line_range = reader.U8();
  header.opcode_base = reader.U8();
  for (unsigned opcode = 1; opcode < header.opcode_base; ++opcode) {
    header.opcode_lengths[opcode] = reader.U8();
  }
  // x86-64 is not a VLIW; a line range of 0 would be a division by zero in special opcodes.
  if (header.line_range == 0 || header.max_operations == 0 || header.opcode_base == 0) {
    reader.Fail();
  }
}

Status CorruptHeader(uint64_t offset, const char* what) {
  return Status(Code::kCorrupt, ".debug_line header at " + std::to_string(offset) + ": " + what);
}

}  // namespace

Status ReadLineHeader(const LineSections& sections, uint64_t offset, LineHeader& header,
                      uint64_t& next) {
  next = 0;
  header.folders.clear();
  header.files.clear();
  header.offset = offset;
  ByteReader outer(sections.line, offset);
  uint8_t offset_size = 4;
  const uint64_t length = outer.InitialLength(&offset_size);
  if (!outer.ok() || length > outer.remaining()) return CorruptHeader(offset, "bad length");
  header.program_end = outer.position() + length;
  next = header.program_end;

  ByteReader reader(sections.line.first(header.program_end), outer.position());
  header.version = reader.U16();
  if (header.version < 2 || header.version > 5) return CorruptHeader(offset, "unknown version");
  header.address_size = 8;
  if (header.version >= 5) {
    header.address_size = reader.U8();
    reader.Skip(1);  // segment selector size
  }
  const uint64_t header_length = reader.Unsigned(offset_size);
  if (!reader.ok() || header_length > reader.remaining()) {
    return CorruptHeader(offset, "bad header length");
  }
  header.program_start = reader.position() + header_length;
  ByteReader tables(sections.line.first(header.program_start), reader.position());
  ReadFixedPart(tables, header);
  if (tables.ok() && header.version >= 5) ReadTables5(sections, offset_size, tables, header);
  if (tables.ok() && header.version < 5) ReadTables4(tables, header);
  return tables.ok() ? Status() : CorruptHeader(offset, "bad tables");
}

Status ForEachLineHeader(const LineSections& sections,
                         const std::function<bool(const LineHeader&)>& visit) {
  LineHeader header;
  for (uint64_t offset = 0; offset < sections.line.size();) {
    uint64_t next = 0;
    const Status status = ReadLineHeader(sections, offset, header, next);
    if (next <= offset) return status;
    if (status.ok() && !visit(header)) return Status();
    offset = next;
  }
  return Status();
}

}  // namespace stillframe
