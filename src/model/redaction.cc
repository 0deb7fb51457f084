#include "model/redaction.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace stillframe::model {
namespace {

constexpr auto kNames = std::to_array<std::string_view>({
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "passhash",
    "secret",
    "secretkey",
    "token",
    "accesstoken",
    "refreshtoken",
    "authtoken",
    "apikey",
    "apisecret",
    "apisignature",
    "xapikey",
    "auth",
    "authorization",
    "oauth",
    "credential",
    "credentials",
    "clientid",
    "clientsecret",
    "privatekey",
    "sshkey",
    "gpgkey",
    "pgpkey",
    "pemfile",
    "pkcs8",
    "encryptionkey",
    "masterkey",
    "cipher",
    "signature",
    "salt",
    "nonce",
    "otp",
    "2fa",
    "pin",
    "pincode",
    "jwt",
    "jti",
    "session",
    "sessionid",
    "cookie",
    "setcookie",
    "csrf",
    "xsrf",
    "creditcard",
    "ccnumber",
    "cvv",
    "routingnumber",
    "ssn",
    "voterid",
    "connectionstring",
    "databaseurl",
    "ipaddress",
    "xforwardedfor",
    "geolocation",
});
constexpr size_t kMaxRun = 3;  // words in the longest listed name: x-forwarded-for

bool Upper(char c) { return c >= 'A' && c <= 'Z'; }
bool Lower(char c) { return c >= 'a' && c <= 'z'; }
bool Digit(char c) { return c >= '0' && c <= '9'; }
bool Alnum(char c) { return Upper(c) || Lower(c) || Digit(c); }
char ToLower(char c) { return Upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

// "m_apiKeyV2" -> m api key v2; "HTTPToken" -> http token; "2fa" stays one word.
std::vector<std::string> Words(std::string_view name) {
  std::vector<std::string> words;
  bool start = true;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (!Alnum(c)) {
      start = true;
      continue;
    }
    const bool after_lower = i > 0 && (Lower(name[i - 1]) || Digit(name[i - 1]));
    const bool before_lower = i + 1 < name.size() && Lower(name[i + 1]);
    const bool after_upper = i > 0 && Upper(name[i - 1]);
    if (start || (Upper(c) && (after_lower || (after_upper && before_lower)))) {
      words.emplace_back();
      start = false;
    }
    words.back() += ToLower(c);
  }
  return words;
}

bool Listed(std::string_view word) {
  if (std::find(kNames.begin(), kNames.end(), word) != kNames.end()) return true;
  // Plurals hold the same thing.
  return word.size() > 3 && word.back() == 's' &&
         std::find(kNames.begin(), kNames.end(), word.substr(0, word.size() - 1)) != kNames.end();
}

bool ContainsIgnoringCase(std::string_view text, std::string_view lower_needle) {
  return std::search(text.begin(), text.end(), lower_needle.begin(), lower_needle.end(),
                     [](char a, char b) { return ToLower(a) == b; }) != text.end();
}

bool Base64Url(char c) { return Alnum(c) || c == '-' || c == '_'; }

size_t RunLength(std::string_view text, size_t from, bool (*accept)(char)) {
  size_t end = from;
  while (end < text.size() && accept(text[end])) ++end;
  return end - from;
}

// header.payload.signature; the header is JSON, so its base64 starts with eyJ.
bool HoldsJwt(std::string_view text) {
  for (size_t at = text.find("eyJ"); at != std::string_view::npos; at = text.find("eyJ", at + 3)) {
    const size_t header = RunLength(text, at, Base64Url);
    const size_t payload_at = at + header + 1;
    if (header < 10 || payload_at >= text.size() || text[payload_at - 1] != '.') continue;
    const size_t payload = RunLength(text, payload_at, Base64Url);
    const size_t dot = payload_at + payload;
    if (payload >= 4 && dot < text.size() && text[dot] == '.') return true;
  }
  return false;
}

bool HoldsAwsKey(std::string_view text) {
  const auto upper_or_digit = [](char c) { return Upper(c) || Digit(c); };
  for (size_t at = text.find("AKIA"); at != std::string_view::npos;
       at = text.find("AKIA", at + 4)) {
    if (RunLength(text, at, upper_or_digit) >= 20) return true;
  }
  return false;
}

// scheme://user:pass@host
bool HoldsUrlPassword(std::string_view text) {
  for (size_t at = text.find("://"); at != std::string_view::npos; at = text.find("://", at + 3)) {
    const std::string_view rest = text.substr(at + 3);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?# \t\n\"'"));
    const size_t at_sign = authority.rfind('@');
    if (at_sign == std::string_view::npos) continue;
    if (authority.substr(0, at_sign).find(':') != std::string_view::npos) return true;
  }
  return false;
}

bool PassesLuhn(const std::string& digits) {
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int digit = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 == 0;
}

// 13 to 19 digits, in groups divided by single spaces or dashes, not part of a longer number.
bool HoldsCardNumber(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (!Digit(text[i])) {
      ++i;
      continue;
    }
    std::string digits;
    size_t end = i;
    while (end < text.size() &&
           (Digit(text[end]) || ((text[end] == ' ' || text[end] == '-') && end + 1 < text.size() &&
                                 Digit(text[end + 1])))) {
      if (Digit(text[end])) digits += text[end];
      ++end;
    }
    const bool all_same = digits.find_first_not_of(digits[0]) == std::string::npos;
    if (digits.size() >= 13 && digits.size() <= 19 && !all_same && PassesLuhn(digits)) return true;
    i = end;
  }
  return false;
}

}  // namespace

bool RedactsName(std::string_view name) {
  const std::vector<std::string> words = Words(name);
  for (size_t first = 0; first < words.size(); ++first) {
    std::string run;
    for (size_t count = 0; count < kMaxRun && first + count < words.size(); ++count) {
      run += words[first + count];
      if (Listed(run)) return true;
    }
  }
  return false;
}

bool RedactsType(std::string_view type_name) {
  if (ContainsIgnoringCase(type_name, "secret") || ContainsIgnoringCase(type_name, "credential")) {
    return true;
  }
  // Identifiers one by one: EVP_PKEY, evp_pkey_st, SSL and SSL_CTX, ssl_st.
  for (size_t i = 0; i < type_name.size();) {
    const auto part_of_name = [](char c) { return Alnum(c) || c == '_'; };
    const size_t length = RunLength(type_name, i, part_of_name);
    const std::string_view word = type_name.substr(i, length);
    if (word.starts_with("EVP_PKEY") || word.starts_with("evp_pkey") || word.starts_with("SSL") ||
        word.starts_with("ssl_")) {
      return true;
    }
    i += length + 1;
  }
  return false;
}

bool RedactsValue(std::string_view text) {
  return HoldsJwt(text) || text.find("-----BEGIN ") != std::string_view::npos ||
         HoldsAwsKey(text) || HoldsUrlPassword(text) || HoldsCardNumber(text);
}

}  // namespace stillframe::model
