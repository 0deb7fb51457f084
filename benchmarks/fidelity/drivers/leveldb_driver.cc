// Puts, reads and compacts in memory, always the same way.
#include <cstdio>
#include <memory>
#include <string>

#include "helpers/memenv/memenv.h"
#include "leveldb/db.h"
#include "leveldb/env.h"
#include "leveldb/write_batch.h"

int main() {
  const std::unique_ptr<leveldb::Env> env(leveldb::NewMemEnv(leveldb::Env::Default()));
  leveldb::Options options;
  options.create_if_missing = true;
  options.env = env.get();
  leveldb::DB* opened = nullptr;
  if (!leveldb::DB::Open(options, "/db", &opened).ok()) return 1;
  const std::unique_ptr<leveldb::DB> db(opened);
  for (int i = 0; i < 500; ++i) {
    leveldb::WriteBatch batch;
    batch.Put("key" + std::to_string(i * 7 % 500), std::string(static_cast<size_t>(i % 90), 'v'));
    if (i % 5 == 0) batch.Delete("key" + std::to_string(i / 2));
    if (!db->Write(leveldb::WriteOptions(), &batch).ok()) return 1;
  }
  db->CompactRange(nullptr, nullptr);
  size_t bytes = 0, found = 0;
  const std::unique_ptr<leveldb::Iterator> it(db->NewIterator(leveldb::ReadOptions()));
  for (it->SeekToFirst(); it->Valid(); it->Next()) bytes += it->value().size();
  for (int i = 0; i < 500; ++i) {
    std::string value;
    found += db->Get(leveldb::ReadOptions(), "key" + std::to_string(i), &value).ok() ? 1 : 0;
  }
  std::printf("%zu bytes, %zu found\n", bytes, found);
}
