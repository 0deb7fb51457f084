// Executable segments of an ELF file, for `doctor`.
#ifndef STILLFRAME_CLI_ELF_TEXT_H_
#define STILLFRAME_CLI_ELF_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "agent/probe/site_classifier.h"
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

struct ElfText {
  probe::LoadKind kind = probe::LoadKind::kLibrary;
  LinkAddress start, end;  // of all segments that are loaded
  std::vector<TextSegment> segments;
};

// kCorrupt or kIoError with the reason.
Result<ElfText> ReadElfText(const std::string& path);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_ELF_TEXT_H_
