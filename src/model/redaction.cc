#include "model/redaction.h"

#include <string.h>  // explicit_bzero

#include <algorithm>
#include <array>

#include "base/name_list.h"

namespace stillframe::model {
namespace {

constexpr std::string_view kNames =
    "~password\n"
    "~passwd\n"
    "=pwd\n"
    "~passphrase\n"
    "=passhash\n"
    "=secret\n"
    "=secretkey\n"
    "=token\n"
    "~accesstoken\n"
    "~refreshtoken\n"
    "~authtoken\n"
    "~apikey\n"
    "=apisecret\n"
    "=apisignature\n"
    "=xapikey\n"
    "=auth\n"
    "=authorization\n"
    "=oauth\n"
    "~credential\n"
    "=credentials\n"
    "=clientid\n"
    "~clientsecret\n"
    "~privatekey\n"
    "=sshkey\n"
    "=gpgkey\n"
    "=pgpkey\n"
    "=pemfile\n"
    "=pkcs8\n"
    "~encryptionkey\n"
    "~masterkey\n"
    "=cipher\n"
    "=signature\n"
    "=salt\n"
    "=nonce\n"
    "=otp\n"
    "=2fa\n"
    "=pin\n"
    "=pincode\n"
    "=jwt\n"
    "=jti\n"
    "=session\n"
    "=sessionid\n"
    "=cookie\n"
    "=setcookie\n"
    "=csrf\n"
    "=xsrf\n"
    "~creditcard\n"
    "=ccnumber\n"
    "=cvv\n"
    "=routingnumber\n"
    "=ssn\n"
    "=voterid\n"
    "~connectionstring\n"
    "=databaseurl\n"
    "=ipaddress\n"
    "=xforwardedfor\n"
    "=geolocation\n";

bool Upper(char c) { return c >= 'A' && c <= 'Z'; }
bool Lower(char c) { return c >= 'a' && c <= 'z'; }
bool Digit(char c) { return c >= '0' && c <= '9'; }
bool Alnum(char c) { return Upper(c) || Lower(c) || Digit(c); }
char ToLower(char c) { return Upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

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

// header.payload.signature. The header is JSON, so its base64 starts with eyJ; nearly always the
// payload's does, too.
bool HoldsJwt(std::string_view text, bool cut) {
  for (size_t at = text.find("eyJ"); at != std::string_view::npos; at = text.find("eyJ", at + 3)) {
    const size_t header = RunLength(text, at, Base64Url);
    const size_t payload_at = at + header + 1;
    if (cut && at + header == text.size()) return true;
    if (header < 10 || payload_at > text.size() || text[payload_at - 1] != '.') continue;
    const size_t payload = RunLength(text, payload_at, Base64Url);
    const size_t dot = payload_at + payload;
    if (payload >= 4 && dot < text.size() && text[dot] == '.') return true;
    if (payload >= 6 && text.substr(payload_at).starts_with("eyJ")) return true;
    if (cut && dot == text.size()) return true;
  }
  return false;
}

// Long-lived and temporary key ids.
bool HoldsAwsKey(std::string_view text, bool cut) {
  const auto upper_or_digit = [](char c) { return Upper(c) || Digit(c); };
  for (const std::string_view prefix : {"AKIA", "ASIA"}) {
    for (size_t at = text.find(prefix); at != std::string_view::npos;
         at = text.find(prefix, at + 4)) {
      const size_t length = RunLength(text, at, upper_or_digit);
      if (length >= 20 || (cut && at + length == text.size())) return true;
    }
  }
  return false;
}

// RFC 6750 2.1; not "bearer of bad news".
bool HoldsBearer(std::string_view text, bool cut) {
  constexpr std::string_view kScheme = "bearer ";
  const auto token68 = [](char c) {
    return Base64Url(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=';
  };
  for (size_t at = 0; at + kScheme.size() <= text.size(); ++at) {
    if (ToLower(text[at]) != 'b' || !ContainsIgnoringCase(text.substr(at, 7), kScheme)) continue;
    const size_t length = RunLength(text, at + 7, token68);
    if (length >= 16 || (cut && at + 7 + length == text.size())) return true;
  }
  return false;
}

// scheme://user:pass@host
bool HoldsUrlPassword(std::string_view text, bool cut) {
  for (size_t at = text.find("://"); at != std::string_view::npos; at = text.find("://", at + 3)) {
    const std::string_view rest = text.substr(at + 3);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?# \t\n\"'"));
    const size_t at_sign = authority.rfind('@');
    const size_t colon = authority.find(':');
    // A port is all digits; what is cut behind a colon may be either.
    if (cut && authority.size() == rest.size() && colon != std::string_view::npos &&
        authority.find_first_not_of("0123456789", colon + 1) != std::string_view::npos) {
      return true;
    }
    if (at_sign != std::string_view::npos && colon < at_sign) return true;
  }
  return false;
}

constexpr size_t kMinCardDigits = 13;
constexpr size_t kMaxCardDigits = 19;

bool PassesLuhn(std::string_view digits) {
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int digit = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 == 0;
}

// 13 to 19 digits, in groups divided by single spaces or dashes, not part of a longer number.
bool HoldsCardNumber(std::string_view text, bool cut) {
  constexpr size_t kMostOfBeginning = 6;  // the issuer's part, which alone says nothing
  for (size_t i = 0; i < text.size();) {
    if (!Digit(text[i])) {
      ++i;
      continue;
    }
    std::array<char, kMaxCardDigits> digits;
    size_t count = 0, end = i;
    while (end < text.size() &&
           (Digit(text[end]) || ((text[end] == ' ' || text[end] == '-') && end + 1 < text.size() &&
                                 Digit(text[end + 1])))) {
      if (Digit(text[end]) && count++ < digits.size()) digits[count - 1] = text[end];
      ++end;
    }
    const std::string_view number(digits.data(), std::min(count, digits.size()));
    const bool all_same = number.find_first_not_of(number[0]) == std::string_view::npos;
    if (cut && end == text.size() && count > kMostOfBeginning && count <= kMaxCardDigits) {
      return !all_same;
    }
    if (count >= kMinCardDigits && count <= kMaxCardDigits && !all_same && PassesLuhn(number)) {
      return true;
    }
    i = end;
  }
  return false;
}

bool NamePart(char c) { return Alnum(c) || c == '_' || c == '-'; }

// `name=value`, `"name": "value"`, and headers that carry nothing but secrets.
bool IsAssigned(std::string_view text, size_t begin, size_t end) {
  const std::string_view name = text.substr(begin, end - begin);
  const bool quoted = begin > 0 && end < text.size() && text[begin - 1] == text[end] &&
                      (text[end] == '"' || text[end] == '\'');
  const bool escaped = begin > 1 && text.substr(begin - 2, 2) == "\\\"";
  size_t at = end + (quoted ? 1 : escaped ? 2 : 0);
  while (at < text.size() && text[at] == ' ') ++at;
  if (at >= text.size()) return false;
  if (text[at] == ':') {
    constexpr std::string_view kHeaders[] = {"authorization", "cookie", "apikey"};
    const auto header = [&](std::string_view one) { return ContainsIgnoringCase(name, one); };
    const bool is_header = std::any_of(std::begin(kHeaders), std::end(kHeaders), header) ||
                           ContainsIgnoringCase(name, "api-key");
    if (!quoted && !escaped && !is_header) return false;
  } else if (text[at] != '=' || text.substr(at).starts_with("==")) {
    return false;
  }
  do ++at;
  while (at < text.size() && text[at] == ' ');
  constexpr std::string_view kEmpty[] = {"\"\"", "''", "\\\"\\\"", "null", "<redacted>"};
  for (const std::string_view empty : kEmpty) {
    if (text.substr(at).starts_with(empty)) return false;
  }
  return at < text.size() && std::string_view(",;&}\n\r").find(text[at]) == std::string_view::npos;
}

bool HoldsAssignedSecret(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = RunLength(text, i, NamePart);
    if (length >= 3 && length <= kMaxListedNameBytes && IsAssigned(text, i, i + length) &&
        RedactsName(text.substr(i, length))) {
      return true;
    }
    i += length + 1;
  }
  return false;
}

constexpr std::string_view kPem = "-----BEGIN ";

}  // namespace

std::string_view SecretNames() { return kNames; }

bool RedactsName(std::string_view name) {
  return IsOnNameList(kNames.data(), kNames.size(), name.data(), name.size());
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

bool RedactsValue(std::string_view text, bool cut) {
  if (HoldsJwt(text, cut) || text.find(kPem) != std::string_view::npos || HoldsAwsKey(text, cut) ||
      HoldsBearer(text, cut) || HoldsUrlPassword(text, cut) || HoldsCardNumber(text, cut)) {
    return true;
  }
  if (HoldsAssignedSecret(text)) return true;
  // The beginning of a fixed one: "AKI", "-----BEG". Two characters are in too many texts.
  for (const std::string_view fixed : {kPem, std::string_view("AKIA"), std::string_view("ASIA")}) {
    for (size_t length = 3; cut && length < fixed.size(); ++length) {
      if (text.ends_with(fixed.substr(0, length))) return true;
    }
  }
  return false;
}

bool RedactsNumber(uint64_t number) {
  std::array<char, 20> digits;
  size_t count = 0;
  for (; number != 0; number /= 10)
    digits[digits.size() - ++count] = static_cast<char>('0' + number % 10);
  if (count < kMinCardDigits || count > kMaxCardDigits) return false;
  const std::string_view text(digits.data() + digits.size() - count, count);
  const auto first = [&](size_t n) {
    int value = 0;
    for (const char c : text.substr(0, n)) value = 10 * value + (c - '0');
    return value;
  };
  const auto between = [](int value, int low, int high) { return value >= low && value <= high; };
  const bool issued =
      (text[0] == '4' && (count == 13 || count == 16 || count == 19)) ||
      (count == 16 && (between(first(2), 51, 55) || between(first(4), 2221, 2720))) ||
      (count == 15 && (first(2) == 34 || first(2) == 37)) ||
      (count == 14 && (first(2) == 36 || first(2) == 38 || between(first(3), 300, 305))) ||
      (count >= 16 && (first(4) == 6011 || first(2) == 65 || between(first(3), 644, 649) ||
                       between(first(4), 3528, 3589)));
  return issued && PassesLuhn(text);
}

void WipeText(std::string& text) { explicit_bzero(text.data(), text.size()); }

}  // namespace stillframe::model
