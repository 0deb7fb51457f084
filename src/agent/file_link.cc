// No server: tracepoints from a JSON file that is read again when it changes, snapshots to a file
// or standard output, one JSON line each.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>

#include "agent/link.h"
#include "agent/private_descriptors.h"
#include "agent/tick_clock.h"
#include "base/log.h"
#include "base/process_maps.h"
#include "base/unique_fd.h"
#include "model/snapshot.h"

namespace stillframe::agent {
namespace {

constexpr uint64_t kMaxFileBytes = 16u << 20;
constexpr int64_t kLookEveryNs = 100'000'000;

// Writes whole lines. Where descriptors are shared with the host (private_descriptors.h) it may
// have closed ours, and the number may be somebody else's by now (HAZARDS D2): the file's identity
// is checked before every write.
class LineWriter {
 public:
  Status Open(const std::string& path) {
    path_ = path;
    fd_ = path == "-"
              ? HostDescriptor(STDOUT_FILENO)
              : UniqueFd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!fd_.valid()) return ErrnoStatus("STILLFRAME_OUTPUT " + path, errno);
    if (fstat(fd_.get(), &identity_) != 0) return ErrnoStatus("STILLFRAME_OUTPUT " + path, errno);
    return Status();
  }

  Status Write(std::string line) {
    struct stat now {};
    const bool ours = fstat(fd_.get(), &now) == 0 && now.st_dev == identity_.st_dev &&
                      now.st_ino == identity_.st_ino;
    if (!ours) {
      (void)fd_.Release();  // a stranger's now, or closed: not ours to close
      SF_RETURN_IF_ERROR(Open(path_));
    }
    line += '\n';
    size_t done = 0;
    while (done < line.size()) {
      const ssize_t count = write(fd_.get(), line.data() + done, line.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoStatus("STILLFRAME_OUTPUT " + path_, errno);
      done += static_cast<size_t>(count);
    }
    return Status();
  }

 private:
  std::string path_;
  UniqueFd fd_;
  struct stat identity_ {};
};

std::string Summary(const model::TracepointReport& report) {
  const model::Counters& counters = report.status.counters;
  std::string line = "tracepoint " + report.id + " at exit: hits=" + std::to_string(counters.hits);
  const auto add = [&line](std::string_view name, uint64_t count) {
    if (count > 0) line.append(" ").append(name).append("=").append(std::to_string(count));
  };
  add("conditionFalse", counters.condition_false);
  add("conditionError", counters.condition_error);
  add("rateLimited", counters.rate_limited);
  add("budgetStopped", counters.budget_stopped);
  add("reentrant", counters.reentrant);
  add("ringFull", counters.ring_full);
  add("unsafeContext", counters.unsafe_context);
  add("captured", counters.captured);
  for (const auto& [reason, count] : counters.dropped) add("dropped." + reason, count);
  return line;
}

class FileLink final : public Link {
 public:
  FileLink(const Options& options, const model::AgentIdentity& identity)
      : path_(options.tracepoints_file), identity_(identity) {}

  Status Open(const std::string& output) { return writer_.Open(output); }

  std::optional<model::DesiredSet> TakeDesired() override {
    const int64_t now = MonotonicNanos();
    if (knows_desired_ && now - looked_at_ns_ < kLookEveryNs) return std::nullopt;
    looked_at_ns_ = now;
    knows_desired_ = true;
    if (!Changed()) return std::nullopt;
    return Read();
  }
  bool knows_desired() const override { return knows_desired_; }

  void Answer(model::Answer /*answer*/) override {}  // nobody asks

  void Report(std::vector<model::TracepointReport> reports, bool urgent) override {
    if (!urgent) return;
    for (const model::TracepointReport& report : reports) {
      const model::AgentStatus& status = report.status;
      std::string line = "tracepoint " + report.id + ": " + std::string(StateName(status.state));
      if (!status.reason.empty()) line += " " + status.reason + ": " + status.message;
      // Without a server, standard error is the only place where a refusal can be seen.
      if (!std::exchange(said_[report.id], line).compare(line)) continue;
      using model::State;
      const bool refused = status.state == State::kError || status.state == State::kPending ||
                           status.state == State::kBlocked;
      Log(refused ? LogLevel::kError : LogLevel::kInfo, line);
    }
  }

  // Where the hits went, for a person and for a program: without a server nobody else could say why
  // a snapshot is missing.
  void Close(std::vector<model::TracepointReport> reports, uint32_t /*timeout_ms*/) override {
    if (!LogEnabled(LogLevel::kInfo)) return;
    for (const model::TracepointReport& report : reports) {
      LogInfo(Summary(report));
      LogInfo("tracepoint " + report.id + ": final " + model::AgentStatusToJson(report.status));
    }
  }

  void Send(transport::Outbox& outbox) override {
    while (!outbox.empty()) {
      std::vector<uint64_t> written;
      for (const model::Snapshot& snapshot : outbox.Batch()) {
        if (Status status = writer_.Write(model::SnapshotToJson(snapshot)); !status.ok()) {
          LogError(status.ToString());
          outbox.Acked(written);
          outbox.Reject({snapshot.sequence});
          return;
        }
        written.push_back(snapshot.sequence);
      }
      if (written.empty()) return;
      outbox.Acked(written);
    }
  }

  // What it says of its process is in it.
  void SendFor(const model::AgentIdentity& /*dead*/, transport::Outbox& outbox) override {
    Send(outbox);
  }

  void Wait(uint32_t timeout_ms) override {
    std::unique_lock lock(mutex_);
    const auto until = std::chrono::milliseconds(std::min<int64_t>(timeout_ms, 100));
    changed_.wait_for(lock, until, [this] { return woken_; });
    woken_ = false;
  }
  void Wake() override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_all();
  }

 private:
  bool Changed() {
    struct stat now {};
    const bool exists = stat(path_.c_str(), &now) == 0;
    // One that cannot be looked at any more (a program that gave up its rights) is not gone.
    if (!exists && errno != ENOENT && errno != ENOTDIR) return false;
    const bool same = exists == exists_ && now.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
                      now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec &&
                      now.st_size == seen_.st_size && now.st_ino == seen_.st_ino;
    if (same) return false;
    exists_ = exists;
    seen_ = now;
    if (!exists) LogError("STILLFRAME_TRACEPOINTS " + path_ + " is not there");
    return true;
  }

  std::optional<model::DesiredSet> Read() {
    if (!exists_) return model::DesiredSet();  // gone: nothing is wanted
    auto text = ReadFile(path_, kMaxFileBytes);
    model::TracepointsFile file;
    std::optional<model::FieldError> error;
    if (text.ok()) error = model::ParseTracepointsFile(*text, file);
    if (!text.ok() || error) {
      // A half-written file must not take the tracepoints out: the old set stays.
      LogError("STILLFRAME_TRACEPOINTS " + path_ + ": " +
               (error ? error->message : text.status().message()));
      return std::nullopt;
    }
    model::DesiredSet desired;
    if (file.stopped) desired.stop = "by " + path_;
    const auto unix_ms = static_cast<uint64_t>(RealtimeNanos() / 1'000'000);
    for (model::NamedSpec& named : file.tracepoints) {
      if (!model::Selects(named.spec.selector, identity_)) continue;  // another process's
      Known& known = known_[named.id];
      std::string json = model::SpecToJson(named.spec);
      if (known.json != json) known = {std::move(json), known.revision + 1};
      // A file that is written again, or touched, renews what is in it.
      desired.tracepoints.push_back({named.id, known.revision,
                                     unix_ms + named.spec.limits.expires_in_ms,
                                     std::move(named.spec), std::nullopt});
    }
    return desired;
  }

  struct Known {
    std::string json;
    uint64_t revision = 0;
  };

  const std::string path_;
  const model::AgentIdentity& identity_;
  LineWriter writer_;
  bool knows_desired_ = false;
  int64_t looked_at_ns_ = 0;
  bool exists_ = true;
  struct stat seen_ {};
  std::map<std::string, Known> known_;
  std::map<std::string, std::string> said_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

}  // namespace

Result<std::unique_ptr<Link>> MakeFileLink(const Options& options,
                                           const model::AgentIdentity& identity) {
  auto link = std::make_unique<FileLink>(options, identity);
  SF_RETURN_IF_ERROR(link->Open(options.output_file));
  return std::unique_ptr<Link>(std::move(link));
}

}  // namespace stillframe::agent
