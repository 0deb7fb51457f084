// Users' formatter files, JSON and natvis. Input: 1 byte which, then the file.
#include "symbolizer/formatters.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const bool json = input.Byte() % 2 == 0;
  const std::string_view text = fuzz::AsText(input.rest().data(), input.rest().size());
  Formatters formatters;
  const Status status = json ? formatters.AddJson(text) : formatters.AddNatvis(text);
  SF_FUZZ_CHECK(status.ok() || formatters.empty());
  for (const char* type : {"shop::Ring<int>", "", "a<b, c<d> >::e"}) (void)formatters.Find(type);
  return 0;
}

}  // namespace stillframe
