#include "server/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <future>

#include "base/log.h"

namespace stillframe::server {
namespace {

constexpr size_t kMaxBatch = 256;
constexpr uint64_t kNoLimit = ~uint64_t{0};
constexpr uint64_t kQuickCheckBytes = 256u << 20;

constexpr int64_t kSchemaVersion = 3;
constexpr char kSchema[] = R"(
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tracepoints (
  id TEXT PRIMARY KEY, service TEXT NOT NULL, revision INTEGER NOT NULL,
  created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, created_by TEXT NOT NULL,
  spec TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots (
  n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, service TEXT NOT NULL,
  instance TEXT NOT NULL, environment TEXT NOT NULL, epoch INTEGER NOT NULL,
  sequence INTEGER NOT NULL, tracepoint TEXT NOT NULL, trace TEXT NOT NULL,
  time_ns INTEGER NOT NULL, received_ms INTEGER NOT NULL, json TEXT NOT NULL,
  UNIQUE (service, instance, epoch, sequence));
CREATE INDEX snapshots_by_time ON snapshots (time_ns, n);
CREATE INDEX snapshots_by_service ON snapshots (service, time_ns, n);
CREATE INDEX snapshots_by_tracepoint ON snapshots (tracepoint, time_ns, n);
CREATE INDEX snapshots_by_trace ON snapshots (trace, time_ns, n) WHERE trace <> '';
CREATE INDEX snapshots_by_arrival ON snapshots (received_ms);
CREATE TABLE keys (
  id TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL, service TEXT NOT NULL,
  environment TEXT NOT NULL, created_ms INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
)";
// From each version to the next; a new file goes through all of them.
constexpr const char* kMigrations[] = {
    "ALTER TABLE snapshots ADD COLUMN kind TEXT NOT NULL DEFAULT 'SNAPSHOT';"
    "PRAGMA user_version = 2;",
    "CREATE TABLE stops (id TEXT PRIMARY KEY, service TEXT NOT NULL, instance TEXT NOT NULL, "
    "environment TEXT NOT NULL, reason TEXT NOT NULL, created_by TEXT NOT NULL, "
    "created_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "ALTER TABLE tracepoints ADD COLUMN progress TEXT NOT NULL DEFAULT '';"
    "PRAGMA user_version = 3;",
};
static_assert(std::size(kMigrations) == kSchemaVersion - 1);

Result<std::string> PathOf(const std::string& spec) {
  if (spec.rfind("postgres", 0) == 0) {
    return Status(Code::kUnsupported,
                  "--store postgres://… is not supported by this version; use sqlite:PATH");
  }
  if (spec.rfind("sqlite:", 0) != 0 || spec.size() == 7) {
    return Status(Code::kInvalidArgument, "--store must be sqlite:PATH, not \"" + spec + "\"");
  }
  return spec.substr(7);
}

Status SchemaTooNew(int64_t version) {
  return {Code::kUnsupported, "the store has schema version " + std::to_string(version) +
                                  ", written by a newer stillframe-server; this one knows " +
                                  std::to_string(kSchemaVersion)};
}

Result<int64_t> ReadNumber(Database& database, const char* sql) {
  SF_ASSIGN_OR_RETURN(auto statement, database.Prepare(sql));
  SF_RETURN_IF_ERROR(statement.Step().status());
  return statement.Number(0);
}

Status CreateOrCheckSchema(Database& database) {
  SF_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  auto version = ReadNumber(database, "PRAGMA user_version");
  Status status = version.status();
  if (status.ok() && *version == 0) status = database.Execute(kSchema);
  for (int64_t v = status.ok() ? std::max<int64_t>(*version, 1) : kSchemaVersion;
       status.ok() && v < kSchemaVersion; ++v) {
    status = database.Execute(kMigrations[v - 1]);
  }
  if (status.ok() && *version > kSchemaVersion) status = SchemaTooNew(*version);
  if (status.ok()) return database.Execute("COMMIT");
  (void)database.Execute("ROLLBACK");
  return status;
}

Status QuickCheck(Database& database, const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || static_cast<uint64_t>(info.st_size) > kQuickCheckBytes) {
    return {};
  }
  SF_ASSIGN_OR_RETURN(auto statement, database.Prepare("PRAGMA quick_check(1)"));
  SF_RETURN_IF_ERROR(statement.Step().status());
  if (statement.Text(0) == "ok") return {};
  return {Code::kCorrupt, "the database is damaged: " + statement.Text(0)};
}

}  // namespace

Result<std::unique_ptr<Store>> Store::Open(const std::string& spec, bool serve) {
  SF_ASSIGN_OR_RETURN(const std::string path, PathOf(spec));
  std::unique_ptr<Store> store(new Store(path));
  Status status = serve ? store->LockFile() : Status();
  if (status.ok()) status = store->Prepare();
  if (!status.ok()) return status.WithContext("store " + path);
  store->thread_ = std::thread([raw = store.get()] { raw->WriterLoop(); });
  return store;
}

Store::~Store() { Stop(); }

void Store::Stop() {
  {
    std::lock_guard lock(jobs_mutex_);
    stopping_ = true;
  }
  jobs_ready_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// A lock on the database itself would be lost whenever SQLite closes one of its descriptors
// (POSIX record locks), hence a file of our own.
Status Store::LockFile() {
  const std::string path = path_ + ".lock";
  lock_ = UniqueFd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) {
    const int error = errno;
    Status status = ErrnoStatus("open " + path, error);
    return {error == EACCES || error == EROFS ? Code::kNotPermitted : status.code(),
            status.message()};
  }
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return {};
  return {Code::kUnavailable, "another stillframe-server is using it"};
}

Status Store::Prepare() {
  SF_ASSIGN_OR_RETURN(writer_, Database::Open(path_, true));
  // auto_vacuum works only when set before the first table.
  SF_RETURN_IF_ERROR(writer_->Execute(
      "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
      "PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF"));
  // What a transaction changes stays in memory until its end, and so does what would undo a part of
  // it: else a large batch goes to the disk twice. The log is folded in every 16 MiB.
  SF_RETURN_IF_ERROR(writer_->Execute(
      "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32768; PRAGMA wal_autocheckpoint=4096"));
  SF_RETURN_IF_ERROR(CreateOrCheckSchema(*writer_));
  SF_RETURN_IF_ERROR(QuickCheck(*writer_, path_));
  chmod(path_.c_str(), 0600);  // snapshots hold production data
  SF_ASSIGN_OR_RETURN(version_reader_, Database::Open(path_, false));
  return {};
}

Status Store::Enqueue(Job job, uint64_t max_waiting_bytes) {
  if (!healthy_) return {Code::kUnavailable, "the store failed and takes no more writes"};
  {
    std::lock_guard lock(jobs_mutex_);
    if (stopping_) return {Code::kUnavailable, "the server is stopping"};
    if (waiting_bytes_ + job.bytes > max_waiting_bytes) {
      return {Code::kUnavailable, "too many writes are waiting"};
    }
    waiting_bytes_ += job.bytes;
    jobs_.push_back(std::move(job));
  }
  jobs_ready_.notify_one();
  return {};
}

Status Store::Write(std::function<Status(Database&)> run) {
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  Job job{std::move(run), [promise](Status status) { promise->set_value(std::move(status)); }, 0};
  SF_RETURN_IF_ERROR(Enqueue(std::move(job), kNoLimit));
  return future.get();
}

void Store::WriterLoop() {
  while (true) {
    std::vector<Job> batch;
    {
      std::unique_lock lock(jobs_mutex_);
      jobs_ready_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;  // stopping, and all is written
      while (!jobs_.empty() && batch.size() < kMaxBatch) {
        waiting_bytes_ -= jobs_.front().bytes;
        batch.push_back(std::move(jobs_.front()));
        jobs_.pop_front();
      }
    }
    CommitBatch(batch);
  }
}

// One transaction, one fsync, for all that wait; a savepoint each, so that one job's failure does
// not take the others with it.
void Store::CommitBatch(std::vector<Job>& batch) {
  std::vector<Status> results(batch.size());
  Status all = healthy_ ? writer_->Execute("BEGIN IMMEDIATE")
                        : Status(Code::kUnavailable, "the store failed and takes no more writes");
  if (all.ok()) {
    for (size_t i = 0; i < batch.size(); ++i) {
      (void)writer_->Execute("SAVEPOINT job");
      results[i] = batch[i].run(*writer_);
      if (!results[i].ok()) (void)writer_->Execute("ROLLBACK TO job");
      (void)writer_->Execute("RELEASE job");
    }
    all = writer_->Execute("COMMIT");
    if (!all.ok()) (void)writer_->Execute("ROLLBACK");
  }
  if (!all.ok()) Damaged(all);
  for (size_t i = 0; i < batch.size(); ++i) batch[i].done(all.ok() ? results[i] : all);
}

void Store::Damaged(const Status& status) {
  LogError("store: " + status.ToString());
  if (status.code() == Code::kIoError || status.code() == Code::kCorrupt) healthy_ = false;
}

Result<std::unique_ptr<Database>> Store::TakeReader() {
  {
    std::lock_guard lock(readers_mutex_);
    if (!readers_.empty()) {
      auto reader = std::move(readers_.back());
      readers_.pop_back();
      return reader;
    }
  }
  return Database::Open(path_, false);
}

void Store::ReturnReader(std::unique_ptr<Database> reader) {
  std::lock_guard lock(readers_mutex_);
  readers_.push_back(std::move(reader));
}

Result<int64_t> Store::DataVersion() {
  std::lock_guard lock(version_mutex_);
  return ReadNumber(*version_reader_, "PRAGMA data_version");
}

Status Store::CheckWritable() {
  return Write([](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto statement,
                        database.Prepare("INSERT INTO meta VALUES ('probe', 0) "
                                         "ON CONFLICT (name) DO UPDATE SET value = value + 1"));
    return statement.Run();
  });
}

}  // namespace stillframe::server
