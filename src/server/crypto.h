// Randomness, hashing and comparison for keys and ids.
#ifndef STILLFRAME_SERVER_CRYPTO_H_
#define STILLFRAME_SERVER_CRYPTO_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace stillframe::server {

// Lower-case hex of `bytes` cryptographically random bytes; ends the process when the system has
// no randomness, because a guessable key must never be handed out.
std::string RandomHex(size_t bytes);
// 64 lower-case hex digits.
std::string Sha256Hex(std::string_view text);
// Time depends on the lengths only.
bool EqualConstantTime(std::string_view a, std::string_view b);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_CRYPTO_H_
