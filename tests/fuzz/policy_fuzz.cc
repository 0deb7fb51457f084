// The operator's policy file, and what the redaction makes of names, types and values. Input: the
// length of the file in 2 bytes, the file, then a text that is a name, a type and a value.
#include <algorithm>

#include "agent/policy.h"
#include "base/name_list.h"
#include "model/redaction.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const size_t low = input.Byte();
  const std::string_view rest = fuzz::AsText(input.rest().data(), input.rest().size());
  const size_t cut = rest.empty() ? 0 : std::min(rest.size(), 256 * low % (rest.size() + 1));
  const std::string_view file = rest.substr(0, cut);
  const std::string_view text = rest.substr(cut);
  for (const std::string_view one : {file, rest}) {
    const auto policy = agent::ParsePolicy(one);
    if (!policy.ok()) {
      SF_FUZZ_CHECK(!policy.status().message().empty());
      continue;
    }
    // Nothing but `shown` takes anything away from the built-in lists.
    if (policy->shown_names.empty()) {
      SF_FUZZ_CHECK(policy->RedactsName(text) || !model::RedactsName(text));
    }
    if (policy->shown_types.empty()) {
      SF_FUZZ_CHECK(policy->RedactsType(text) || !model::RedactsType(text));
    }
    (void)policy->RedactsValue(text);
    (void)policy->CheckPlace(text, text);
  }
  // What is a secret as a whole is one when more may follow.
  SF_FUZZ_CHECK(!model::RedactsValue(text) || model::RedactsValue(text, true));
  // Any bytes may be a list.
  (void)IsOnNameList(file.data(), file.size(), text.data(), text.size());
  return 0;
}

}  // namespace stillframe
