// Keys in memory, re-read as soon as the database says that someone wrote to it.
#ifndef STILLFRAME_SERVER_KEY_CACHE_H_
#define STILLFRAME_SERVER_KEY_CACHE_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "server/store.h"

namespace stillframe::server {

// Threads: any. A lookup costs one SHA-256 and, at most every kFreshMs or on a miss, a look at the
// database's version; so a key made or revoked by another process counts within that time.
class KeyCache {
 public:
  static constexpr int64_t kFreshMs = 250;
  explicit KeyCache(Store& store) : store_(store) {}

  // The holder of the key, or nullopt.
  std::optional<Principal> Find(std::string_view secret);
  // False once revoked. True for "" (no key is needed).
  bool Valid(const std::string& key_id);

 private:
  void Refresh(bool now);

  Store& store_;
  std::mutex mutex_;  // guards the rest
  std::map<std::string, StoredKey> keys_;
  std::optional<int64_t> version_;
  int64_t checked_ms_ = -kFreshMs;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_KEY_CACHE_H_
