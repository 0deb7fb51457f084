// What the store's files share: a read connection borrowed for one scope.
#ifndef STILLFRAME_SERVER_STORE_READER_H_
#define STILLFRAME_SERVER_STORE_READER_H_

#include "server/store.h"

namespace stillframe::server {

// The revision of the desired sets, with every change of them.
Status SetRevision(Database& database, uint64_t revision);

class Store::Reader {
 public:
  Reader(Store& store, std::unique_ptr<Database> database)
      : store_(store), database_(std::move(database)) {}
  ~Reader() { store_.ReturnReader(std::move(database_)); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  Database* operator->() { return database_.get(); }

 private:
  Store& store_;
  std::unique_ptr<Database> database_;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_STORE_READER_H_
