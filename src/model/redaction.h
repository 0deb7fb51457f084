// What is never shown: names, types and value patterns (FACTS, "Names redacted by default").
#ifndef STILLFRAME_MODEL_REDACTION_H_
#define STILLFRAME_MODEL_REDACTION_H_

#include <string>
#include <string_view>
#include <vector>

namespace stillframe::model {

// Compared without case, '_', '-', '$', '@' and without the prefixes m_, s_, g_, k and a trailing
// '_'; a name matches when it, or a run of its word parts (camelCase or snake_case), is listed.
bool RedactsName(std::string_view name);
// *Secret*, *Credential*, EVP_PKEY, SSL*.
bool RedactsType(std::string_view type_name);
// JWT, PEM, AKIA…, URLs with user:pass@, card numbers that pass Luhn.
bool RedactsValue(std::string_view text);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_REDACTION_H_
