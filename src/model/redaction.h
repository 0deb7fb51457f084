// What is never shown: names, types and value patterns (FACTS, "Names redacted by default").
#ifndef STILLFRAME_MODEL_REDACTION_H_
#define STILLFRAME_MODEL_REDACTION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stillframe::model {

// The default names as a list of base/name_list.h.
std::string_view SecretNames();
// Compared without case, '_', '-', '$', '@' and without the prefixes m_, s_, g_, k and a trailing
// '_'; a name matches when a run of its word parts (camelCase or snake_case) is listed, with a
// plural s or digits behind it. Long, unmistakable names match inside of words, too (dbpassword).
bool RedactsName(std::string_view name);
// *Secret*, *Credential*, EVP_PKEY, SSL*.
bool RedactsType(std::string_view type_name);
// JWT, PEM, AKIA… and ASIA…, "Bearer …", URLs with user:pass@, card numbers that pass Luhn, and
// listed names with their value behind them (password=…, "token": "…", Cookie: …). With `cut` the
// text goes on, and what may be the beginning of one of these counts as one.
bool RedactsValue(std::string_view text, bool cut = false);
// A card number that passes Luhn and has the first digits of one (ISO/IEC 7812): narrower than for
// texts, because times in nanoseconds are long numbers, too.
bool RedactsNumber(uint64_t number);

// Overwrites what held a secret before its memory is given back.
void WipeText(std::string& text);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_REDACTION_H_
