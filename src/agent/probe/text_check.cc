#include "agent/probe/text_check.h"

#include <algorithm>

#include "agent/probe/module_file.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kAtOnce = 1 << 16;
constexpr size_t kNamed = 16;

Status CompareMapping(const Mapping& mapping, TextSystem& system, TextReport& report) {
  SF_ASSIGN_OR_RETURN(const ModuleFile file, ModuleFile::Open(mapping));
  std::vector<uint8_t> ours(kAtOnce);
  std::vector<uint8_t> theirs(kAtOnce);
  const uint64_t size = mapping.end.value - mapping.start.value;
  for (uint64_t done = 0; done < size; done += kAtOnce) {
    const uint64_t count = std::min(kAtOnce, size - done);
    const uint64_t address = mapping.start.value + done;
    // Behind the file's end the last page is zero.
    std::fill(theirs.begin(), theirs.end(), 0);
    SF_RETURN_IF_ERROR(system.Read(address, {ours.data(), count}));
    if (!file.ReadAt(mapping.file_offset + done, {theirs.data(), count}).ok() &&
        done + count < size) {
      return Status(Code::kCorrupt, "the file is shorter than its text");
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (ours[i] == theirs[i]) continue;
      ++report.different_bytes;
      if (report.first.size() < kNamed) {
        report.first.push_back({mapping.path, address + i, theirs[i], ours[i]});
      }
    }
    report.compared_bytes += count;
  }
  return Status();
}

}  // namespace

TextReport CompareTextWithFiles(const std::vector<Mapping>& maps, TextSystem& system) {
  TextReport report;
  for (const Mapping& mapping : maps) {
    const bool is_text = mapping.executable && mapping.is_private && mapping.inode != 0 &&
                         !mapping.path.starts_with("/memfd:");
    if (!is_text) continue;
    if (Status status = CompareMapping(mapping, system, report); !status.ok()) {
      report.not_compared.push_back(mapping.path + ": " + status.message());
    }
  }
  return report;
}

}  // namespace stillframe::probe
