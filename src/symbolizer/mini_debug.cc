#include "symbolizer/mini_debug.h"

#include <lzma.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "symbolizer/memory_file.h"

namespace stillframe {
namespace {

constexpr uint64_t kMaxPackedBytes = 16u << 20;
constexpr size_t kMaxBytes = 64u << 20;
constexpr size_t kChunkBytes = 256u << 10;
// xz -9 wants 65 MiB to decompress.
constexpr uint64_t kMaxMemoryBytes = 96u << 20;

Result<std::vector<uint8_t>> Unpack(ByteSpan packed, const std::string& path) {
  const Status corrupt(Code::kCorrupt, path + ": .gnu_debugdata does not decompress");
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, kMaxMemoryBytes, 0) != LZMA_OK) return corrupt;
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
  stream.next_in = packed.data();
  stream.avail_in = packed.size();
  std::vector<uint8_t> bytes;
  for (lzma_ret result = LZMA_OK; result == LZMA_OK;) {
    const size_t done = bytes.size();
    if (done >= kMaxBytes) return Status(Code::kOverLimit, path + ": .gnu_debugdata is too large");
    bytes.resize(done + kChunkBytes);
    stream.next_out = bytes.data() + done;
    stream.avail_out = kChunkBytes;
    result = lzma_code(&stream, LZMA_FINISH);
    bytes.resize(bytes.size() - stream.avail_out);
    if (result != LZMA_OK && result != LZMA_STREAM_END) return corrupt;
  }
  return bytes;
}

}  // namespace

Result<std::unique_ptr<ElfFile>> OpenMiniDebug(const ElfFile& module) {
  const ElfSection* const section = module.FindSection(".gnu_debugdata");
  if (section == nullptr || section->size_bytes == 0) {
    return Status(Code::kNotFound, module.path() + " has no .gnu_debugdata");
  }
  if (section->size_bytes > kMaxPackedBytes) {
    return Status(Code::kOverLimit, module.path() + ": .gnu_debugdata is too large");
  }
  SF_ASSIGN_OR_RETURN(const auto packed, module.ReadSection(*section));
  SF_ASSIGN_OR_RETURN(const auto bytes, Unpack(packed, module.path()));
  SF_ASSIGN_OR_RETURN(UniqueFd file, MakeMemoryFile("stillframe-symbols", bytes));
  return ElfFile::Adopt(std::move(file), module.path() + " (.gnu_debugdata)");
}

}  // namespace stillframe
