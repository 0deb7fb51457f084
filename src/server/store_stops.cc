#include "server/store_reader.h"

// Stops.
namespace stillframe::server {

Result<std::vector<StopOrder>> Store::LoadStops() {
  SF_ASSIGN_OR_RETURN(auto connection, TakeReader());
  Reader reader(*this, std::move(connection));
  SF_ASSIGN_OR_RETURN(auto rows, reader->Prepare("SELECT id, service, instance, environment, "
                                                 "reason, created_by, created_ms FROM stops"));
  std::vector<StopOrder> list;
  while (true) {
    SF_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return list;
    list.push_back({rows.Text(0), rows.Text(1), rows.Text(2), rows.Text(3), rows.Text(4),
                    rows.Text(5), rows.Number(6)});
  }
}

Status Store::PutStop(const StopOrder& stop, uint64_t set_revision) {
  return Write([&stop, set_revision](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto statement,
                        database.Prepare("INSERT OR REPLACE INTO stops (id, service, instance, "
                                         "environment, reason, created_by, created_ms) "
                                         "VALUES (?,?,?,?,?,?,?)"));
    statement.Bind(1, stop.id).Bind(2, stop.service).Bind(3, stop.instance);
    statement.Bind(4, stop.environment).Bind(5, stop.reason).Bind(6, stop.created_by);
    SF_RETURN_IF_ERROR(statement.Bind(7, stop.created_ms).Run());
    return SetRevision(database, set_revision);
  });
}

Status Store::DeleteStop(const std::string& id, uint64_t set_revision) {
  return Write([&id, set_revision](Database& database) -> Status {
    SF_ASSIGN_OR_RETURN(auto statement, database.Prepare("DELETE FROM stops WHERE id = ?"));
    SF_RETURN_IF_ERROR(statement.Bind(1, id).Run());
    return SetRevision(database, set_revision);
  });
}

}  // namespace stillframe::server
