// What the tests of modules and lines share: the target programs and the tools used as oracles.
#ifndef STILLFRAME_TESTS_SYMBOLIZER_SYMBOLS_SUPPORT_H_
#define STILLFRAME_TESTS_SYMBOLIZER_SYMBOLS_SUPPORT_H_

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/module_debug.h"

namespace stillframe::symbols_test {

// Programs are built beside the tests: <build>/tests/targets/.
inline std::string TargetPath(const std::string& name) {
  char self[PATH_MAX] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) abort();
  const std::string path(self);
  return path.substr(0, path.rfind('/')) + "/targets/symbols_" + name;
}

inline const std::vector<std::string>& DebugVariants() {
  static const std::vector<std::string> variants = {
      "gcc_O0_dwarf4",   "gcc_O0_dwarf5",   "gcc_O2_dwarf4",   "gcc_O2_dwarf5",
      "clang_O0_dwarf4", "clang_O0_dwarf5", "clang_O2_dwarf4", "clang_O2_dwarf5",
      "gcc_compressed",  "gcc_zstd",        "gcc_nopie",       "gcc_cet"};
  return variants;
}

// Standard output of a shell command that must succeed.
inline std::string RunTool(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) abort();
  std::string output;
  char buffer[65536];
  for (size_t count; (count = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    output.append(buffer, count);
  }
  EXPECT_EQ(pclose(pipe), 0) << command;
  return output;
}

inline std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

// Number of the line that is marked `// line: MARK` in a source of the target programs.
inline uint32_t MarkedLine(const std::string& source_path, const std::string& mark) {
  std::ifstream file(source_path);
  std::string line;
  for (uint32_t number = 1; std::getline(file, line); ++number) {
    if (line.find("// line: " + mark) != std::string::npos) return number;
  }
  ADD_FAILURE() << "no mark " << mark << " in " << source_path;
  return 0;
}

// A folder that lives as long as the test.
class ScratchFolder {
 public:
  ScratchFolder() {
    char name[] = "/tmp/stillframe-test-XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    path_ = name;
  }
  ~ScratchFolder() { RunTool("rm -rf '" + path_ + "'"); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
}

// Damages a file's bytes, the same way for the same seed.
class Mutator {
 public:
  Mutator(std::string bytes, uint32_t seed) : bytes_(std::move(bytes)), random_(seed) {}
  // Truncations, and bit flips aimed at headers and debug sections half of the time.
  std::string Next(const std::vector<ElfSection>& sections) {
    std::string mutated = bytes_;
    if (random_() % 8 == 0) {
      mutated.resize(random_() % mutated.size());
      return mutated;
    }
    for (uint32_t i = 1 + random_() % 24; i > 0; --i) {
      uint64_t at = random_() % mutated.size();
      if (random_() % 8 != 0) at = InDebugSection(sections, at);
      if (random_() % 32 == 0) at = random_() % 64;
      const auto flip = static_cast<char>(random_() % 4 == 0 ? 0xff : 1u << (random_() % 8));
      mutated[at] = static_cast<char>(mutated[at] ^ flip);
    }
    return mutated;
  }

 private:
  uint64_t InDebugSection(const std::vector<ElfSection>& sections, uint64_t otherwise) {
    const ElfSection& section = sections[random_() % sections.size()];
    const bool interesting = section.name.substr(0, 7) == ".debug_" ||
                             section.name == ".eh_frame" || section.name == ".symtab";
    if (!interesting || section.size_bytes == 0) return otherwise;
    return section.offset.value + random_() % section.size_bytes;
  }
  std::string bytes_;
  std::mt19937 random_;
};

struct OpenProgram {
  std::unique_ptr<ElfFile> elf;
  std::unique_ptr<ModuleDebug> debug;
};

inline OpenProgram OpenTarget(const std::string& path) {
  OpenProgram program;
  auto elf = ElfFile::Open(path);
  EXPECT_TRUE(elf.ok()) << elf.status().ToString();
  if (!elf.ok()) return program;
  program.elf = std::move(elf).value();
  auto debug = ModuleDebug::Open(*program.elf, *program.elf);
  EXPECT_TRUE(debug.ok()) << debug.status().ToString();
  if (debug.ok()) program.debug = std::move(debug).value();
  return program;
}

}  // namespace stillframe::symbols_test

#endif  // STILLFRAME_TESTS_SYMBOLIZER_SYMBOLS_SUPPORT_H_
