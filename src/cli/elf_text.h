// Executable segments of an ELF file, for `doctor`.
#ifndef STILLFRAME_CLI_ELF_TEXT_H_
#define STILLFRAME_CLI_ELF_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/status.h"

namespace stillframe::cli {

struct TextSegment {
  LinkAddress address;
  std::vector<uint8_t> bytes;
  bool Contains(LinkAddress at) const {
    return at >= address && static_cast<uint64_t>(at - address) < bytes.size();
  }
};

// kCorrupt or kIoError with the reason.
Result<std::vector<TextSegment>> ReadTextSegments(const std::string& path);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_ELF_TEXT_H_
