// What outlives the process: tracepoints, snapshots and keys, in one SQLite file (WAL mode,
// synchronous=FULL).
//
// Guarantees: a write is reported done only after its transaction was synced to disk. Writes run
// in order on one thread and share commits. After an I/O error or corruption the store takes no
// more writes (what a failed fsync lost cannot be known) and says so in healthy().
//
// Threads: every method from any thread.
#ifndef STILLFRAME_SERVER_STORE_H_
#define STILLFRAME_SERVER_STORE_H_

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "model/tracepoint.h"
#include "server/auth.h"
#include "server/sqlite.h"
#include "server/stops.h"

namespace stillframe::server {

struct StoredTracepoint {
  model::Tracepoint tracepoint;
  int64_t created_ms = 0;
  int64_t expires_ms = 0;  // 0 = never
  std::string progress;    // Hub::Progress, as JSON
};

struct SnapshotRow {
  std::string id, service, instance, environment, tracepoint_id, trace_id;
  std::string kind = "SNAPSHOT";
  uint64_t epoch = 0, sequence = 0;
  int64_t time_ns = 0;      // of capture
  int64_t received_ms = 0;  // retention counts from here: a wrong clock deletes nothing
  std::string json;
  bool inserted = false;  // out: false = it was stored before
};

// Position in a newest-first list: everything after (older than) this row.
struct SnapshotCursor {
  int64_t time_ns = 0, row = 0;
};
struct SnapshotQuery {
  std::string service, tracepoint, trace_id, environment, kind;  // "" = any
  std::optional<int64_t> since_ns;
  std::optional<SnapshotCursor> after;
  uint32_t limit = 50;
  uint64_t max_bytes = 8u << 20;  // of JSON; at least one row is returned
};
struct SnapshotPage {
  std::vector<std::string> json;
  std::optional<SnapshotCursor> next;
};

class Store {
 public:
  // `spec` is "sqlite:PATH". Errors: kUnsupported (postgres), kInvalidArgument, kCorrupt,
  // kNotPermitted, kUnavailable (locked). With `serve`, takes the lock that keeps a second server
  // off the file, and starts the writer.
  static Result<std::unique_ptr<Store>> Open(const std::string& spec, bool serve);
  ~Store();
  // Writes what waits, takes no more. Callbacks have all run when it returns.
  void Stop();

  struct Tracepoints {
    std::vector<StoredTracepoint> list;
    uint64_t revision = 0;
  };
  Result<Tracepoints> LoadTracepoints();
  // Saves or replaces; the set's revision is stored with it.
  Status PutTracepoint(const StoredTracepoint& tracepoint, uint64_t set_revision);
  Status DeleteTracepoints(const std::vector<std::string>& ids, uint64_t set_revision);

  // Calls `done` on the writer's thread, once it is durable or failed. kUnavailable at once when
  // the store takes no more; then without calling it.
  Status SaveProgress(const std::string& id, std::string progress,
                      std::function<void(const Status&)> done);

  Result<std::vector<StopOrder>> LoadStops();
  Status PutStop(const StopOrder& stop, uint64_t set_revision);
  Status DeleteStop(const std::string& id, uint64_t set_revision);

  // Calls `done` on the writer's thread once the rows are durable (or on failure).
  using SnapshotsDone = std::function<void(Status, std::vector<SnapshotRow>)>;
  // kUnavailable at once, without calling `done`, when too much waits already.
  Status InsertSnapshots(std::vector<SnapshotRow> rows, SnapshotsDone done);
  Result<SnapshotPage> ListSnapshots(const SnapshotQuery& query);
  // nullopt: no such snapshot within the scope.
  Result<std::optional<std::string>> GetSnapshot(const std::string& id, const Principal& principal);
  // Returns how many were deleted.
  Result<uint64_t> DeleteSnapshotsBefore(int64_t received_ms);
  Result<uint64_t> CountSnapshots();

  Status AddKey(const StoredKey& key);
  Result<std::vector<StoredKey>> ListKeys();
  Result<bool> RevokeKey(const std::string& id);
  // Adds `key` unless a first key was made before; false: it was.
  Result<bool> AddFirstKey(const StoredKey& key);
  // Changes when another connection or process has written (SQLite's data_version).
  Result<int64_t> DataVersion();

  bool healthy() const { return healthy_; }
  // A real (rolled back) write, for readiness.
  Status CheckWritable();

 private:
  struct Job {
    std::function<Status(Database&)> run;
    std::function<void(Status)> done;
    uint64_t bytes = 0;
  };
  class Reader;  // a borrowed read connection

  explicit Store(std::string path) : path_(std::move(path)) {}
  Status LockFile();
  Status Prepare();
  Status Write(std::function<Status(Database&)> run);  // waits
  Status Enqueue(Job job, uint64_t max_waiting_bytes);
  void WriterLoop();
  void CommitBatch(std::vector<Job>& batch);
  Result<std::unique_ptr<Database>> TakeReader();
  void ReturnReader(std::unique_ptr<Database> reader);
  void Damaged(const Status& status);

  const std::string path_;
  UniqueFd lock_;
  std::unique_ptr<Database> writer_;  // writer thread, once it runs
  std::unique_ptr<Database> version_reader_;
  std::mutex version_mutex_;  // guards version_reader_
  std::mutex readers_mutex_;  // guards readers_
  std::vector<std::unique_ptr<Database>> readers_;
  std::mutex jobs_mutex_;  // guards the three below
  std::deque<Job> jobs_;
  uint64_t waiting_bytes_ = 0;
  bool stopping_ = false;
  std::condition_variable jobs_ready_;
  std::atomic<bool> healthy_{true};
  std::thread thread_;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_STORE_H_
