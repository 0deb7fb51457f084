#include "base/log.h"
#include "model/snapshot.h"
#include "server/store_reader.h"

// Tracepoints and keys.
namespace stillframe::server {

Status SetRevision(Database& database, uint64_t revision) {
  SF_ASSIGN_OR_RETURN(auto statement,
                      database.Prepare("INSERT INTO meta VALUES ('revision', ?) "
                                       "ON CONFLICT (name) DO UPDATE SET value = excluded.value"));
  return statement.Bind(1, static_cast<int64_t>(revision)).Run();
}

namespace {

// False: the row cannot be read by this version. It stays in the file and is reported.
bool ReadTracepoint(const Statement& row, StoredTracepoint& out) {
  model::Tracepoint& tracepoint = out.tracepoint;
  tracepoint.id = row.Text(0);
  tracepoint.service = row.Text(1);
  tracepoint.revision = static_cast<uint64_t>(row.Number(2));
  out.created_ms = row.Number(3);
  out.expires_ms = row.Number(4);
  tracepoint.created_by = row.Text(5);
  tracepoint.created_at = model::FormatTime(out.created_ms * 1'000'000);
  if (out.expires_ms != 0) tracepoint.expires_at = model::FormatTime(out.expires_ms * 1'000'000);
  out.progress = row.Text(7);
  const auto error = model::ParseTracepointSpec(row.Text(6), tracepoint.spec, nullptr);
  if (error) {
    LogError("store: tracepoint " + tracepoint.id + " cannot be read: " + error->message);
  }
  return !error;
}

Status InsertKey(Database& database, const StoredKey& key) {
  SF_ASSIGN_OR_RETURN(auto statement,
                      database.Prepare("INSERT INTO keys (id, hash, role, service, environment, "
                                       "created_ms) VALUES (?,?,?,?,?,?)"));
  statement.Bind(1, key.id).Bind(2, key.hash).Bind(3, RoleName(key.role)).Bind(4, key.service);
  return statement.Bind(5, key.environment).Bind(6, key.created_ms).Run();
}

}  // namespace

Result<Store::Tracepoints> Store::LoadTracepoints() {
  SF_ASSIGN_OR_RETURN(auto connection, TakeReader());
  Reader reader(*this, std::move(connection));
  Tracepoints out;
  SF_ASSIGN_OR_RETURN(auto revision,
                      reader->Prepare("SELECT value FROM meta WHERE name = 'revision'"));
  SF_ASSIGN_OR_RETURN(const bool known, revision.Step());
  if (known) out.revision = static_cast<uint64_t>(revision.Number(0));
  SF_ASSIGN_OR_RETURN(auto rows, reader->Prepare("SELECT id, service, revision, created_ms, "
                                                 "expires_ms, created_by, spec, progress "
                                                 "FROM tracepoints"));
  while (true) {
    SF_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return out;
    StoredTracepoint tracepoint;
    if (ReadTracepoint(rows, tracepoint)) out.list.push_back(std::move(tracepoint));
  }
}

Status Store::PutTracepoint(const StoredTracepoint& stored, uint64_t set_revision) {
  return Write([&stored, set_revision](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto statement,
                        database.Prepare("INSERT OR REPLACE INTO tracepoints (id, service, "
                                         "revision, created_ms, expires_ms, created_by, spec, "
                                         "progress) VALUES (?,?,?,?,?,?,?,?)"));
    const model::Tracepoint& tracepoint = stored.tracepoint;
    statement.Bind(1, tracepoint.id).Bind(2, tracepoint.service);
    statement.Bind(3, static_cast<int64_t>(tracepoint.revision)).Bind(4, stored.created_ms);
    statement.Bind(5, stored.expires_ms).Bind(6, tracepoint.created_by);
    statement.Bind(7, model::SpecToJson(tracepoint.spec)).Bind(8, stored.progress);
    SF_RETURN_IF_ERROR(statement.Run());
    return SetRevision(database, set_revision);
  });
}

Status Store::DeleteTracepoints(const std::vector<std::string>& ids, uint64_t set_revision) {
  return Write([&ids, set_revision](Database& database) -> Status {
    for (const std::string& id : ids) {
      SF_ASSIGN_OR_RETURN(auto statement, database.Prepare("DELETE FROM tracepoints WHERE id = ?"));
      SF_RETURN_IF_ERROR(statement.Bind(1, id).Run());
    }
    return SetRevision(database, set_revision);
  });
}

Status Store::SaveProgress(const std::string& id, std::string progress,
                           std::function<void(const Status&)> done) {
  const auto run = [id, progress = std::move(progress)](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto statement,
                        database.Prepare("UPDATE tracepoints SET progress = ? WHERE id = ?"));
    return statement.Bind(1, progress).Bind(2, id).Run();
  };
  return Enqueue({run, std::move(done), 0}, UINT64_MAX);
}

Status Store::AddKey(const StoredKey& key) {
  return Write([&key](Database& database) { return InsertKey(database, key); });
}

Result<bool> Store::AddFirstKey(const StoredKey& key) {
  bool added = false;
  const Status written = Write([&key, &added](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto mark, database.Prepare("INSERT INTO meta VALUES ('first_key', 1) "
                                                    "ON CONFLICT (name) DO NOTHING"));
    SF_RETURN_IF_ERROR(mark.Run());
    added = database.changes() > 0;
    return added ? InsertKey(database, key) : Status();
  });
  if (!written.ok()) return written;
  return added;
}

Result<std::vector<StoredKey>> Store::ListKeys() {
  SF_ASSIGN_OR_RETURN(auto connection, TakeReader());
  Reader reader(*this, std::move(connection));
  SF_ASSIGN_OR_RETURN(auto rows,
                      reader->Prepare("SELECT id, hash, role, service, environment, created_ms "
                                      "FROM keys ORDER BY created_ms, id"));
  std::vector<StoredKey> keys;
  while (true) {
    SF_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return keys;
    const auto role = RoleFromName(rows.Text(2));
    if (!role) continue;  // of a newer version: grants nothing here
    keys.push_back({rows.Text(0), rows.Text(1), *role, rows.Text(3), rows.Text(4), rows.Number(5)});
  }
}

Result<bool> Store::RevokeKey(const std::string& id) {
  bool found = false;
  const Status written = Write([&id, &found](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto statement, database.Prepare("DELETE FROM keys WHERE id = ?"));
    SF_RETURN_IF_ERROR(statement.Bind(1, id).Run());
    found = database.changes() > 0;
    return {};
  });
  if (!written.ok()) return written;
  return found;
}

}  // namespace stillframe::server
