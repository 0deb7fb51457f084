// An agent played with libprotobuf.
#ifndef STILLFRAME_TESTS_SERVER_FAKE_AGENT_H_
#define STILLFRAME_TESTS_SERVER_FAKE_AGENT_H_

#include <future>

#include "stillframe/v1/agent.pb.h"
#include "tests/server/server_process.h"

namespace stillframe::server::testing {

class FakeAgent {
 public:
  FakeAgent(const ServerProcess& server, std::string key, const std::string& service = "web",
            const std::string& instance = "i-1")
      : server_(server), key_(std::move(key)) {
    auto& identity = *poll.mutable_identity();
    identity.set_instance(instance);
    identity.set_service(service);
    identity.set_host("host-1");
    identity.set_pid(42);
    publish.set_instance(instance);
    publish.set_service(service);
    publish.set_epoch(7);
  }

  Answer PollRaw(uint32_t hold_ms) {
    poll.set_hold_ms(hold_ms);
    return server_.SendProtobuf("/v1/agent/poll", key_, poll.SerializeAsString());
  }
  // Follows the revision as an agent does.
  v1::PollResponse Poll(uint32_t hold_ms = 0) {
    const Answer answer = PollRaw(hold_ms);
    v1::PollResponse response;
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(response.ParseFromString(answer.body));
    poll.clear_reports();
    poll.clear_answers();
    if (!response.unchanged()) poll.set_known_revision(response.revision());
    return response;
  }
  std::future<v1::PollResponse> PollHeld(uint32_t hold_ms = 30'000) {
    return std::async(std::launch::async, [this, hold_ms] { return Poll(hold_ms); });
  }

  v1::Snapshot& AddSnapshot(uint64_t sequence) {
    v1::Snapshot& snapshot = *publish.add_snapshots();
    snapshot.set_sequence(sequence);
    snapshot.set_tracepoint_id("tp_1");
    snapshot.set_time_unix_nanos(1'700'000'000'000'000'000 + static_cast<int64_t>(sequence));
    v1::Frame& frame = *snapshot.add_frames();
    frame.set_function("Handle()");
    v1::Value& value = *frame.add_variables();
    value.set_name("n");
    value.set_type("int");
    value.set_value(std::to_string(sequence));
    value.set_has_value(true);
    return snapshot;
  }
  Answer PublishRaw() {
    return server_.SendProtobuf("/v1/agent/publish", key_, publish.SerializeAsString());
  }
  std::vector<uint64_t> Publish() {
    const Answer answer = PublishRaw();
    v1::PublishResponse response;
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(response.ParseFromString(answer.body));
    publish.clear_snapshots();
    return {response.acked().begin(), response.acked().end()};
  }

  v1::PollRequest poll;
  v1::PublishRequest publish;

 private:
  const ServerProcess& server_;
  const std::string key_;
};

inline const char kSpec[] = R"({"location":{"file":"a.cc","line":3}})";

}  // namespace stillframe::server::testing

#endif  // STILLFRAME_TESTS_SERVER_FAKE_AGENT_H_
