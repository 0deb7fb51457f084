#include <arpa/inet.h>
#include <sys/socket.h>

#include <regex>
#include <set>
#include <sstream>

#include "tests/server/fake_agent.h"

namespace stillframe::server::testing {
namespace {

class Rest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new ServerProcess(); }
  static void TearDownTestSuite() {
    EXPECT_EQ(server_->Terminate(), 0);
    delete server_;
    server_ = nullptr;
  }
  Answer Create(const std::string& body, const std::string& service = "web") {
    return server_->Send("POST", "/v1/services/" + service + "/tracepoints", server_->admin_key,
                         body);
  }
  Answer Get(const std::string& path) { return server_->Get(path, server_->admin_key); }
  static ServerProcess* server_;
};
ServerProcess* Rest::server_ = nullptr;

TEST_F(Rest, ATracepointsLife) {
  const Answer created = Create(kSpec, "life");
  ASSERT_EQ(created.status, 201);
  const Json tracepoint = created.json();
  const std::string path = "/v1/tracepoints/" + tracepoint["id"].get<std::string>();
  EXPECT_NE(created.headers.find("Location: " + path), std::string::npos);
  EXPECT_EQ(tracepoint["revision"], 1);
  EXPECT_EQ(tracepoint["limits"]["maxHits"], 1);
  EXPECT_EQ(tracepoint["service"], "life");
  EXPECT_EQ(Get(path).json(), tracepoint);
  const Answer changed = server_->Send("PATCH", path, server_->admin_key,
                                       R"({"condition":"a > 1","limits":{"maxHits":5}})");
  ASSERT_EQ(changed.status, 200);
  EXPECT_EQ(changed.json()["revision"], 2);
  EXPECT_EQ(changed.json()["condition"], "a > 1");
  EXPECT_EQ(changed.json()["limits"]["maxHits"], 5);
  EXPECT_EQ(changed.json()["location"], tracepoint["location"]);
  const Answer deleted = server_->Send("DELETE", path, server_->admin_key, "");
  EXPECT_EQ(deleted.status, 204);
  EXPECT_EQ(deleted.body, "");
  EXPECT_EQ(Get(path).status, 404);
  EXPECT_EQ(server_->Send("DELETE", path, server_->admin_key, "").status, 404);
  EXPECT_EQ(server_->Send("PATCH", path, server_->admin_key, "{}").status, 404);
}

TEST_F(Rest, GarbageInEveryFieldNamesTheField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"lokation":{}})", "lokation"},
      {R"({})", "location"},
      {R"({"location":7})", "location"},
      {R"({"location":{"file":"a.cc"}})", "location.line"},
      {R"({"location":{"file":"a.cc","line":0}})", "location.line"},
      {R"({"location":{"file":"a.cc","line":"x"}})", "location.line"},
      {R"({"location":{"file":"a.cc","line":1e30}})", "location.line"},
      {R"({"location":{"file":7,"line":1}})", "location.file"},
      {R"({"location":{"file":"","line":1}})", "location.file"},
      {R"({"location":{"file":"a","line":1,"column":2}})", "location.column"},
      {R"({"location":{"function":[]}})", "location.function"},
      {R"({"location":{"exception":1}})", "location.exception"},
      {R"({"kind":"SNAP","location":{"file":"a","line":1}})", "kind"},
      {R"({"kind":1,"location":{"file":"a","line":1}})", "kind"},
      {R"({"condition":[],"location":{"file":"a","line":1}})", "condition"},
      {R"({"expressions":"x","location":{"file":"a","line":1}})", "expressions"},
      {R"({"expressions":[1],"location":{"file":"a","line":1}})", "expressions"},
      {R"({"logMessage":{},"location":{"file":"a","line":1}})", "logMessage"},
      {R"({"kind":"LOG","location":{"file":"a","line":1}})", "logMessage"},
      {R"({"kind":"LOG","logMessage":"{x","location":{"file":"a","line":1}})", "logMessage"},
      {R"({"selector":{"version":1},"location":{"file":"a","line":1}})", "selector.version"},
      {R"({"selector":{"environment":1},"location":{"file":"a","line":1}})",
       "selector.environment"},
      {R"({"selector":{"instance":1},"location":{"file":"a","line":1}})", "selector.instance"},
      {R"({"selector":{"traceId":"xyz"},"location":{"file":"a","line":1}})", "selector.traceId"},
      {R"({"limits":{"maxHits":-1},"location":{"file":"a","line":1}})", "limits.maxHits"},
      {R"({"limits":{"maxHits":1.5},"location":{"file":"a","line":1}})", "limits.maxHits"},
      {R"({"limits":{"perSecond":"often"},"location":{"file":"a","line":1}})", "limits.perSecond"},
      {R"({"limits":{"expiresIn":"1h"},"location":{"file":"a","line":1}})", "limits.expiresIn"},
      {R"({"limits":{"expiresIn":3600},"location":{"file":"a","line":1}})", "limits.expiresIn"},
      {R"({"capture":{"frames":0},"location":{"file":"a","line":1}})", "capture.frames"},
      {R"({"capture":{"depth":99999},"location":{"file":"a","line":1}})", "capture.depth"},
      {R"({"capture":{"bytes":true},"location":{"file":"a","line":1}})", "capture.bytes"},
      {R"({"id":"mine","location":{"file":"a","line":1}})", "id"},
      {R"({"endLocation":{"line":1},"location":{"file":"a","line":1}})", "endLocation"},
  };
  for (const auto& [body, field] : cases) {
    const Answer answer = Create(body);
    EXPECT_EQ(answer.status, 400) << body << answer.body;
    EXPECT_EQ(answer.ErrorField().rfind(field, 0), 0u) << body << answer.body;
    EXPECT_NE(answer.json()["error"].value("message", ""), "");
  }
}

TEST_F(Rest, BodiesThatAreNotJsonAreRefused) {
  std::string deep = R"({"location":)";
  for (int i = 0; i < 5000; ++i) deep += "[";
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), deep,
        std::string("{\"condition\":\"\xff\"}"), std::string(R"({"a":1,"a":2})"),
        std::string("\0\0", 2)}) {
    const Answer answer = Create(body);
    EXPECT_EQ(answer.status, 400) << body.substr(0, 50) << answer.body;
    EXPECT_NE(answer.ErrorCode(), "");
  }
  EXPECT_EQ(Create("{\"condition\":\"" + std::string(70'000, 'a') + "\"}").status, 413);
  const Answer xml = server_->Do({.method = "POST",
                                  .path = "/v1/services/web/tracepoints",
                                  .key = server_->admin_key,
                                  .body = "<a/>",
                                  .content_type = "text/xml"});
  EXPECT_EQ(xml.status, 415);
}

// Prometheus text format 0.0.4: HELP, TYPE, then samples of that name, each sample once.
TEST_F(Rest, MetricsAreValidForPrometheus) {
  Get("/v1/services/none/lines?file=a");
  Get("/v1/snapshots?service=\"%22");
  const Answer answer = server_->Get("/metrics", "");
  EXPECT_NE(answer.headers.find("text/plain; version=0.0.4"), std::string::npos);
  ASSERT_TRUE(answer.body.ends_with("\n"));
  std::istringstream lines(answer.body);
  std::set<std::string> families, samples;
  std::string help, type;
  const std::regex sample(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*\})? [0-9]+)");
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.starts_with("# HELP ")) {
      help = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(families.insert(help).second) << "twice: " << help;
    } else if (line.starts_with("# TYPE ")) {
      type = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(type, help);
      const std::string kind = line.substr(8 + type.size());
      EXPECT_EQ(kind == "counter", type.ends_with("_total")) << line;
      EXPECT_TRUE(kind == "counter" || kind == "gauge") << line;
    } else {
      ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
      EXPECT_EQ(match[1], type);
      EXPECT_TRUE(samples.insert(line.substr(0, line.rfind(' '))).second) << "twice: " << line;
    }
  }
  EXPECT_TRUE(samples.contains(
      R"(stillframe_requests_total{route="/v1/services/{service}/lines",status="404"})"))
      << answer.body;
  EXPECT_TRUE(samples.contains("stillframe_snapshots_stored"));
}

TEST_F(Rest, BadQueriesNameTheParameter) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/v1/snapshots?pageSize=0", "pageSize"},
      {"/v1/snapshots?pageSize=many", "pageSize"},
      {"/v1/snapshots?pageSize=99999999999999999999", "pageSize"},
      {"/v1/snapshots?pageToken=garbage", "pageToken"},
      {"/v1/snapshots?pageToken=1-", "pageToken"},
      {"/v1/snapshots?pageToken=1-2x", "pageToken"},
      {"/v1/snapshots?since=yesterday", "since"},
      {"/v1/snapshots?since=2026-13-01T00:00:00Z", "since"},
      {"/v1/snapshots?since=2026-01-01T00:00:00", "since"},
      {"/v1/snapshots?since=9999-01-01T00:00:00Z", "since"},
      {"/v1/snapshots?color=red", "color"},
      {"/v1/services?pageToken=-1", "pageToken"},
      {"/v1/services/web/tracepoints?pageToken=99999", "pageToken"},
      {"/v1/services/web/lines", "file"},
      {"/v1/services/web/lines?file=a&line=0", "line"},
      {"/v1/services/web/variables?file=a", "line"},
      {"/v1/services/web/variables?file=a&line=-4", "line"},
  };
  for (const auto& [path, field] : cases) {
    const Answer answer = Get(path);
    EXPECT_EQ(answer.status, 400) << path;
    EXPECT_EQ(answer.ErrorField(), field) << path << answer.body;
  }
  for (const char* path : {"/v1/snapshots?a=%zz", "/v1/snapshots?since=%ff",
                           "/v1/services/%00/agents", "/v1/snapshots?service=a&service=b"}) {
    EXPECT_EQ(Get(path).status, 400) << path;
  }
  for (const char* path :
       {"/", "/v1", "/v1/", "/v1/nothing", "/v1/tracepoints/", "/v1/tracepoints/a/b",
        "/v1/snapshots/none", "/../etc/passwd", "/v1/services//agents"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  EXPECT_EQ(Get("/v1/snapshots?since=2026-01-01T00:00:00.5%2B02:00").status, 200);
}

TEST_F(Rest, ListsPage) {
  std::set<std::string> created, seen;
  for (int i = 0; i < 7; ++i) created.insert(Create(kSpec, "paged").json()["id"]);
  std::string token;
  int pages = 0;
  do {
    const Json page = Get("/v1/services/paged/tracepoints?pageSize=3" +
                          (token.empty() ? "" : "&pageToken=" + token))
                          .json();
    for (const Json& tracepoint : page["tracepoints"]) {
      EXPECT_TRUE(seen.insert(tracepoint["id"]).second);
    }
    token = page.value("nextPageToken", "");
    ++pages;
  } while (!token.empty() && pages < 10);
  EXPECT_EQ(seen, created);
  EXPECT_EQ(pages, 3);
}

TEST_F(Rest, SnapshotsFilterAndPageNewestFirst) {
  FakeAgent agent(*server_, server_->Key("agent"), "snaps");
  for (uint64_t i = 0; i < 10; ++i) {
    v1::Snapshot& snapshot = agent.AddSnapshot(i);
    snapshot.set_time_unix_nanos(1'767'225'600'000'000'000 + static_cast<int64_t>(i / 2));
    snapshot.set_tracepoint_id(i % 2 != 0 ? "tp_odd" : "tp_even");
    if (i == 4) snapshot.set_trace_id("4bf92f3577b34da6a3ce929d0e0e4736");
  }
  EXPECT_EQ(agent.Publish().size(), 10u);
  std::vector<std::string> values;
  std::string token;
  do {
    const Json page =
        Get("/v1/snapshots?service=snaps&pageSize=4" + (token.empty() ? "" : "&pageToken=" + token))
            .json();
    for (const Json& snapshot : page["snapshots"]) {
      values.push_back(snapshot["frames"][0]["variables"][0]["value"]);
    }
    token = page.value("nextPageToken", "");
  } while (!token.empty() && values.size() < 20);
  EXPECT_EQ(values, (std::vector<std::string>{"9", "8", "7", "6", "5", "4", "3", "2", "1", "0"}));
  const auto count = [&](const std::string& filter) {
    return Get("/v1/snapshots?service=snaps&" + filter).json()["snapshots"].size();
  };
  EXPECT_EQ(count("tracepoint=tp_odd"), 5u);
  EXPECT_EQ(count("traceId=4bf92f3577b34da6a3ce929d0e0e4736"), 1u);
  EXPECT_EQ(count("traceId=4bf92f3577b34da6a3ce929d0e0e4736&tracepoint=tp_odd"), 0u);
  EXPECT_EQ(count("since=2026-01-01T00:00:00.000000004Z"), 2u);
  EXPECT_EQ(count("since=2026-01-01T02:00:00.000000004%2B02:00"), 2u);
}

// Sends raw bytes and returns all that comes back.
std::string Raw(int port, const std::string& bytes) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  const timeval limit{20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  std::string out;
  char buffer[4096];
  for (ssize_t n = 0; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
    out.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return out;
}

TEST_F(Rest, BrokenHttpIsAnsweredAndClosed) {
  const auto status = [&](const std::string& bytes) {
    const std::string answer = Raw(server_->port(), bytes);
    return answer.substr(0, std::min<size_t>(answer.size(), 12));
  };
  EXPECT_EQ(status("hello\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("GET / HTTP/1.1\r\nbad header\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status("GET / HTTP/1.1\r\nA: " + std::string(20'000, 'a') + "\r\n\r\n"),
            "HTTP/1.1 431");
  // Two lengths: how requests are smuggled past proxies (RFC 9112 §6.3).
  EXPECT_EQ(status("POST /v1/agent/poll HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "HTTP/1.1 400");
  EXPECT_EQ(status("GET relative HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 400");
}

TEST_F(Rest, PipelinedRequestsAreAnsweredInOrder) {
  const std::string answers =
      Raw(server_->port(),
          "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
          "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const size_t first = answers.find("HTTP/1.1 200"), second = answers.find("HTTP/1.1 404");
  ASSERT_NE(first, std::string::npos);
  ASSERT_NE(second, std::string::npos);
  EXPECT_LT(first, second);
  EXPECT_NE(answers.find("HTTP/1.1 200", second), std::string::npos);
}

TEST_F(Rest, HealthReadinessMetricsAndSecurityHeaders) {
  const Answer health = server_->Get("/healthz", "");
  EXPECT_EQ(health.status, 200);
  for (const char* header : {"X-Content-Type-Options: nosniff", "Cache-Control: no-store",
                             "Content-Security-Policy: default-src 'none'"}) {
    EXPECT_NE(health.headers.find(header), std::string::npos) << header;
  }
  EXPECT_EQ(health.headers.find("Access-Control"), std::string::npos);
  EXPECT_EQ(server_->Get("/readyz", "").status, 200);
  const std::string metrics = server_->Get("/metrics", "").body;
  for (const char* name :
       {"stillframe_requests_total{route=\"/healthz\",status=\"200\"}", "stillframe_agents ",
        "stillframe_polls_held ", "stillframe_event_streams ", "stillframe_tracepoints ",
        "stillframe_snapshots_stored ", "stillframe_snapshots_duplicate_total ",
        "stillframe_sent_bytes_total "}) {
    EXPECT_NE(metrics.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace stillframe::server::testing
