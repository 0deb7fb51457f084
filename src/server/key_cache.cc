#include "server/key_cache.h"

#include "base/log.h"
#include "server/clock.h"
#include "server/crypto.h"

namespace stillframe::server {

std::optional<Principal> KeyCache::Find(std::string_view secret) {
  const auto id = KeyIdOf(secret);
  if (!id) return std::nullopt;
  const std::string hash = Sha256Hex(secret);
  std::lock_guard lock(mutex_);
  Refresh(false);
  if (keys_.count(*id) == 0) Refresh(true);
  const auto found = keys_.find(*id);
  static const std::string kNoHash(64, '0');
  const bool match = EqualConstantTime(found == keys_.end() ? kNoHash : found->second.hash, hash);
  if (found == keys_.end() || !match) return std::nullopt;
  const StoredKey& key = found->second;
  return Principal{key.id, key.role, key.service, key.environment, false};
}

bool KeyCache::Valid(const std::string& key_id) {
  if (key_id.empty()) return true;
  std::lock_guard lock(mutex_);
  Refresh(false);
  return keys_.count(key_id) != 0;
}

void KeyCache::Refresh(bool now) {
  const int64_t time_ms = MonotonicMs();
  if (!now && time_ms - checked_ms_ < kFreshMs) return;
  checked_ms_ = time_ms;
  const auto version = store_.DataVersion();
  if (version.ok() && version_ && *version == *version_) return;
  auto keys = store_.ListKeys();
  if (!version.ok() || !keys.ok()) {
    // Fail closed: a key that may have been revoked opens nothing.
    LogError("keys cannot be read: " + keys.status().ToString());
    keys_.clear();
    version_.reset();
    return;
  }
  version_ = *version;
  keys_.clear();
  for (StoredKey& key : *keys) keys_.emplace(key.id, std::move(key));
}

}  // namespace stillframe::server
