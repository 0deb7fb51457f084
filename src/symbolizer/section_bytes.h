// Sections of debug files as they were before a compiler, linker or packager compressed them.
//
// zlib (`-gz`, `.zdebug_` too) is libelf's; zstd, which libelf 0.188 does not know, is libzstd's.
#ifndef STILLFRAME_SYMBOLIZER_SECTION_BYTES_H_
#define STILLFRAME_SYMBOLIZER_SECTION_BYTES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "symbolizer/elf_file.h"

namespace stillframe {

bool IsCompressed(const ElfSection& section);
// Which libelf 0.188 does not read.
bool IsCompressedByZstd(const ElfFile& file, const ElfSection& section);
// The name without regard to compression: ".debug_info" for ".zdebug_info".
std::string PlainName(const ElfSection& section);
// The first section of that plain name; nullptr when there is none.
const ElfSection* FindByPlainName(const ElfFile& file, std::string_view name);

// Bytes it has uncompressed, as it claims. Errors: kCorrupt (it lies outside the file, or claims
// more than any compression reaches), kUnsupported (the way of compression is not known).
Result<uint64_t> UncompressedSize(const ElfFile& file, const ElfSection& section);
// Writes exactly `size_bytes`, which UncompressedSize has said, to `out`. Needs no more memory than
// the compressed bytes (zstd), or both (zlib). Errors: kCorrupt, kIoError.
Status ReadUncompressed(const ElfFile& file, const ElfSection& section, uint64_t size_bytes,
                        uint8_t* out);
// Both. kOverLimit: more than max_bytes; kNotFound: no bytes in this file (SHT_NOBITS).
Result<FileBytes> ReadUncompressed(const ElfFile& file, const ElfSection& section,
                                   uint64_t max_bytes);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SECTION_BYTES_H_
