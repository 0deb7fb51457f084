#include "debuginfod/debug_fetcher.h"

#include <algorithm>
#include <utility>

namespace stillframe::debuginfod {
namespace {

constexpr int64_t kNanosPerMs = 1'000'000;
constexpr size_t kMaxBuilds = 4096;
constexpr size_t kMaxServers = 16;

}  // namespace

Result<std::vector<std::string>> ReadServers(std::string_view text) {
  std::vector<std::string> servers;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    std::string url(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (url.empty()) continue;
    while (url.ends_with('/')) url.pop_back();
    const std::string_view view(url);
    const size_t scheme = view.starts_with("https://") ? 8 : view.starts_with("http://") ? 7 : 0;
    if (scheme == 0 || scheme == url.size() || servers.size() >= kMaxServers ||
        view.find_first_of("?#@\"'<>\\\r\n") != std::string_view::npos) {
      return Status(Code::kInvalidArgument,
                    "'" + url + "': expected URLs as https://host[:port][/path], at most 16");
    }
    servers.push_back(std::move(url));
  }
  return servers;
}

DebugFetcher::DebugFetcher(FetchOptions options)
    : options_(std::move(options)), cache_(options_.cache_folder, options_.max_cache_bytes) {}

DebugFetcher::~DebugFetcher() { Stop(); }

void DebugFetcher::Stop() {
  if (current_ != nullptr) cache_.Drop(current_->draft);
  current_.reset();
  queue_.clear();
  std::erase_if(builds_, [](const auto& entry) { return entry.second.state == State::kFetching; });
}

std::string DebugFetcher::UrlOf(const std::string& build_id, size_t server) const {
  return options_.urls[server] + "/buildid/" + build_id + "/debuginfo";
}

DebugFetcher::Answer DebugFetcher::Want(const std::string& build_id, int64_t now_ns) {
  if (options_.urls.empty() || build_id.size() <= 2 ||
      build_id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return {State::kFailed, Status(Code::kNoDebugInfo, "there is no build-id to ask for")};
  }
  const auto known = builds_.find(build_id);
  const bool again = known != builds_.end() &&
                     ((known->second.state == State::kFailed && now_ns >= known->second.retry_ns) ||
                      (known->second.state == State::kFetched && !cache_.Has(build_id)));
  if (known != builds_.end() && !again) {
    // Files of dwz share nothing themselves: this goes no deeper.
    if (known->second.state == State::kFetched && !known->second.shared.empty()) {
      return Want(std::string(known->second.shared), now_ns);
    }
    return {known->second.state, known->second.status};
  }
  if (builds_.size() >= kMaxBuilds) {
    return {State::kFailed, Status(Code::kNoDebugInfo, "too many debug files were asked for")};
  }
  Build& build = builds_[build_id];
  build.state = State::kFetching;
  build.status = Status(Code::kNoDebugInfo, "the debug file of build-id " + build_id +
                                                " is being fetched from " + options_.urls[0]);
  queue_.push_back(build_id);
  if (current_ == nullptr) BeginNext(now_ns);
  return {builds_[build_id].state, builds_[build_id].status};
}

void DebugFetcher::BeginNext(int64_t now_ns) {
  while (current_ == nullptr && !queue_.empty()) {
    current_ = std::make_unique<Current>();
    current_->build_id = std::move(queue_.front());
    queue_.erase(queue_.begin());
    const Status status = BeginDownload(*current_);
    if (!status.ok()) Fail(status, now_ns);
  }
}

Status DebugFetcher::BeginDownload(Current& current) {
  SF_ASSIGN_OR_RETURN(current.draft, cache_.Begin());
  auto started =
      transport::Download::Start(UrlOf(current.build_id, current.server), current.draft.fd.get(),
                                 {options_.max_file_bytes, options_.timeout_ms});
  if (!started.ok()) {
    cache_.Drop(current.draft);
    return started.status();
  }
  current.download = std::move(started).value();
  return Status();
}

void DebugFetcher::Fail(const Status& status, int64_t now_ns) {
  Build& build = builds_[current_->build_id];
  build.state = State::kFailed;
  // Whatever it was: this build has no debug information here, and not because of another build's.
  build.status =
      Status(Code::kNoDebugInfo, "no debug file of build-id " + current_->build_id +
                                     " from debuginfod: " + current_->failures + status.message());
  build.retry_ns = now_ns + int64_t{options_.retry_ms} * kNanosPerMs;
  current_.reset();
}

bool DebugFetcher::Step(uint32_t ms, int64_t now_ns) {
  bool changed = false;
  for (auto& [id, build] : builds_) {
    if (build.state != State::kFailed || build.retry_ns == 0 || now_ns < build.retry_ns) continue;
    build.retry_ns = 0;  // told once: whoever still wants it asks again
    changed = true;
  }
  if (current_ == nullptr) BeginNext(now_ns);
  if (current_ == nullptr) return changed;
  const auto outcome = current_->download->Step(ms);
  if (!outcome) return changed;
  current_->download.reset();
  Status status = *outcome;
  std::string shared;
  if (status.ok()) {
    auto kept = cache_.Keep(current_->draft, current_->build_id);
    status = kept.status();
    if (kept.ok() && !shared_.contains(current_->build_id)) shared = std::move(*kept);
    if (!status.ok()) {
      status = Status(status.code(), "what " + UrlOf(current_->build_id, current_->server) +
                                         " sends is refused: " + status.message());
    }
  } else {
    cache_.Drop(current_->draft);
  }
  if (status.ok()) {
    if (!shared.empty()) shared_.insert(shared);
    builds_[current_->build_id] = {State::kFetched, Status(), 0, std::move(shared)};
    const std::string next = builds_[current_->build_id].shared;
    current_.reset();
    if (!next.empty()) (void)Want(next, now_ns);
  } else if (++current_->server < options_.urls.size()) {
    current_->failures += status.message() + "; ";
    status = BeginDownload(*current_);
    if (status.ok()) return changed;
    Fail(status, now_ns);
  } else {
    Fail(status, now_ns);
  }
  BeginNext(now_ns);
  return true;
}

}  // namespace stillframe::debuginfod
