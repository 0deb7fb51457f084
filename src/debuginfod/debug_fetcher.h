// Debug files of stripped programs from debuginfod servers, into a DebugCache.
//
// One file at a time, a little at each Step(): the thread that owns this is never held up for long.
// What failed is not asked for again for a while. Not thread-safe.
#ifndef STILLFRAME_DEBUGINFOD_DEBUG_FETCHER_H_
#define STILLFRAME_DEBUGINFOD_DEBUG_FETCHER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "debuginfod/debug_cache.h"
#include "transport/download.h"

namespace stillframe::debuginfod {

struct FetchOptions {
  std::vector<std::string> urls;  // of servers, asked in this order
  std::string cache_folder;
  uint64_t max_file_bytes = uint64_t{2} << 30;
  uint64_t max_cache_bytes = uint64_t{4} << 30;
  uint32_t timeout_ms = 600'000;  // of one file from one server
  uint32_t retry_ms = 600'000;    // after every server has failed
};

// "URL URL" as in DEBUGINFOD_URLS. kInvalidArgument names what is no http or https URL.
Result<std::vector<std::string>> ReadServers(std::string_view text);

class DebugFetcher {
 public:
  explicit DebugFetcher(FetchOptions options);
  ~DebugFetcher();
  DebugFetcher(const DebugFetcher&) = delete;
  DebugFetcher& operator=(const DebugFetcher&) = delete;

  const std::string& folder() const { return cache_.folder(); }
  enum class State : uint8_t { kFetching, kFetched, kFailed };
  struct Answer {
    State state = State::kFetching;
    Status status;  // not OK unless it is fetched: what is waited for, or which URL said what
  };
  // Asks for the debug file of a build (lower-case hex); begins to fetch it when nothing is known
  // yet. kFetched: it is in the folder now, if nobody has taken it away, and so is the file that
  // dwz has moved a part of it to. `now_ns` is monotonic.
  Answer Want(const std::string& build_id, int64_t now_ns);
  // Whether Want was called for that build before.
  bool Knows(const std::string& build_id) const { return builds_.contains(build_id); }
  // Whether something is being fetched: Step() should be called often.
  bool busy() const { return current_ != nullptr || !queue_.empty(); }
  // Makes progress for at most about `ms`. True when one of Want's answers may be another now.
  bool Step(uint32_t ms, int64_t now_ns);
  // Gives up what is being fetched, and leaves nothing of it behind. Whoever wants it asks again.
  void Stop();

 private:
  struct Build {
    State state = State::kFetching;
    Status status;
    int64_t retry_ns = 0;  // when it failed
    std::string shared;    // build-id of what dwz has moved out of it; wanted as well
  };
  struct Current {
    std::string build_id;
    size_t server = 0;
    std::string failures;  // of the servers before
    DebugCache::Draft draft;
    std::unique_ptr<transport::Download> download;
  };
  std::string UrlOf(const std::string& build_id, size_t server) const;
  void BeginNext(int64_t now_ns);
  Status BeginDownload(Current& current);
  void Fail(const Status& status, int64_t now_ns);

  const FetchOptions options_;
  const DebugCache cache_;
  std::unordered_map<std::string, Build> builds_;
  std::vector<std::string> queue_;
  std::unordered_set<std::string> shared_;  // build-ids that other files' links have named
  std::unique_ptr<Current> current_;
};

}  // namespace stillframe::debuginfod

#endif  // STILLFRAME_DEBUGINFOD_DEBUG_FETCHER_H_
