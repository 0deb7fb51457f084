// The server's ingest: compressed bodies of any kind, and the messages in them.
// Input: 1 byte which (two bits encoding, one bit message), then the body.
#include "server/compress.h"
#include "server/wire.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {
namespace {

// What a store and a terminal would get. The server's texts are JSON: valid, and free of control
// characters.
void CheckText(const std::string& json) {
  for (const char c : json) SF_FUZZ_CHECK(static_cast<unsigned char>(c) >= 0x20);
}

void Publish(std::string_view bytes) {
  const auto request = server::ParsePublishRequest(bytes);
  if (!request.ok()) return;
  for (const model::Snapshot& snapshot : request->snapshots) {
    CheckText(model::SnapshotToJson(snapshot));
  }
}

void Poll(std::string_view bytes) {
  const auto request = server::ParsePollRequest(bytes);
  if (!request.ok()) return;
  CheckText(model::AgentToJson(request->identity, 0, ""));
  for (const model::TracepointReport& report : request->reports) {
    CheckText(model::AgentStatusToJson(report.status));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr std::string_view kEncodings[] = {"", "gzip", "zstd", "br"};
  constexpr uint64_t kMaxBytes = 4u << 20;
  fuzz::Input input(data, size);
  const uint8_t which = input.Byte();
  const std::string text = input.Text(size);
  const auto body = server::DecodeBody(kEncodings[which % 4], text, kMaxBytes);
  if (!body.ok()) return 0;
  SF_FUZZ_CHECK(body->size() <= kMaxBytes);
  SF_FUZZ_CHECK(body->size() <= (1u << 20) ||
                body->size() / server::kMaxInflateRatio <= text.size());
  (which & 4) == 0 ? Publish(*body) : Poll(*body);
  return 0;
}

}  // namespace stillframe
