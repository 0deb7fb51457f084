// Of the store: debug files that debuginfod servers have.
#include "agent/tick_clock.h"
#include "agent/tracepoint_store.h"
#include "symbolizer/path_match.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kFetchMs = 10;  // of a turn

// Of the distribution: a name that is nowhere else would fetch hundreds of megabytes for nothing.
bool IsSystemLibrary(const LoadedModule& module) {
  for (const std::string_view folder : {"/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"}) {
    if (module.path.starts_with(folder)) return true;
  }
  return false;
}

}  // namespace

bool TracepointStore::fetches() const {
  return options_.debug_files != nullptr && options_.debug_files->busy();
}

bool TracepointStore::StepDebugFiles(int64_t now_ns) {
  if (options_.debug_files == nullptr || !options_.debug_files->Step(kFetchMs, now_ns))
    return false;
  symbolizer_->ReleaseMemory();  // what modules did not find before is looked for again
  return true;
}

// One after the other, the program first: what it has is all that most tracepoints need.
Status TracepointStore::WantDebugFile(const model::TracepointSpec& spec, const Status& status) {
  const Code code = status.code();
  if (options_.debug_files == nullptr || !spec.location.exception.empty() ||
      !spec.location.fatal.empty() ||
      (code != Code::kFileNotFound && code != Code::kFunctionNotFound &&
       code != Code::kNoDebugInfo && code != Code::kBuildMismatch)) {
    return status;
  }
  Status failure;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso || module.text.empty()) continue;
    const bool is_program = &module == &modules_.front();
    const std::string& named = spec.location.module;
    if (named.empty() && !is_program && (spec.location.address || IsSystemLibrary(module))) {
      continue;
    }
    if (!named.empty() && module.build_id != named && !HasPathSuffix(module.ShownPath(), named)) {
      continue;
    }
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    if (!opened.ok()) continue;
    // Of one that was fetched a part may be in a shared file, which is not there yet.
    if ((*opened)->debug_status().ok() && !options_.debug_files->Knows(module.build_id)) continue;
    const auto answer = options_.debug_files->Want(module.build_id, MonotonicNanos());
    if (answer.state == debuginfod::DebugFetcher::State::kFetching) {
      waits_for_file_ = true;
      return answer.status.WithContext(module.FileName());
    }
    if (failure.ok() && !answer.status.ok()) failure = answer.status.WithContext(module.FileName());
  }
  // A file that no module knows may still come with another module.
  const bool explains = code == Code::kNoDebugInfo || code == Code::kBuildMismatch;
  return failure.ok() || !explains ? status : failure;
}

}  // namespace stillframe::agent
