#include "server/crypto.h"
#include "server/store_reader.h"

namespace stillframe::server {
namespace {

constexpr uint64_t kMaxWaitingBytes = 64u << 20;
constexpr int64_t kDeleteBatch = 500;

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }  // SQLite has no unsigned

Status InsertOne(Database& database, SnapshotRow& row) {
  SF_ASSIGN_OR_RETURN(
      auto statement,
      database.Prepare("INSERT INTO snapshots (id, service, instance, environment, epoch, "
                       "sequence, tracepoint, trace, time_ns, received_ms, json, kind) "
                       "VALUES (?,?,?,?,?,?,?,?,?,?,?,?) "
                       "ON CONFLICT (service, instance, epoch, sequence) DO NOTHING"));
  statement.Bind(1, row.id).Bind(2, row.service).Bind(3, row.instance).Bind(4, row.environment);
  statement.Bind(5, Signed(row.epoch)).Bind(6, Signed(row.sequence)).Bind(7, row.tracepoint_id);
  statement.Bind(8, row.trace_id).Bind(9, row.time_ns).Bind(10, row.received_ms);
  statement.Bind(11, row.json).Bind(12, row.kind);
  SF_RETURN_IF_ERROR(statement.Run());
  row.inserted = database.changes() > 0;
  return {};
}

void BindQuery(Statement& statement, const SnapshotQuery& query) {
  statement.Bind(1, query.service).Bind(2, query.tracepoint).Bind(3, query.trace_id);
  statement.Bind(4, query.environment);
  statement.Bind(5, query.since_ns.value_or(INT64_MIN));
  statement.Bind(6, query.after ? query.after->time_ns : INT64_MAX);
  statement.Bind(7, query.after ? query.after->row : INT64_MAX);
  statement.Bind(8, static_cast<int64_t>(query.limit) + 1).Bind(9, query.kind);
}

// The most selective filter picks the index; the others only check. A unary plus keeps SQLite from
// choosing their index.
#define STILLFRAME_LIST_SQL(BY_SERVICE, BY_TRACEPOINT, BY_TRACE)                   \
  "SELECT n, time_ns, json FROM snapshots WHERE " BY_SERVICE " AND " BY_TRACEPOINT \
  " AND " BY_TRACE                                                                 \
  " AND (?4 = '' OR environment = ?4) AND (?9 = '' OR kind = ?9)"                  \
  " AND time_ns >= ?5 AND (time_ns, n) < (?6, ?7) "                                \
  "ORDER BY time_ns DESC, n DESC LIMIT ?8"
constexpr char kAnyService[] = STILLFRAME_LIST_SQL(
    "(?1 = '' OR +service = ?1)", "(?2 = '' OR +tracepoint = ?2)", "(?3 = '' OR +trace = ?3)");
constexpr char kByService[] = STILLFRAME_LIST_SQL("service = ?1", "(?2 = '' OR +tracepoint = ?2)",
                                                  "(?3 = '' OR +trace = ?3)");
constexpr char kByTracepoint[] = STILLFRAME_LIST_SQL("(?1 = '' OR +service = ?1)",
                                                     "tracepoint = ?2", "(?3 = '' OR +trace = ?3)");
constexpr char kByTrace[] = STILLFRAME_LIST_SQL(
    "(?1 = '' OR +service = ?1)", "(?2 = '' OR +tracepoint = ?2)", "trace = ?3 AND trace <> ''");

const char* SqlFor(const SnapshotQuery& query) {
  if (!query.trace_id.empty()) return kByTrace;
  if (!query.tracepoint.empty()) return kByTracepoint;
  if (!query.service.empty()) return kByService;
  return kAnyService;
}

}  // namespace

Status Store::InsertSnapshots(std::vector<SnapshotRow> rows, SnapshotsDone done) {
  auto shared = std::make_shared<std::vector<SnapshotRow>>(std::move(rows));
  Job job;
  for (const SnapshotRow& row : *shared) job.bytes += row.json.size() + 512;
  job.run = [shared](Database& database) -> Status {
    for (SnapshotRow& row : *shared) SF_RETURN_IF_ERROR(InsertOne(database, row));
    return {};
  };
  job.done = [shared, done = std::move(done)](Status status) {
    done(std::move(status), std::move(*shared));
  };
  return Enqueue(std::move(job), kMaxWaitingBytes);
}

Result<SnapshotPage> Store::ListSnapshots(const SnapshotQuery& query) {
  SF_ASSIGN_OR_RETURN(auto connection, TakeReader());
  Reader reader(*this, std::move(connection));
  SF_ASSIGN_OR_RETURN(auto statement, reader->Prepare(SqlFor(query)));
  BindQuery(statement, query);
  SnapshotPage page;
  SnapshotCursor last;
  uint64_t bytes = 0;
  while (true) {
    SF_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return page;
    std::string json = statement.Text(2);
    bytes += json.size();
    const bool full = page.json.size() == query.limit || bytes > query.max_bytes;
    if (full && !page.json.empty()) {
      page.next = last;
      return page;
    }
    last = {statement.Number(1), statement.Number(0)};
    page.json.push_back(std::move(json));
  }
}

Result<std::optional<std::string>> Store::GetSnapshot(const std::string& id,
                                                      const Principal& principal) {
  SF_ASSIGN_OR_RETURN(auto connection, TakeReader());
  Reader reader(*this, std::move(connection));
  SF_ASSIGN_OR_RETURN(
      auto statement,
      reader->Prepare("SELECT json, service, environment FROM snapshots WHERE id = ?"));
  statement.Bind(1, id);
  SF_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row || !principal.SeesService(statement.Text(1)) ||
      !principal.SeesEnvironment(statement.Text(2))) {
    return std::optional<std::string>();
  }
  return std::optional<std::string>(statement.Text(0));
}

// In small transactions, so that publishing agents never wait long for the writer.
Result<uint64_t> Store::DeleteSnapshotsBefore(int64_t received_ms) {
  uint64_t total = 0;
  int deleted = 0;
  do {
    SF_RETURN_IF_ERROR(Write([received_ms, &deleted](Database& database) -> Status {
      SF_ASSIGN_OR_RETURN(auto statement,
                          database.Prepare("DELETE FROM snapshots WHERE n IN (SELECT n FROM "
                                           "snapshots WHERE received_ms < ? LIMIT ?)"));
      statement.Bind(1, received_ms).Bind(2, kDeleteBatch);
      const Status run = statement.Run();
      deleted = database.changes();
      return run;
    }));
    total += static_cast<uint64_t>(deleted);
  } while (deleted == kDeleteBatch);
  if (total > 0) {
    SF_RETURN_IF_ERROR(Write(
        [](Database& database) { return database.Execute("PRAGMA incremental_vacuum(2000)"); }));
  }
  return total;
}

Result<uint64_t> Store::CountSnapshots() {
  SF_ASSIGN_OR_RETURN(auto connection, TakeReader());
  Reader reader(*this, std::move(connection));
  SF_ASSIGN_OR_RETURN(auto statement, reader->Prepare("SELECT count(*) FROM snapshots"));
  SF_RETURN_IF_ERROR(statement.Step().status());
  return static_cast<uint64_t>(statement.Number(0));
}

}  // namespace stillframe::server
