#include "symbolizer/symbolizer.h"

#include <malloc.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <map>

#include "base/process_maps.h"
#include "symbolizer/elf_file.h"
#include "symbolizer/symbol_module.h"

namespace stillframe {
namespace {

bool IsThisExecutable(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", target, sizeof target);
  return length > 0 && std::string_view(target, static_cast<size_t>(length)) == path;
}

// Where the file of a path of /proc/self/maps is, or was.
std::string WithoutMark(const std::string& path) {
  const std::string_view file = WithoutDeletedMark(path);
  if (file.size() == path.size() || access(path.c_str(), F_OK) == 0) return path;
  return std::string(file);
}

// What stands at the path, of a deleted file maybe another build of it; the program that runs
// always.
Result<std::unique_ptr<ElfFile>> OpenAtPath(const std::string& path,
                                            std::string_view expected_build_id) {
  const bool runs = IsThisExecutable(path);
  const std::string file = runs ? "/proc/self/exe" : WithoutMark(path);
  if (!runs && file != path && expected_build_id.empty()) {
    return Status(Code::kBuildMismatch, path + ": the file was replaced and has no build-id");
  }
  SF_ASSIGN_OR_RETURN(std::unique_ptr<ElfFile> elf, ElfFile::Open(file));
  if (!expected_build_id.empty() && elf->build_id() != expected_build_id) {
    return Status(Code::kBuildMismatch, WithoutMark(path) + " has build-id '" + elf->build_id() +
                                            "' on disk, the process runs '" +
                                            std::string(expected_build_id) + "'");
  }
  return elf;
}

// What is mapped, when a package was upgraded since: the kernel lets it be opened by those who may
// checkpoint processes (proc(5), /proc/pid/map_files). nullptr for others.
std::unique_ptr<ElfFile> OpenMapped(const std::string& path, std::string_view expected_build_id) {
  const auto maps = ReadProcessMaps();
  if (!maps.ok() || expected_build_id.empty()) return nullptr;
  const std::string file = path.substr(path.rfind('/') + 1);
  for (const Mapping& mapping : *maps) {
    const std::string_view mapped = WithoutDeletedMark(mapping.path);
    if (mapping.file_offset != 0 || mapped.substr(mapped.rfind('/') + 1) != file) continue;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/map_files/%lx-%lx", mapping.start.value,
             mapping.end.value);
    auto elf = ElfFile::Open(link);
    if (elf.ok() && (*elf)->build_id() == expected_build_id) return std::move(*elf);
  }
  return nullptr;
}

Result<std::unique_ptr<ElfFile>> OpenLoaded(const std::string& path,
                                            std::string_view expected_build_id) {
  auto elf = OpenAtPath(path, expected_build_id);
  if (elf.ok()) return elf;
  std::unique_ptr<ElfFile> mapped = OpenMapped(WithoutMark(path), expected_build_id);
  if (mapped == nullptr) return elf;
  return mapped;
}

class ElfSymbolizer : public Symbolizer {
 public:
  explicit ElfSymbolizer(SymbolizerOptions options) : options_(std::move(options)) {}

  Result<SymbolModule*> OpenModule(const std::string& path,
                                   std::string_view expected_build_id) override {
    const auto known = modules_.find(path);
    if (known != modules_.end() && Matches(*known->second, expected_build_id)) {
      return known->second.get();
    }
    SF_ASSIGN_OR_RETURN(std::unique_ptr<ElfFile> elf, OpenLoaded(path, expected_build_id));
    // Another build may have been loaded from the same path before; pointers to that one stay good.
    if (known != modules_.end()) replaced_.push_back(std::move(known->second));
    auto& slot = modules_[path];
    slot = MakeSymbolModule(WithoutMark(path), std::move(elf), options_, names_);
    return slot.get();
  }

  void ReleaseMemory() override {
    modules_.clear();
    replaced_.clear();
    malloc_trim(0);
  }

 private:
  static bool Matches(const SymbolModule& module, std::string_view expected_build_id) {
    return expected_build_id.empty() || module.build_id() == expected_build_id;
  }

  SymbolizerOptions options_;
  SourceNamesCache names_;
  std::map<std::string, std::unique_ptr<SymbolModule>> modules_;
  std::vector<std::unique_ptr<SymbolModule>> replaced_;
};

}  // namespace

std::unique_ptr<Symbolizer> Symbolizer::Create(SymbolizerOptions options) {
  return std::make_unique<ElfSymbolizer>(std::move(options));
}

}  // namespace stillframe
