// Who may do what: roles, scopes and the rules between them.
#ifndef STILLFRAME_SERVER_AUTH_H_
#define STILLFRAME_SERVER_AUTH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stillframe::server {

enum class Role : uint8_t { kAgent, kViewer, kEditor, kAdmin };
std::string_view RoleName(Role role);  // "agent"
std::optional<Role> RoleFromName(std::string_view name);

// What a route asks for.
enum class Access : uint8_t { kPublic, kRead, kWrite, kAgent };

// The holder of a key.
struct Principal {
  std::string key_id;
  Role role = Role::kViewer;
  std::string service, environment;  // "" = any
  bool everything = false;           // --no-auth

  bool SeesService(std::string_view name) const { return service.empty() || service == name; }
  bool SeesEnvironment(std::string_view name) const {
    return environment.empty() || environment == name;
  }
};

// Agent keys do nothing but the agents' calls, and the agents' calls take nothing but agent keys:
// a key stolen from a service reads no snapshot, and an engineer's key forges none.
bool Allows(Role role, Access access);

// One key as stored. The key itself is never stored: it holds 256 random bits, so one SHA-256 is
// enough (no dictionary can be tried).
struct StoredKey {
  std::string id;
  std::string hash;  // Sha256Hex of the whole key
  Role role = Role::kViewer;
  std::string service, environment;
  int64_t created_ms = 0;
};

struct NewKey {
  StoredKey stored;
  std::string secret;  // "sfk_<id>_<64 hex digits>", shown once
};
NewKey MakeKey(Role role, std::string service, std::string environment, int64_t now_ms);
// The id in a key of that form.
std::optional<std::string> KeyIdOf(std::string_view secret);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_AUTH_H_
