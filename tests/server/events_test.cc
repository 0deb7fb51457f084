#include <atomic>

#include "tests/server/fake_agent.h"

namespace stillframe::server::testing {
namespace {

// Reads /v1/events in a thread of its own.
class Stream {
 public:
  Stream(const ServerProcess& server, const std::string& key, const std::string& query = "",
         const std::string& last_id = "") {
    thread_ = std::thread([this, &server, key, query, last_id] {
      Call call{.path = "/v1/events" + query, .key = key};
      if (!last_id.empty()) call.headers = {"Last-Event-ID: " + last_id};
      call.on_data = [this](const std::string& all) {
        const std::lock_guard lock(mutex_);
        text_ = all;
        return !stop_;
      };
      answer_ = server.Do(call);
      ended_ = true;
    });
    EXPECT_TRUE(WaitFor([this] { return Text().starts_with(": stillframe") || ended_; }));
  }
  ~Stream() {
    stop_ = true;  // seen with the next data, the end of the server at the latest
    thread_.join();
  }
  std::string Text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  bool Sees(const std::string& part) {
    return WaitFor([&] { return Text().find(part) != std::string::npos; });
  }
  bool ended() const { return ended_; }

 private:
  std::mutex mutex_;
  std::string text_;
  std::atomic<bool> stop_{false}, ended_{false};
  Answer answer_;
  std::thread thread_;
};

std::string LastId(const std::string& text) {
  const size_t at = text.rfind("\nid: ");
  return text.substr(at + 5, text.find('\n', at + 5) - at - 5);
}

class Events : public ::testing::Test {
 protected:
  void Create(const std::string& service) {
    EXPECT_EQ(
        server_.Send("POST", "/v1/services/" + service + "/tracepoints", server_.admin_key, kSpec)
            .status,
        201);
  }
  // Streams end with the server, so it goes first.
  void End() { EXPECT_EQ(server_.Terminate(), 0); }
  ServerProcess server_;
};

TEST_F(Events, TellOfTracepointsSnapshotsAndAgents) {
  Stream stream(server_, server_.admin_key, "?service=web");
  Create("elsewhere");
  Create("web");
  EXPECT_TRUE(stream.Sees("event: tracepoint\ndata: {\"id\":\"tp_"));
  FakeAgent agent(server_, server_.Key("agent"));
  agent.Poll();
  EXPECT_TRUE(stream.Sees("event: agent\ndata: {\"instance\":\"i-1\""));
  agent.AddSnapshot(1);
  agent.Publish();
  EXPECT_TRUE(stream.Sees("event: snapshot\ndata: {\"id\":\"sn_"));
  EXPECT_EQ(stream.Text().find("elsewhere"), std::string::npos);
  End();
}

TEST_F(Events, ResumeAfterTheLastIdSeen) {
  std::string last;
  {
    Stream first(server_, server_.admin_key);
    Create("one");
    EXPECT_TRUE(first.Sees("\"one\""));
    last = LastId(first.Text());
    Create("two");
    EXPECT_TRUE(first.Sees("\"two\""));
    Stream second(server_, server_.admin_key, "", last);
    EXPECT_TRUE(second.Sees("\"two\""));
    EXPECT_EQ(second.Text().find("\"one\""), std::string::npos);
    EXPECT_EQ(second.Text().find("event: reset"), std::string::npos);
    End();
  }
  server_.Start();
  Stream third(server_, server_.admin_key, "", last);
  EXPECT_TRUE(third.Sees("event: reset"));  // the log went with the process
  Stream fourth(server_, server_.admin_key, "", "garbage");
  EXPECT_TRUE(fourth.Sees("event: reset"));
  Create("three");
  EXPECT_TRUE(third.Sees("\"three\""));
  End();
}

// Before any event or heartbeat (10 s) finds out.
TEST_F(Events, AReaderThatHangsUpIsHeldNoLonger) {
  server_.Do({.path = "/v1/events", .key = server_.admin_key, .on_data = [](const std::string&) {
                return false;
              }});
  EXPECT_TRUE(WaitFor(
      [&] {
        return server_.Get("/metrics", "").body.find("stillframe_event_streams 0\n") !=
               std::string::npos;
      },
      5));
  End();
}

// A client that has seen no event yet knows where to resume: nothing is lost, nothing repeated.
TEST_F(Events, TheFirstIdIsToldBeforeTheFirstEvent) {
  Create("before");
  std::string greeting;
  server_.Do(
      {.path = "/v1/events", .key = server_.admin_key, .on_data = [&](const std::string& all) {
         greeting = all;
         return all.find("\n\n") == std::string::npos;
       }});
  EXPECT_EQ(greeting.find("data:"), std::string::npos) << greeting;
  Create("between");
  Stream resumed(server_, server_.admin_key, "", LastId(greeting));
  EXPECT_TRUE(resumed.Sees("\"between\""));
  EXPECT_EQ(resumed.Text().find("\"before\""), std::string::npos);
  EXPECT_EQ(resumed.Text().find("event: reset"), std::string::npos);
  End();
}

TEST_F(Events, ScopesHold) {
  const std::string viewer = server_.Key("viewer", {"--service", "mine"});
  const std::string staging = server_.Key("viewer", {"--environment", "staging"});
  Stream mine(server_, viewer), staged(server_, staging);
  Create("theirs");
  FakeAgent agent(server_, server_.Key("agent"), "theirs");
  agent.poll.mutable_identity()->set_environment("prod");
  agent.Poll();
  agent.AddSnapshot(1);
  agent.Publish();
  Create("mine");
  EXPECT_TRUE(mine.Sees("\"mine\""));
  EXPECT_TRUE(staged.Sees("\"mine\""));
  EXPECT_EQ(mine.Text().find("theirs"), std::string::npos);
  EXPECT_EQ(staged.Text().find("event: snapshot"), std::string::npos);
  EXPECT_EQ(staged.Text().find("event: agent"), std::string::npos);
  EXPECT_EQ(staged.Text().find("i-1"), std::string::npos);
  End();
}

TEST_F(Events, ARevokedKeyEndsItsStreamsAndPolls) {
  const std::string viewer = server_.Key("viewer");
  const std::string agent_key = server_.Key("agent");
  FakeAgent agent(server_, agent_key);
  agent.Poll();
  auto held = std::async(std::launch::async, [&] { return agent.PollRaw(50'000); });
  Stream stream(server_, viewer);
  for (const std::string& key : {viewer, agent_key}) {
    EXPECT_EQ(RunToEnd({STILLFRAME_SERVER_BINARY, "keys", "revoke", "--store", server_.store(),
                        key.substr(4, 12)})
                  .code,
              0);
  }
  const auto began = Clock::now();
  EXPECT_EQ(held.get().status, 401);
  EXPECT_TRUE(WaitFor([&] { return stream.ended(); }));
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(3));
  EXPECT_EQ(server_.Get("/v1/services", viewer).status, 401);
  End();
}

// One that opens a stream and never reads costs a bounded amount, then its connection.
TEST_F(Events, AReaderThatStopsIsDropped) {
  std::atomic<bool> done{false};
  std::thread slow([&] {
    server_.Do({.path = "/v1/events",
                .key = server_.admin_key,
                .timeout_ms = 60'000,
                .on_data = [&](const std::string& all) {
                  if (all.size() > 100) WaitFor([&] { return done.load(); }, 60);
                  return !done;
                }});
  });
  EXPECT_TRUE(WaitFor([&] {
    return server_.Get("/metrics", "").body.find("stillframe_event_streams 1\n") !=
           std::string::npos;
  }));
  FakeAgent agent(server_, server_.Key("agent"));
  uint64_t sequence = 0;
  EXPECT_TRUE(WaitFor(
      [&] {
        for (int i = 0; i < 4; ++i) {
          agent.AddSnapshot(++sequence)
              .mutable_frames(0)
              ->mutable_variables(0)
              ->set_value(std::string(1u << 20, 'x'));
        }
        agent.Publish();
        return server_.Get("/metrics", "").body.find("slow_streams_dropped_total 1\n") !=
               std::string::npos;
      },
      60));
  done = true;
  slow.join();
  End();
}

}  // namespace
}  // namespace stillframe::server::testing
