// Every role on every route, from the route table itself.
#include "server/api.h"
#include "tests/server/fake_agent.h"

namespace stillframe::server::testing {
namespace {

// Who gets past the door. A route that is not here fails the test.
const std::map<std::string, std::string> kMayCall = {
    {"POST /v1/services/{service}/tracepoints", "editor admin"},
    {"GET /v1/services/{service}/tracepoints", "viewer editor admin"},
    {"GET /v1/tracepoints/{id}", "viewer editor admin"},
    {"PATCH /v1/tracepoints/{id}", "editor admin"},
    {"DELETE /v1/tracepoints/{id}", "editor admin"},
    {"POST /v1/stops", "editor admin"},
    {"GET /v1/stops", "viewer editor admin"},
    {"DELETE /v1/stops/{id}", "editor admin"},
    {"GET /v1/services", "viewer editor admin"},
    {"GET /v1/services/{service}/agents", "viewer editor admin"},
    {"GET /v1/services/{service}/lines", "viewer editor admin"},
    {"GET /v1/services/{service}/variables", "viewer editor admin"},
    {"GET /v1/snapshots", "viewer editor admin"},
    {"GET /v1/snapshots/{id}", "viewer editor admin"},
    {"GET /v1/events", "viewer editor admin"},
    {"POST /v1/agent/poll", "agent"},
    {"POST /v1/agent/publish", "agent"},
    {"GET /healthz", "nobody agent viewer editor admin"},
    {"GET /readyz", "nobody agent viewer editor admin"},
    {"GET /metrics", "nobody agent viewer editor admin"},
};

std::string Fill(std::string pattern) {
  for (const char* name : {"{service}", "{id}"}) {
    const size_t at = pattern.find(name);
    if (at != std::string::npos) pattern.replace(at, strlen(name), "none");
  }
  return pattern;
}

Answer Try(const ServerProcess& server, const std::string& method, const std::string& pattern,
           const std::string& key) {
  return server.Do(
      {.method = method, .path = Fill(pattern), .key = key, .on_data = [](const std::string&) {
         return false;
       }});  // the stream is endless
}

TEST(AuthMatrix, EveryRoleOnEveryRoute) {
  const ServerProcess server;
  const std::map<std::string, std::string> keys = {{"nobody", ""},
                                                   {"agent", server.Key("agent")},
                                                   {"viewer", server.Key("viewer")},
                                                   {"editor", server.Key("editor")},
                                                   {"admin", server.admin_key}};
  for (const Route& route : Routes()) {
    const std::string name = std::string(route.method) + " " + route.pattern;
    const auto expected = kMayCall.find(name);
    ASSERT_NE(expected, kMayCall.end()) << "no expectation for " << name;
    for (const auto& [role, key] : keys) {
      const long status = Try(server, route.method, route.pattern, key).status;
      const bool allowed = status != 401 && status != 403;
      EXPECT_EQ(allowed, expected->second.find(role) != std::string::npos)
          << name << " as " << role << " -> " << status;
      if (allowed) continue;
      EXPECT_EQ(status, role == "nobody" ? 401 : 403) << name << " as " << role;
    }
  }
  EXPECT_EQ(Routes().size(), kMayCall.size());
}

TEST(AuthMatrix, OtherMethodsAreRefusedEverywhere) {
  const ServerProcess server;
  std::map<std::string, std::string> methods;
  for (const Route& route : Routes()) methods[route.pattern] += std::string(route.method) + " ";
  for (const auto& [pattern, known] : methods) {
    for (const std::string method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
      if (known.find(method) != std::string::npos) continue;
      const Answer answer = Try(server, method, pattern, server.admin_key);
      EXPECT_EQ(answer.status, 405) << method << " " << pattern;
      EXPECT_NE(answer.headers.find("Allow: "), std::string::npos);
    }
  }
}

TEST(AuthMatrix, BadKeysOpenNothing) {
  const ServerProcess server;
  const std::string& good = server.admin_key;
  std::string other_secret = good;
  other_secret.back() = other_secret.back() == '0' ? '1' : '0';
  std::string other_id = good;
  other_id[5] = other_id[5] == '0' ? '1' : '0';
  for (const std::string& key :
       {std::string("x"), good.substr(0, good.size() - 1), good + "0", other_secret, other_id,
        good.substr(0, 17), std::string("sfk_"), std::string(5000, 'a')}) {
    EXPECT_EQ(server.Get("/v1/services", key).status, 401) << key;
  }
  const auto with = [&](const std::string& header) {
    return server.Do({.path = "/v1/services", .headers = {header}}).status;
  };
  EXPECT_EQ(with("Authorization: Basic " + good), 401);
  EXPECT_EQ(with("Authorization: " + good), 401);
  EXPECT_EQ(with("Authorization: Bearer  " + good), 401);
  EXPECT_EQ(server.Get("/v1/services?key=" + good, "").status, 401);
  EXPECT_EQ(with("Authorization: Bearer " + good), 200);
}

TEST(AuthMatrix, AServicesKeySeesOnlyIt) {
  const ServerProcess server;
  const std::string viewer = server.Key("viewer", {"--service", "mine"});
  const std::string editor = server.Key("editor", {"--service", "mine"});
  const Json theirs =
      server.Send("POST", "/v1/services/theirs/tracepoints", server.admin_key, kSpec).json();
  const std::string path = "/v1/tracepoints/" + theirs["id"].get<std::string>();
  EXPECT_EQ(server.Get(path, viewer).status, 404);
  EXPECT_EQ(server.Send("PATCH", path, editor, "{}").status, 404);
  EXPECT_EQ(server.Send("DELETE", path, editor, "").status, 404);
  EXPECT_EQ(server.Get("/v1/services/theirs/tracepoints", viewer).status, 403);
  EXPECT_EQ(server.Get("/v1/services/theirs/agents", viewer).status, 403);
  EXPECT_EQ(server.Get("/v1/services/theirs/lines?file=a", viewer).status, 403);
  EXPECT_EQ(server.Get("/v1/events?service=theirs", viewer).status, 403);
  EXPECT_EQ(server.Get("/v1/snapshots?service=theirs", viewer).status, 403);
  EXPECT_EQ(server.Send("POST", "/v1/services/theirs/tracepoints", editor, kSpec).status, 403);
  EXPECT_EQ(server.Get("/v1/services", viewer).json()["services"].size(), 0u);

  FakeAgent agent(server, server.Key("agent"), "theirs");
  agent.AddSnapshot(1);
  agent.Publish();
  const Json all = server.Get("/v1/snapshots", server.admin_key).json()["snapshots"];
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(server.Get("/v1/snapshots", viewer).json()["snapshots"].size(), 0u);
  EXPECT_EQ(server.Get("/v1/snapshots/" + all[0]["id"].get<std::string>(), viewer).status, 404);

  FakeAgent stranger(server, server.Key("agent", {"--service", "mine"}), "theirs", "i-2");
  EXPECT_EQ(stranger.PollRaw(0).status, 403);
  stranger.AddSnapshot(1);
  EXPECT_EQ(stranger.PublishRaw().status, 403);
}

TEST(AuthMatrix, AnEnvironmentsKeySeesAndChangesOnlyIt) {
  const ServerProcess server;
  const std::string staging = server.Key("editor", {"--environment", "staging"});
  const auto create = [&](const std::string& environment) {
    const std::string body = R"({"location":{"file":"a.cc","line":3},"selector":{"environment":")" +
                             environment + "\"}}";
    return "/v1/tracepoints/" +
           server.Send("POST", "/v1/services/web/tracepoints", server.admin_key, body)
               .json()["id"]
               .get<std::string>();
  };
  const std::string prod = create("prod"), any = create(""), own = create("staging");
  EXPECT_EQ(server.Get(prod, staging).status, 404);
  EXPECT_EQ(server.Send("DELETE", prod, staging, "").status, 404);
  const char kTake[] = R"({"selector":{"environment":"staging"}})";
  EXPECT_EQ(server.Send("PATCH", prod, staging, kTake).status, 404);
  // What is for every environment is seen, not changed.
  EXPECT_EQ(server.Get(any, staging).status, 200);
  EXPECT_EQ(server.Send("DELETE", any, staging, "").status, 403);
  EXPECT_EQ(server.Send("PATCH", any, staging, kTake).status, 403);
  EXPECT_EQ(server.Send("PATCH", own, staging, R"({"condition":"x"})").status, 200);
  EXPECT_EQ(server.Send("PATCH", own, staging, R"({"selector":{"environment":"prod"}})").status,
            403);
  EXPECT_EQ(server.Get("/v1/services/web/tracepoints", staging).json()["tracepoints"].size(), 2u);

  FakeAgent agent(server, server.Key("agent"));
  agent.poll.mutable_identity()->set_environment("prod");
  agent.Poll();
  agent.AddSnapshot(1);
  agent.Publish();
  EXPECT_EQ(server.Get("/v1/services/web/agents", staging).json()["agents"].size(), 0u);
  EXPECT_EQ(server.Get("/v1/snapshots", staging).json()["snapshots"].size(), 0u);
  EXPECT_EQ(server.Get(any, staging).json()["agents"].size(), 0u);
  EXPECT_EQ(server.Get(any, server.admin_key).json()["agents"].size(), 1u);
  EXPECT_EQ(server.Get("/v1/services/web/lines?file=a", staging).status, 404);
}

TEST(AuthMatrix, WithoutKeysOnlyLocalNamesAreServed) {
  const ServerProcess server({"--no-auth"});
  EXPECT_EQ(server.admin_key, "");
  EXPECT_EQ(server.Get("/v1/services", "").status, 200);
  EXPECT_EQ(server.Do({.path = "/v1/services", .headers = {"Host: localhost:1"}}).status, 200);
  EXPECT_EQ(server.Do({.path = "/v1/services", .headers = {"Host: evil.example"}}).status, 403);
  // What a web page may send without asking first.
  EXPECT_EQ(server
                .Do({.method = "POST",
                     .path = "/v1/services/web/tracepoints",
                     .body = kSpec,
                     .content_type = "text/plain"})
                .status,
            415);
}

}  // namespace
}  // namespace stillframe::server::testing
