#include "model/tracepoint.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/snapshot.h"

namespace stillframe::model {
namespace {

constexpr const char* kFull = R"({"kind": "SNAPSHOT",
 "location": {"file": "orders.cc", "line": 42},
 "condition": "order.items.size() > 3", "expressions": ["order.total", "customer->name"],
 "logMessage": "order {order.id}",
 "selector": {"version": "1.4.2", "environment": "prod", "instance": "", "traceId": ""},
 "limits": {"maxHits": 2, "perSecond": 0.5, "expiresIn": "90.5s"},
 "capture": {"frames": 16, "localFrames": 2, "depth": 4, "items": 7, "stringBytes": 99,
             "bytes": 32768}, "allowTrap": true})";

TEST(TracepointSpec, ReadsEveryFieldAndWritesItBack) {
  TracepointSpec spec;
  auto error = ParseTracepointSpec(kFull, spec, nullptr);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(spec.location.line, 42u);
  EXPECT_EQ(spec.limits.expires_in_ms, 90'500u);
  EXPECT_EQ(spec.limits.per_second, 0.5);
  EXPECT_EQ(spec.capture.string_bytes, 99u);
  EXPECT_TRUE(spec.allow_trap);
  TracepointSpec again;
  error = ParseTracepointSpec(SpecToJson(spec), again, nullptr);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(SpecToJson(again), SpecToJson(spec));
}

TEST(TracepointSpec, EverythingButTheLocationHasADefault) {
  TracepointSpec spec;
  ASSERT_FALSE(ParseTracepointSpec(R"({"location":{"file":"a.cc","line":"7"}})", spec, nullptr));
  EXPECT_EQ(spec.location.line, 7u);  // proto3 JSON allows integers as strings
  EXPECT_EQ(spec.limits.max_hits, 1u);
  EXPECT_EQ(spec.capture.depth, 3u);
  EXPECT_FALSE(spec.allow_trap);
  EXPECT_EQ(FormatDuration(spec.limits.expires_in_ms), "3600s");
}

struct BadCase {
  const char* json;
  const char* code;
  const char* field;
};

TEST(TracepointSpec, NamesTheFieldThatIsWrong) {
  const BadCase cases[] = {
      {"", "MALFORMED_JSON", ""},
      {"{", "MALFORMED_JSON", ""},
      {"[]", "INVALID_ARGUMENT", ""},
      {"{}", "INVALID_ARGUMENT", "location"},
      {R"({"location":{"file":"a","line":1},"allowTrap":1})", "INVALID_ARGUMENT", "allowTrap"},
      {R"({"location":{"file":"a","line":0}})", "INVALID_ARGUMENT", "location.line"},
      {R"({"location":{"file":"a","line":-1}})", "INVALID_ARGUMENT", "location.line"},
      {R"({"location":{"file":"a","line":1.5}})", "INVALID_ARGUMENT", "location.line"},
      {R"({"location":{"file":"a"}})", "INVALID_ARGUMENT", "location.line"},
      {R"({"location":{"line":3}})", "INVALID_ARGUMENT", "location"},
      {R"({"location":{"file":7,"line":1}})", "INVALID_ARGUMENT", "location.file"},
      {R"({"location":{"file":"","line":1}})", "INVALID_ARGUMENT", "location.file"},
      {R"({"location":{"file":"a","line":1,"function":"f"}})", "INVALID_ARGUMENT", "location"},
      {R"({"location":{"file":"a","line":1,"col":2}})", "UNKNOWN_FIELD", "location.col"},
      {R"({"location":"a.cc:1"})", "INVALID_ARGUMENT", "location"},
      {R"({"location":{"file":"a","line":1},"kind":"X"})", "INVALID_ARGUMENT", "kind"},
      {R"({"location":{"file":"a","line":1},"kind":"LOG"})", "INVALID_ARGUMENT", "logMessage"},
      {R"({"location":{"file":"a","line":1},"kind":"SPAN"})", "INVALID_ARGUMENT", "endLocation"},
      {R"({"location":{"file":"a","line":1},"conditon":"x"})", "UNKNOWN_FIELD", "conditon"},
      {R"({"location":{"file":"a","line":1},"condition":1})", "INVALID_ARGUMENT", "condition"},
      {R"({"location":{"file":"a","line":1},"expressions":"x"})", "INVALID_ARGUMENT",
       "expressions"},
      {R"({"location":{"file":"a","line":1},"expressions":["x",""]})", "INVALID_ARGUMENT",
       "expressions[1]"},
      {R"({"location":{"file":"a","line":1},"limits":{"maxHits":0}})", "INVALID_ARGUMENT",
       "limits.maxHits"},
      {R"({"location":{"file":"a","line":1},"limits":{"perSecond":-1}})", "INVALID_ARGUMENT",
       "limits.perSecond"},
      {R"({"location":{"file":"a","line":1},"limits":{"expiresIn":"1h"}})", "INVALID_ARGUMENT",
       "limits.expiresIn"},
      {R"({"location":{"file":"a","line":1},"capture":{"bytes":99999999}})", "INVALID_ARGUMENT",
       "capture.bytes"},
      {R"({"location":{"file":"a","line":1},"selector":{"traceId":"zz"}})", "INVALID_ARGUMENT",
       "selector.traceId"},
      {R"({"id":"x","location":{"file":"a","line":1}})", "UNKNOWN_FIELD", "id"},
  };
  for (const BadCase& bad : cases) {
    TracepointSpec spec;
    const auto error = ParseTracepointSpec(bad.json, spec, nullptr);
    ASSERT_TRUE(error) << bad.json;
    EXPECT_EQ(error->code, bad.code) << bad.json;
    EXPECT_EQ(error->field, bad.field) << bad.json;
    EXPECT_FALSE(error->message.empty());
  }
  TracepointSpec spec;
  const auto error = ParseTracepointSpec(std::string(100'000, '['), spec, nullptr);
  ASSERT_TRUE(error);
}

TEST(TracepointSpec, PatchChangesOnlyWhatIsPresent) {
  TracepointSpec spec;
  ASSERT_FALSE(ParseTracepointSpec(kFull, spec, nullptr));
  ASSERT_FALSE(PatchTracepointSpec(R"({"condition":"x","limits":{"maxHits":9}})", spec));
  EXPECT_EQ(spec.condition, "x");
  EXPECT_EQ(spec.limits.max_hits, 9u);
  EXPECT_EQ(spec.limits.per_second, 0.5);
  EXPECT_EQ(spec.location.file, "orders.cc");
  const std::string before = SpecToJson(spec);
  EXPECT_TRUE(PatchTracepointSpec(R"({"condition":"y","nope":1})", spec));
  EXPECT_EQ(SpecToJson(spec), before);
}

TEST(TracepointsFile, GivesIdsToThoseWithout) {
  TracepointsFile file;
  const auto& specs = file.tracepoints;
  const auto error = ParseTracepointsFile(
      R"({"tracepoints":[{"location":{"file":"a.cc","line":1}},
          {"location":{"file":"a.cc","line":1}},{"id":"mine","location":{"file":"b","line":2}}]})",
      file);
  ASSERT_FALSE(error) << error->message;
  ASSERT_EQ(specs.size(), 3u);
  EXPECT_EQ(specs[0].id, "a.cc:1");
  EXPECT_EQ(specs[1].id, "a.cc:1#2");
  EXPECT_EQ(specs[2].id, "mine");
  const auto bad = ParseTracepointsFile(
      R"({"tracepoints":[{"location":{"file":"a.cc","line":1}},{"location":{"file":"a.cc"}}]})",
      file);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->field, "tracepoints[1].location.line");
}

TEST(Duration, RoundTrips) {
  EXPECT_EQ(ParseDurationMs("30s"), 30'000u);
  EXPECT_EQ(ParseDurationMs("0.25s"), 250u);
  EXPECT_EQ(FormatDuration(1500), "1.5s");
  for (const char* bad : {"", "s", "30", "-1s", "1e3s", "1h", "nans", "infs", "1 s"}) {
    EXPECT_FALSE(ParseDurationMs(bad)) << bad;
  }
}

TEST(SnapshotJson, FollowsTheContractAndSurvivesHostileBytes) {
  Snapshot snapshot;
  snapshot.id = "s1";
  snapshot.time_unix_nanos = 1767323045678901234;
  snapshot.trace = {"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true};
  Frame frame;
  frame.function = "f()";
  frame.pc = 0x12a4;
  Value rate{"rate", "double", "", false, ValueStatus::kUnavailable, "OPTIMIZED_OUT", {}};
  Value bytes{"b\xff", "char", "\x01", true, ValueStatus::kExact, "", {rate}};
  frame.variables = {bytes};
  snapshot.frames = {frame};
  snapshot.expressions = {{"order.total", "double", "99.5", true, ValueStatus::kExact, "", {}}};
  snapshot.capture_nanos = 2150;
  const auto json = nlohmann::json::parse(SnapshotToJson(snapshot));
  EXPECT_EQ(json["time"], "2026-01-02T03:04:05.678901234Z");
  EXPECT_EQ(json["frames"][0]["pc"], "0x12a4");
  EXPECT_EQ(json["frames"][0]["inlined"], false);
  EXPECT_EQ(json["frames"][0]["variables"][0]["name"], "b\xef\xbf\xbd");
  EXPECT_EQ(json["frames"][0]["variables"][0]["children"][0]["reason"], "OPTIMIZED_OUT");
  EXPECT_FALSE(json["frames"][0]["variables"][0]["children"][0].contains("value"));
  EXPECT_EQ(json["expressions"][0]["text"], "order.total");
  EXPECT_EQ(json["captureNanos"], 2150);
  EXPECT_EQ(json["trace"]["sampled"], true);
  EXPECT_EQ(SnapshotToJson(snapshot).find('\n'), std::string::npos);
}

TEST(Tracepoint, ReturnsAndFatalEnds) {
  TracepointSpec spec;
  ASSERT_FALSE(
      ParseTracepointSpec(R"({"location": {"function": "f", "at": "return"}})", spec, nullptr));
  EXPECT_TRUE(spec.location.at_return);
  TracepointSpec again;
  ASSERT_FALSE(ParseTracepointSpec(SpecToJson(spec), again, nullptr));
  EXPECT_TRUE(again.location.at_return);
  ASSERT_FALSE(
      ParseTracepointSpec(R"({"location": {"function": "f", "at": "entry"}})", spec, nullptr));
  EXPECT_FALSE(spec.location.at_return);
  for (const char* end : {"terminate", "signal", "SIGSEGV", "SIGABRT"}) {
    const std::string json = std::string(R"({"location": {"fatal": ")") + end + R"("}})";
    ASSERT_FALSE(ParseTracepointSpec(json, spec, nullptr)) << end;
    EXPECT_EQ(spec.location.fatal, end);
    ASSERT_FALSE(ParseTracepointSpec(SpecToJson(spec), again, nullptr));
    EXPECT_EQ(again.location.fatal, end);
  }
  const std::pair<const char*, const char*> bad[] = {
      {R"({"location": {"function": "f", "at": "end"}})", "location.at"},
      {R"({"location": {"file": "a.cc", "line": 1, "at": "return"}})", "location.at"},
      {R"({"location": {"fatal": "SIGKILL"}})", "location.fatal"},
      {R"({"location": {"fatal": "terminate", "function": "f"}})", "location"},
      {R"({"kind": "SPAN", "location": {"function": "f", "at": "return"}})", "location"},
  };
  for (const auto& [json, field] : bad) {
    const auto error = ParseTracepointSpec(json, spec, nullptr);
    ASSERT_TRUE(error) << json;
    EXPECT_EQ(error->field, field) << json;
  }
}

}  // namespace
}  // namespace stillframe::model
