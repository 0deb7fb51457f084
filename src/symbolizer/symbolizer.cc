#include "symbolizer/symbolizer.h"

#include <malloc.h>
#include <unistd.h>

#include <climits>
#include <map>

#include "symbolizer/elf_file.h"
#include "symbolizer/symbol_module.h"

namespace stillframe {
namespace {

constexpr std::string_view kDeletedSuffix = " (deleted)";

bool EndsWith(const std::string& text, std::string_view suffix) {
  return text.size() >= suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

bool IsThisExecutable(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", target, sizeof target);
  return length > 0 && std::string_view(target, static_cast<size_t>(length)) == path;
}

// The file behind a path of /proc/self/maps. Of a deleted one the running program itself can still
// be read; for others what now stands at that path is tried, and the build-id decides.
Result<std::unique_ptr<ElfFile>> OpenMapped(const std::string& path,
                                            std::string_view expected_build_id) {
  if (!EndsWith(path, kDeletedSuffix) || access(path.c_str(), F_OK) == 0) {
    return ElfFile::Open(path);
  }
  if (IsThisExecutable(path)) return ElfFile::Open("/proc/self/exe");
  if (expected_build_id.empty()) {
    return Status(Code::kBuildMismatch, path + ": the file was replaced and has no build-id");
  }
  return ElfFile::Open(path.substr(0, path.size() - kDeletedSuffix.size()));
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
    SF_ASSIGN_OR_RETURN(std::unique_ptr<ElfFile> elf, OpenMapped(path, expected_build_id));
    if (!expected_build_id.empty() && elf->build_id() != expected_build_id) {
      return Status(Code::kBuildMismatch, path + " has build-id '" + elf->build_id() +
                                              "' on disk, the process runs '" +
                                              std::string(expected_build_id) + "'");
    }
    // Another build may have been loaded from the same path before; pointers to that one stay good.
    if (known != modules_.end()) replaced_.push_back(std::move(known->second));
    auto& slot = modules_[path];
    slot = MakeSymbolModule(path, std::move(elf), options_, names_);
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
