#include "server/sqlite.h"

#include <sqlite3.h>

namespace stillframe::server {
namespace {

constexpr int kBusyTimeoutMs = 5'000;

Code CodeOf(int result) {
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Code::kCorrupt;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Code::kNotPermitted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
      return Code::kUnavailable;
    case SQLITE_TOOBIG:
      return Code::kOverLimit;
    default:
      return Code::kIoError;
  }
}

Status ErrorOf(sqlite3* handle) {
  const int result = sqlite3_extended_errcode(handle);
  std::string message = sqlite3_errmsg(handle);
  if ((result & 0xff) == SQLITE_BUSY) message += " by another process";
  return {CodeOf(result), message};
}

}  // namespace

Statement::~Statement() {
  if (handle_ == nullptr) return;
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
}

Statement& Statement::Bind(int position, std::string_view text) {
  sqlite3_bind_text64(handle_, position, text.data() == nullptr ? "" : text.data(), text.size(),
                      SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}

Statement& Statement::Bind(int position, int64_t number) {
  sqlite3_bind_int64(handle_, position, number);
  return *this;
}

Result<bool> Statement::Step() {
  const int result = sqlite3_step(handle_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return ErrorOf(sqlite3_db_handle(handle_));
}

Status Statement::Run() { return Step().status(); }

int64_t Statement::Number(int column) const { return sqlite3_column_int64(handle_, column); }

std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  const int size = sqlite3_column_bytes(handle_, column);
  return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(size));
}

Result<std::unique_ptr<Database>> Database::Open(const std::string& path, bool writable) {
  sqlite3* handle = nullptr;
  // One thread at a time uses a connection, so SQLite's own mutexes are not needed.
  const int flags = (writable ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  const int result = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  std::unique_ptr<Database> database(new Database(handle, path));
  if (result != SQLITE_OK) {
    return Status(CodeOf(result),
                  handle == nullptr ? sqlite3_errstr(result) : sqlite3_errmsg(handle))
        .WithContext(path);
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(handle_);
}

Result<Statement> Database::Prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr && sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                                 &statement, nullptr) != SQLITE_OK) {
    return ErrorOf(handle_).WithContext(path_);
  }
  return Statement(statement);
}

Status Database::Execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return ErrorOf(handle_).WithContext(path_);
}

int Database::changes() const { return sqlite3_changes(handle_); }

}  // namespace stillframe::server
