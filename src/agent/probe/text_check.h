// Is the text of this process what its files say? Agent thread only.
#ifndef STILLFRAME_AGENT_PROBE_TEXT_CHECK_H_
#define STILLFRAME_AGENT_PROBE_TEXT_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "agent/probe/text_system.h"
#include "base/process_maps.h"
#include "base/status.h"

namespace stillframe::probe {

struct TextDifference {
  std::string path;
  uint64_t address = 0;  // runtime
  uint8_t in_file = 0;
  uint8_t in_memory = 0;
};

struct TextReport {
  uint64_t compared_bytes = 0;
  uint64_t different_bytes = 0;
  std::vector<TextDifference> first;      // the first few
  std::vector<std::string> not_compared;  // paths, with the reason
};

// Compares every private executable mapping of a file with the file, byte for byte. Text of
// position-independent code has no relocations (DT_TEXTREL is the exception, and then differs).
// Reads all of the text: a tenth of a second for 100 MB.
TextReport CompareTextWithFiles(const std::vector<Mapping>& maps, TextSystem& system);

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_TEXT_CHECK_H_
