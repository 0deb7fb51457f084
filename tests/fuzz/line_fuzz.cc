// The line reader: bytes of .debug_line and .debug_line_str, without an ELF file around them.
// Input: 2 bytes size of .debug_line, 2 bytes of .debug_line_str, then these and .debug_str.
#include "symbolizer/line_header.h"
#include "symbolizer/line_index.h"
#include "symbolizer/line_program.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/module.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const size_t line_size = input.Take<uint16_t>();
  const size_t names_size = input.Take<uint16_t>();
  LineSections sections;
  sections.line = input.Bytes(line_size);
  sections.line_strings = input.Bytes(names_size);
  sections.strings = input.rest();
  uint64_t rows = 0;
  (void)ForEachLineHeader(sections, [&](const LineHeader& header) {
    SF_FUZZ_CHECK(header.program_start <= header.program_end);
    SF_FUZZ_CHECK(header.program_end <= sections.line.size());
    (void)RunLineProgram(sections, header, [&](const LineRow&) { ++rows; });
    return true;
  });
  // Linear in the program's length, whatever headers share it.
  SF_FUZZ_CHECK(rows <= 4 * uint64_t{line_size} * line_size + 64);
  const LineIndex index(sections, fuzz::CodeModule(), [](uint64_t) { return "/folder"; });
  for (const std::string& path : index.Paths("")) {
    const auto files = index.Find(path);
    if (!files.ok()) continue;
    for (const SourceFile& file : *files) {
      for (const auto& [line, statements] : index.Statements(file)) SF_FUZZ_CHECK(line != 0);
      for (const SourceFile::Use& use : file.uses) {
        (void)index.AfterPrologue(use.unit_offset, LinkAddress(0x1000), LinkAddress(0x2000));
      }
    }
  }
  SF_FUZZ_CHECK(index.AllStatements(1000).size() <= 1000);
  return 0;
}

}  // namespace stillframe
