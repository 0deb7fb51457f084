// The agent's wire reader: what a server, or somebody in its place, may answer.
// Input: 1 byte which message, then the message.
#include "model/tracepoint.h"
#include "tests/fuzz/fuzz.h"
#include "transport/transport.h"

namespace stillframe {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const bool poll = input.Byte() % 2 == 0;
  const std::string_view text = fuzz::AsText(input.rest().data(), input.rest().size());
  if (!poll) {
    (void)transport::DecodePublishResponse(text);
    return 0;
  }
  const auto response = transport::DecodePollResponse(text);
  if (!response.ok()) return 0;
  for (const model::DesiredTracepoint& desired : response->desired.tracepoints) {
    (void)model::SpecToJson(desired.spec);
  }
  return 0;
}

}  // namespace stillframe
