// SQLite behind Status: one connection and its prepared statements, for one thread at a time.
#ifndef STILLFRAME_SERVER_SQLITE_H_
#define STILLFRAME_SERVER_SQLITE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace stillframe::server {

// A prepared statement in use; reset when it goes out of scope. Bind positions count from 1,
// columns from 0, as in SQLite.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}
  Statement(Statement&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& Bind(int position, std::string_view text);
  Statement& Bind(int position, int64_t number);
  // True: a row is there. False: done.
  Result<bool> Step();
  // For statements without rows.
  Status Run();
  int64_t Number(int column) const;
  std::string Text(int column) const;

 private:
  sqlite3_stmt* handle_;
};

class Database {
 public:
  // kNotFound, kIoError, kCorrupt: the message names the file.
  static Result<std::unique_ptr<Database>> Open(const std::string& path, bool writable);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Prepared once per connection; `sql` must be a literal.
  Result<Statement> Prepare(const char* sql);
  Status Execute(const char* sql);  // any number of statements
  int changes() const;              // rows of the last INSERT, UPDATE or DELETE
  const std::string& path() const { return path_; }

 private:
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  sqlite3* handle_;
  std::string path_;
  std::map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_SQLITE_H_
