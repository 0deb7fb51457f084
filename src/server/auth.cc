#include "server/auth.h"

#include <array>

#include "server/crypto.h"

namespace stillframe::server {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"agent", "viewer", "editor", "admin"};
constexpr std::string_view kPrefix = "sfk_";
constexpr size_t kIdDigits = 12, kSecretDigits = 64;

}  // namespace

std::string_view RoleName(Role role) { return kNames[static_cast<size_t>(role)]; }

std::optional<Role> RoleFromName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Role>(i);
  }
  return std::nullopt;
}

bool Allows(Role role, Access access) {
  switch (access) {
    case Access::kPublic:
      return true;
    case Access::kAgent:
      return role == Role::kAgent;
    case Access::kRead:
      return role != Role::kAgent;
    case Access::kWrite:
      return role == Role::kEditor || role == Role::kAdmin;
  }
  return false;
}

NewKey MakeKey(Role role, std::string service, std::string environment, int64_t now_ms) {
  NewKey key;
  key.stored.id = RandomHex(kIdDigits / 2);
  key.secret = std::string(kPrefix) + key.stored.id + "_" + RandomHex(kSecretDigits / 2);
  key.stored.hash = Sha256Hex(key.secret);
  key.stored.role = role;
  key.stored.service = std::move(service);
  key.stored.environment = std::move(environment);
  key.stored.created_ms = now_ms;
  return key;
}

std::optional<std::string> KeyIdOf(std::string_view secret) {
  if (secret.size() != kPrefix.size() + kIdDigits + 1 + kSecretDigits ||
      secret.substr(0, kPrefix.size()) != kPrefix || secret[kPrefix.size() + kIdDigits] != '_') {
    return std::nullopt;
  }
  return std::string(secret.substr(kPrefix.size(), kIdDigits));
}

}  // namespace stillframe::server
