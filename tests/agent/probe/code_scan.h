// Code of the machine's ELF files, function by function, for tests that want every instruction
// form that compilers emit.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_CODE_SCAN_H_
#define STILLFRAME_TESTS_AGENT_PROBE_CODE_SCAN_H_

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "symbolizer/cfi_entries.h"
#include "symbolizer/elf_file.h"

namespace stillframe::probe {

struct FunctionCode {
  uint64_t address = 0;  // link address
  std::span<const uint8_t> bytes;
};

// The executable segments of a file and the functions that .eh_frame names in them.
class CodeFile {
 public:
  static Result<CodeFile> Open(const std::string& path) {
    SF_ASSIGN_OR_RETURN(const auto elf, ElfFile::Open(path));
    CodeFile file;
    file.path_ = path;
    if (const ElfSection* names = elf->FindSection(".dynstr")) {
      const auto bytes = elf->ReadSection(*names);
      static constexpr std::string_view kLibrary = "libstdc++.so";
      file.is_cpp_ = bytes.ok() && std::search(bytes->begin(), bytes->end(), kLibrary.begin(),
                                               kLibrary.end()) != bytes->end();
    }
    for (const ElfSegment& segment : elf->load_segments()) {
      if ((segment.flags & 1) == 0) continue;  // PF_X
      SF_ASSIGN_OR_RETURN(auto bytes, elf->ReadAt(segment.offset, segment.file_size_bytes));
      file.segments_.push_back({segment.address.value, std::move(bytes)});
    }
    if (const ElfSection* frames = elf->FindSection(".eh_frame")) {
      SF_ASSIGN_OR_RETURN(const auto bytes, elf->ReadSection(*frames));
      const CfiSection section{bytes, frames->address, CfiFormat::kEhFrame};
      std::set<uint64_t> seen;
      (void)ForEachFrameEntry(section, [&](const FrameEntry& entry) {
        const auto code = file.At(entry.start.value);
        const uint64_t size = entry.end.value - entry.start.value;
        if (code.size() < size || !seen.insert(entry.start.value).second) return;
        if (IsPlt(*elf, entry.start.value)) return;
        file.functions_.push_back({entry.start.value, code.first(size)});
      });
    }
    return file;
  }

  const std::string& path() const { return path_; }
  bool is_cpp() const { return is_cpp_; }
  const std::vector<FunctionCode>& functions() const { return functions_; }
  uint64_t code_bytes() const {
    uint64_t sum = 0;
    for (const FunctionCode& function : functions_) sum += function.bytes.size();
    return sum;
  }
  // Text from an address to the end of its segment; empty when there is none.
  std::span<const uint8_t> At(uint64_t address) const {
    for (const Segment& segment : segments_) {
      if (address >= segment.address && address - segment.address < segment.bytes.size()) {
        return std::span(segment.bytes).subspan(address - segment.address);
      }
    }
    return {};
  }

 private:
  struct Segment {
    uint64_t address = 0;
    FileBytes bytes;
  };
  // One frame entry covers all stubs: no function, and nothing that a statement stands for.
  static bool IsPlt(const ElfFile& elf, uint64_t address) {
    for (const ElfSection& section : elf.sections()) {
      if (address >= section.address.value &&
          address - section.address.value < section.size_bytes) {
        return section.name.starts_with(".plt");
      }
    }
    return false;
  }

  std::string path_;
  bool is_cpp_ = false;
  std::vector<Segment> segments_;
  std::vector<FunctionCode> functions_;
};

// Shared objects of the system's library folder, each once, largest first; those of more than
// `max_bytes` are left out.
inline std::vector<std::string> SystemLibraries(uint64_t max_bytes) {
  namespace fs = std::filesystem;
  std::vector<std::pair<uint64_t, std::string>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/usr/lib/x86_64-linux-gnu", error)) {
    const std::string name = entry.path().filename();
    if (name.find(".so") == name.npos || !entry.is_regular_file(error) || entry.is_symlink(error)) {
      continue;
    }
    const uint64_t size = entry.file_size(error);
    if (size <= max_bytes) found.emplace_back(size, entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (auto& [size, path] : found) paths.push_back(path);
  return paths;
}

// Code that is scanned for as long as `budget_bytes` of it lasts: this program, C++ libraries, and
// with 0 (no limit) everything there is, C included.
inline void ForEachCodeFile(uint64_t budget_bytes,
                            const std::function<void(const CodeFile&)>& visit) {
  std::vector<std::string> paths = SystemLibraries(budget_bytes == 0 ? UINT64_MAX : 12 << 20);
  static constexpr std::string_view kSelf = "/proc/self/exe";
  paths.emplace(paths.begin(), kSelf);
  uint64_t used = 0;
  for (const std::string& path : paths) {
    const auto file = CodeFile::Open(path);
    if (!file.ok() || (budget_bytes != 0 && !file->is_cpp())) continue;
    visit(*file);
    // Sanitizers make this program as large as all the others: it is not of the budget.
    if (path != kSelf) used += file->code_bytes();
    if (budget_bytes != 0 && used >= budget_bytes) return;
  }
}

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_CODE_SCAN_H_
