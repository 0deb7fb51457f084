// The agents' calls: long polls, reports, questions, publishing.
#include <zlib.h>
#include <zstd.h>

#include "tests/server/fake_agent.h"

namespace stillframe::server::testing {
namespace {

std::string Gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 19));
  return out;
}

class AgentCalls : public ::testing::Test {
 protected:
  AgentCalls() : agent_key_(server_.Key("agent")) {}
  Answer Create(const std::string& body = kSpec) {
    return server_.Send("POST", "/v1/services/web/tracepoints", server_.admin_key, body);
  }
  std::string CreateId(const std::string& body = kSpec) {
    const Answer answer = Create(body);
    EXPECT_EQ(answer.status, 201) << answer.body;
    return answer.json().value("id", "");
  }
  Json Show(const std::string& id) {
    return server_.Get("/v1/tracepoints/" + id, server_.admin_key).json();
  }
  bool Held(int count = 1) {
    const std::string wanted = "stillframe_polls_held " + std::to_string(count) + "\n";
    return WaitFor(
        [&] { return server_.Get("/metrics", "").body.find(wanted) != std::string::npos; });
  }
  ServerProcess server_;
  std::string agent_key_;
};

TEST_F(AgentCalls, AHeldPollHearsOfAChangeWithinMilliseconds) {
  FakeAgent agent(server_, agent_key_);
  EXPECT_FALSE(agent.Poll().unchanged());  // even an empty set is told once
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    auto held = agent.PollHeld();
    ASSERT_TRUE(Held());
    const auto began = Clock::now();
    const std::string id = CreateId();
    const v1::PollResponse response = held.get();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - began).count());
    EXPECT_FALSE(response.unchanged());
    EXPECT_EQ(response.tracepoints_size(), i + 1);
    EXPECT_TRUE(std::any_of(response.tracepoints().begin(), response.tracepoints().end(),
                            [&](const auto& tracepoint) { return tracepoint.id() == id; }));
  }
  std::sort(times.begin(), times.end());
  RecordProperty("median_ms", std::to_string(times[2]));
  EXPECT_LT(times[2], 100);
}

TEST_F(AgentCalls, PatchAndDeleteReachHeldPolls) {
  FakeAgent agent(server_, agent_key_);
  const std::string id = CreateId();
  EXPECT_EQ(agent.Poll().tracepoints(0).spec().location().line(), 3u);
  EXPECT_TRUE(agent.Poll().unchanged());
  auto held = agent.PollHeld();
  ASSERT_TRUE(Held());
  server_.Send("PATCH", "/v1/tracepoints/" + id, server_.admin_key, R"({"condition":"x"})");
  v1::PollResponse response = held.get();
  ASSERT_EQ(response.tracepoints_size(), 1);
  EXPECT_EQ(response.tracepoints(0).revision(), 2u);
  EXPECT_EQ(response.tracepoints(0).spec().condition(), "x");
  held = agent.PollHeld();
  ASSERT_TRUE(Held());
  server_.Send("DELETE", "/v1/tracepoints/" + id, server_.admin_key, "");
  response = held.get();
  EXPECT_FALSE(response.unchanged());
  EXPECT_EQ(response.tracepoints_size(), 0);
}

TEST_F(AgentCalls, ConcurrentChangesAllArrive) {
  FakeAgent agent(server_, agent_key_);
  agent.Poll();
  constexpr int kEach = 10;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) EXPECT_EQ(Create().status, 201);
    });
  }
  int known = 0;
  const bool all = WaitFor([&] {
    const v1::PollResponse response = agent.Poll(100);
    if (!response.unchanged()) known = response.tracepoints_size();
    return known == 4 * kEach;
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(all) << known;
}

TEST_F(AgentCalls, ConcurrentPatchesGetRevisionsOfTheirOwn) {
  const std::string id = CreateId();
  std::mutex mutex;
  std::multiset<int> revisions;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        const Answer answer =
            server_.Send("PATCH", "/v1/tracepoints/" + id, server_.admin_key,
                         "{\"condition\":\"a > " + std::to_string(t * 5 + i) + "\"}");
        const std::lock_guard lock(mutex);
        revisions.insert(answer.json().value("revision", 0));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::multiset<int> expected;
  for (int i = 2; i < 22; ++i) expected.insert(i);
  EXPECT_EQ(revisions, expected);
}

TEST_F(AgentCalls, SelectorsDecideWhoGetsIt) {
  const std::string version =
      CreateId(R"({"location":{"file":"a","line":1},"selector":{"version":"2"}})");
  const std::string environment =
      CreateId(R"({"location":{"file":"a","line":1},"selector":{"environment":"prod"}})");
  const std::string instance =
      CreateId(R"({"location":{"file":"a","line":1},"selector":{"instance":"i-9"}})");
  const auto gets = [&](const std::string& name, const std::string& v, const std::string& e) {
    FakeAgent agent(server_, agent_key_, "web", name);
    agent.poll.mutable_identity()->set_version(v);
    agent.poll.mutable_identity()->set_environment(e);
    std::set<std::string> ids;
    const v1::PollResponse response = agent.Poll();
    for (const auto& tracepoint : response.tracepoints()) ids.insert(tracepoint.id());
    return ids;
  };
  EXPECT_EQ(gets("i-1", "1", "staging"), std::set<std::string>{});
  EXPECT_EQ(gets("i-2", "2", "staging"), std::set<std::string>{version});
  EXPECT_EQ(gets("i-9", "2", "prod"), (std::set<std::string>{version, environment, instance}));
  FakeAgent other(server_, agent_key_, "other", "i-10");
  EXPECT_EQ(other.Poll().tracepoints_size(), 0);
}

TEST_F(AgentCalls, ReportsAreShownUntilTheTracepointChanges) {
  const std::string id = CreateId();
  FakeAgent agent(server_, agent_key_);
  agent.Poll();
  EXPECT_EQ(Show(id)["agents"][0]["state"], "RECEIVED");
  v1::TracepointReport& report = *agent.poll.add_reports();
  report.set_id(id);
  report.set_revision(1);
  report.set_state(v1::ARMED);
  report.mutable_counters()->set_hits(12);
  report.add_sites()->set_address(0x12a4);
  agent.Poll();
  Json status = Show(id)["agents"][0];
  EXPECT_EQ(status["state"], "ARMED");
  EXPECT_EQ(status["instance"], "i-1");
  EXPECT_EQ(status["counters"]["hits"], 12);
  EXPECT_EQ(status["sites"][0]["address"], "0x12a4");
  server_.Send("PATCH", "/v1/tracepoints/" + id, server_.admin_key, R"({"condition":"x"})");
  EXPECT_EQ(Show(id)["agents"][0]["state"], "RECEIVED");
  const Json agents = server_.Get("/v1/services/web/agents", server_.admin_key).json()["agents"];
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_EQ(agents[0]["instance"], "i-1");
  EXPECT_EQ(agents[0]["pid"], 42);
}

TEST_F(AgentCalls, ExpiredTracepointsLeaveTheAgents) {
  FakeAgent agent(server_, agent_key_);
  const std::string id =
      CreateId(R"({"location":{"file":"a","line":1},"limits":{"expiresIn":"1s"}})");
  EXPECT_EQ(agent.Poll().tracepoints_size(), 1);
  const v1::PollResponse response = agent.Poll(20'000);
  EXPECT_FALSE(response.unchanged());
  EXPECT_EQ(response.tracepoints_size(), 0);
  EXPECT_EQ(Show(id)["agents"][0]["state"], "EXPIRED");
  // A change renews it.
  server_.Send("PATCH", "/v1/tracepoints/" + id, server_.admin_key,
               R"({"limits":{"expiresIn":"60s"}})");
  EXPECT_EQ(agent.Poll().tracepoints_size(), 1);
}

TEST_F(AgentCalls, TheSetSurvivesARestart) {
  const std::string id = CreateId();
  FakeAgent agent(server_, agent_key_);
  agent.Poll();
  server_.Kill();
  server_.Start();
  const v1::PollResponse response = agent.Poll();
  ASSERT_FALSE(response.unchanged());  // revisions of two runs never mean the same set
  ASSERT_EQ(response.tracepoints_size(), 1);
  EXPECT_EQ(response.tracepoints(0).id(), id);
  EXPECT_EQ(server_.Get("/v1/services", server_.admin_key).status, 200);
  EXPECT_EQ(ReadAll(server_.folder() / "out").find("admin key"), std::string::npos);
}

TEST_F(AgentCalls, QuestionsAreAnsweredByTheAgentThatWasAsked) {
  FakeAgent agent(server_, agent_key_);
  agent.Poll();
  auto held = agent.PollHeld();
  ASSERT_TRUE(Held());
  auto asked = std::async(std::launch::async, [&] {
    return server_.Get("/v1/services/web/lines?file=a.cc&line=3", server_.admin_key);
  });
  const v1::PollResponse response = held.get();
  ASSERT_EQ(response.queries_size(), 1);
  EXPECT_EQ(response.queries(0).kind(), "lines");
  EXPECT_EQ(response.queries(0).file(), "a.cc");
  EXPECT_EQ(response.queries(0).line(), 3u);
  FakeAgent other(server_, agent_key_, "web", "i-2");
  const auto answer = [&](FakeAgent& from, const std::string& json) {
    v1::Answer& to = *from.poll.add_answers();
    to.set_query_id(response.queries(0).id());
    to.set_json(json);
    from.Poll();
  };
  answer(other, R"({"lines":["forged"]})");
  answer(agent, R"({"lines":[{"line":3}]})");
  const Answer got = asked.get();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.json()["lines"][0]["line"], 3);
}

TEST_F(AgentCalls, AnswersComePageByPage) {
  FakeAgent agent(server_, agent_key_);
  const auto page = [&](const std::string& query) {
    agent.Poll();
    auto held = agent.PollHeld();
    EXPECT_TRUE(Held());
    auto asked = std::async(std::launch::async, [&] {
      return server_.Get("/v1/services/web/lines?file=a.cc" + query, server_.admin_key);
    });
    const v1::PollResponse response = held.get();
    v1::Answer& to = *agent.poll.add_answers();
    to.set_query_id(response.queries(0).id());
    to.set_json(R"({"lines":[{"line":1},{"line":2},{"line":3}]})");
    agent.Poll();
    return asked.get();
  };
  EXPECT_EQ(page("").json(), Json::parse(R"({"lines":[{"line":1},{"line":2},{"line":3}]})"));
  const Json first = page("&pageSize=2").json();
  EXPECT_EQ(first["lines"], Json::parse(R"([{"line":1},{"line":2}])"));
  const std::string token = first["nextPageToken"];
  EXPECT_EQ(page("&pageSize=2&pageToken=" + token).json(),
            Json::parse(R"({"lines":[{"line":3}]})"));
  EXPECT_EQ(page("&pageToken=4").ErrorField(), "pageToken");
  EXPECT_EQ(page("&pageToken=-1").ErrorField(), "pageToken");
  EXPECT_EQ(server_.Get("/v1/services/web/lines?file=a&pageSize=0", server_.admin_key).ErrorField(),
            "pageSize");
}

TEST_F(AgentCalls, QuestionsFailClearly) {
  Answer answer = server_.Get("/v1/services/web/lines?file=a", server_.admin_key);
  EXPECT_EQ(answer.status, 404);
  EXPECT_NE(answer.body.find("no agent of service web is connected"), std::string::npos);
  FakeAgent agent(server_, agent_key_);
  const auto ask_and_answer = [&](const std::function<void(v1::Answer&)>& fill) {
    agent.Poll();
    auto held = agent.PollHeld();
    EXPECT_TRUE(Held());
    auto asked = std::async(std::launch::async, [&] {
      return server_.Get("/v1/services/web/variables?file=a&line=1", server_.admin_key);
    });
    const v1::PollResponse response = held.get();
    v1::Answer& to = *agent.poll.add_answers();
    to.set_query_id(response.queries(0).id());
    fill(to);
    agent.Poll();
    return asked.get();
  };
  answer = ask_and_answer([](v1::Answer& to) {
    to.set_error_code("LINE_HAS_NO_CODE");
    to.set_error_message("nearest: 2");
  });
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.ErrorCode(), "LINE_HAS_NO_CODE");
  answer = ask_and_answer([](v1::Answer& to) { to.set_json("<script>"); });
  EXPECT_EQ(answer.status, 502);
  // Nobody answers: the agent polls no more.
  answer = server_.Get("/v1/services/web/lines?file=a", server_.admin_key);
  EXPECT_EQ(answer.status, 504);
  EXPECT_EQ(answer.ErrorCode(), "AGENT_TIMEOUT");
}

TEST_F(AgentCalls, AnAgentThatHangsUpIsHeldNoLonger) {
  FakeAgent agent(server_, agent_key_);
  agent.Poll();
  agent.poll.set_hold_ms(50'000);
  const pid_t child = fork();
  if (child == 0) {
    agent.PollRaw(50'000);
    _exit(0);
  }
  ASSERT_TRUE(Held());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(Held(0));
}

TEST_F(AgentCalls, ARepeatedBatchIsStoredOnce) {
  FakeAgent agent(server_, agent_key_);
  agent.AddSnapshot(1).set_id("chosen");
  agent.AddSnapshot(2).set_id("chosen");
  const std::string batch = agent.publish.SerializeAsString();
  EXPECT_EQ(agent.Publish(), (std::vector<uint64_t>{1, 2}));
  agent.publish.ParseFromString(batch);
  agent.AddSnapshot(3);
  EXPECT_EQ(agent.Publish(), (std::vector<uint64_t>{1, 2, 3}));
  const auto count = [&] {
    return server_.Get("/v1/snapshots?service=web", server_.admin_key).json()["snapshots"].size();
  };
  EXPECT_EQ(count(), 3u);
  agent.publish.set_epoch(8);  // another process
  agent.AddSnapshot(1);
  agent.Publish();
  EXPECT_EQ(count(), 4u);
  FakeAgent other(server_, agent_key_, "other");  // another service, the same everything else
  other.AddSnapshot(1);
  other.Publish();
  EXPECT_EQ(
      server_.Get("/v1/snapshots?service=other", server_.admin_key).json()["snapshots"].size(), 1u);
  const std::string metrics = server_.Get("/metrics", "").body;
  EXPECT_NE(metrics.find("stillframe_snapshots_duplicate_total 2\n"), std::string::npos);
}

TEST_F(AgentCalls, LogMessagesAreStoredAndFoundByKind) {
  FakeAgent agent(server_, agent_key_);
  agent.AddSnapshot(1);
  v1::Snapshot& log = agent.AddSnapshot(2);
  log.set_kind(v1::LOG);
  log.set_message("order 17\xff");
  agent.AddSnapshot(3).set_kind(static_cast<v1::Kind>(77));  // of a later version
  EXPECT_EQ(agent.Publish().size(), 3u);
  const auto list = [&](const std::string& query) {
    return server_.Get("/v1/snapshots" + query, server_.admin_key).json()["snapshots"];
  };
  EXPECT_EQ(list("").size(), 3u);
  const Json logs = list("?kind=LOG&service=web");
  ASSERT_EQ(logs.size(), 1u);
  EXPECT_EQ(logs[0]["kind"], "LOG");
  EXPECT_EQ(logs[0]["message"], "order 17\xEF\xBF\xBD");
  EXPECT_EQ(
      server_.Get("/v1/snapshots/" + logs[0]["id"].get<std::string>(), server_.admin_key).json(),
      logs[0]);
  const Json snapshots = list("?kind=SNAPSHOT&tracepoint=tp_1");
  ASSERT_EQ(snapshots.size(), 2u);
  EXPECT_EQ(snapshots[0]["kind"], "SNAPSHOT");
  EXPECT_FALSE(snapshots[0].contains("message"));
  EXPECT_EQ(list("?kind=LOG&since=2100-01-01T00:00:00Z").size(), 0u);
  for (const char* bad : {"log", "", "COUNTER"}) {
    const Answer answer = server_.Get("/v1/snapshots?kind=" + std::string(bad), server_.admin_key);
    EXPECT_EQ(answer.status, 400) << bad;
    EXPECT_EQ(answer.ErrorField(), "kind") << bad;
  }
}

TEST_F(AgentCalls, CompressedBodiesAreReadAndBombsAreNot) {
  FakeAgent agent(server_, agent_key_);
  agent.AddSnapshot(1);
  const std::string batch = agent.publish.SerializeAsString();
  const auto send = [&](const std::string& body, const std::string& encoding) {
    return server_
        .SendProtobuf("/v1/agent/publish", agent_key_, body, {"Content-Encoding: " + encoding})
        .status;
  };
  EXPECT_EQ(send(Gzip(batch), "gzip"), 200);
  EXPECT_EQ(send(Zstd(batch), "zstd"), 200);
  EXPECT_EQ(send(batch, "identity"), 200);
  EXPECT_EQ(send(batch, "br"), 415);
  EXPECT_EQ(send(batch, "gzip"), 400);
  EXPECT_EQ(send(batch, "zstd"), 400);
  EXPECT_EQ(send(Gzip(batch).substr(0, 20), "gzip"), 400);
  EXPECT_EQ(send(Zstd(batch).substr(0, 20), "zstd"), 400);
  EXPECT_EQ(send(Gzip(batch) + "x", "gzip"), 400);
  // Batches with tables have a type of their own, which polls do not have.
  const auto typed = [&](const std::string& path, const std::string& type) {
    return server_
        .Do({.method = "POST",
             .path = path,
             .key = agent_key_,
             .body = batch,
             .content_type = type,
             .headers = {},
             .timeout_ms = 60'000})
        .status;
  };
  EXPECT_EQ(typed("/v1/agent/publish", "application/x-protobuf-tables"), 200);
  EXPECT_EQ(typed("/v1/agent/poll", "application/x-protobuf-tables"), 415);
  EXPECT_EQ(typed("/v1/agent/publish", "application/json"), 415);
  const std::string zeros(64u << 20, '\0');
  EXPECT_EQ(send(Gzip(zeros), "gzip"), 413);
  EXPECT_EQ(send(Zstd(zeros), "zstd"), 413);
  EXPECT_EQ(server_.Get("/healthz", "").status, 200);
}

TEST_F(AgentCalls, BadBodiesAreRefusedWithTheReason) {
  const auto poll = [&](const std::string& body) {
    return server_.SendProtobuf("/v1/agent/poll", agent_key_, body);
  };
  const auto publish = [&](const std::string& body) {
    return server_.SendProtobuf("/v1/agent/publish", agent_key_, body);
  };
  EXPECT_EQ(poll("this is not protobuf").status, 400);
  EXPECT_EQ(poll("this is not protobuf").ErrorCode(), "MALFORMED_PROTOBUF");
  EXPECT_EQ(publish("\xff\xff\xff\xff").status, 400);
  EXPECT_EQ(poll("").status, 400);  // well-formed, but nobody
  EXPECT_EQ(poll(std::string((1u << 20) + 1, 'a')).status, 413);
  EXPECT_EQ(publish(std::string((8u << 20) + 1, 'a')).status, 413);
  EXPECT_EQ(server_.Send("POST", "/v1/agent/poll", agent_key_, "{}").status, 415);
  FakeAgent agent(server_, agent_key_);
  v1::Value* value = agent.AddSnapshot(1).add_expressions();
  for (int i = 0; i < 200; ++i) value = value->add_children();
  EXPECT_EQ(agent.PublishRaw().status, 400);
  agent.publish.clear_snapshots();
  for (uint64_t i = 0; i < 1001; ++i) agent.AddSnapshot(i);
  EXPECT_EQ(agent.PublishRaw().status, 413);
  FakeAgent control(server_, agent_key_, "a\nb");
  EXPECT_EQ(control.PollRaw(0).status, 400);
  FakeAgent nameless(server_, agent_key_, "");
  EXPECT_EQ(nameless.PollRaw(0).status, 400);
}

// Values are bytes of someone's memory.
TEST_F(AgentCalls, AnyBytesInAValueBecomeValidJson) {
  FakeAgent agent(server_, agent_key_);
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  agent.AddSnapshot(1).mutable_frames(0)->mutable_variables(0)->set_value(bytes);
  agent.Publish();
  const Answer answer = server_.Get("/v1/snapshots?service=web", server_.admin_key);
  ASSERT_FALSE(answer.json().is_discarded());
  EXPECT_EQ(answer.json()["snapshots"].size(), 1u);
}

}  // namespace
}  // namespace stillframe::server::testing
