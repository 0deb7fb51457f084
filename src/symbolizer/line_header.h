// Headers of .debug_line, DWARF 2 to 5 (DWARF 5 §6.2.4), read without running any program.
#ifndef STILLFRAME_SYMBOLIZER_LINE_HEADER_H_
#define STILLFRAME_SYMBOLIZER_LINE_HEADER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {

// Contents of the sections, uncompressed; empty when absent. They must outlive every view made from
// them.
struct LineSections {
  ByteSpan line;
  ByteSpan line_strings;  // .debug_line_str
  ByteSpan strings;       // .debug_str
};

struct LineFile {
  std::string_view name;  // "" when its form is not understood
  uint64_t folder = 0;
  bool has_md5 = false;
  std::array<uint8_t, 16> md5{};
};

struct LineHeader {
  uint64_t offset = 0;         // of the unit in .debug_line: what DW_AT_stmt_list holds
  uint64_t program_start = 0;  // [start, end) of the program in .debug_line
  uint64_t program_end = 0;
  uint16_t version = 0;
  uint8_t address_size = 8;
  uint8_t min_instruction_length = 1;
  uint8_t max_operations = 1;
  bool default_is_stmt = true;
  int8_t line_base = 0;
  uint8_t line_range = 1;
  uint8_t opcode_base = 1;
  std::array<uint8_t, 256> opcode_lengths{};
  // Indexed as the program's file register is: entry 0 of `files` is a nameless filler before
  // version 5. Folder 0 is the compilation folder ("" before version 5, where only the unit's DIE
  // knows it).
  std::vector<std::string_view> folders;
  std::vector<LineFile> files;
};

// Reads the header of the unit at `offset`; `header`'s vectors are reused. Sets `next` to the
// offset of the unit after it whenever the length is usable, else to 0. kCorrupt otherwise.
Status ReadLineHeader(const LineSections& sections, uint64_t offset, LineHeader& header,
                      uint64_t& next);

// Calls `visit` for every readable header until it returns false. Unreadable headers are skipped;
// kCorrupt when the chain of lengths itself is broken (what came before was visited).
Status ForEachLineHeader(const LineSections& sections,
                         const std::function<bool(const LineHeader&)>& visit);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_LINE_HEADER_H_
