// A snapshot on the terminal, character by character.
#include "cli/snapshot_view.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

Json Value(const char* name, const char* type, const char* value) {
  return {{"name", name}, {"type", type}, {"value", value}, {"status", "EXACT"}};
}

Json Gap(const char* name, const char* type, const char* status, const char* reason) {
  return {{"name", name}, {"type", type}, {"status", status}, {"reason", reason}};
}

Json Tree(const char* name, const char* type, Json children) {
  return {{"name", name}, {"type", type}, {"status", "EXACT"}, {"children", std::move(children)}};
}

Json Snapshot(Json variables) {
  return {{"id", "sn_1"},
          {"tracepointId", "tp_1"},
          {"service", "shop"},
          {"instance", "0123456789abcdef"},
          {"time", "2026-01-02T03:04:05.678901234Z"},
          {"thread", {{"id", 4711}, {"name", "worker-3"}}},
          {"trace",
           {{"traceId", "4bf92f3577b34da6a3ce929d0e0e4736"},
            {"spanId", "00f067aa0ba902b7"},
            {"sampled", true}}},
          {"frames",
           {{{"function", "shop::Checkout(shop::Order const&)"},
             {"file", "/nowhere/orders.cc"},
             {"line", 42},
             {"module", "shop"},
             {"pc", "0x12a4"},
             {"variables", std::move(variables)}},
            {{"function", "main"}, {"file", "/nowhere/main.cc"}, {"line", 7}}}},
          {"captureNanos", 2150}};
}

std::string Render(const Json& snapshot) {
  setenv("TZ", "UTC", 1);
  return RenderSnapshot(snapshot, Style{}, "");
}

TEST(SnapshotView, ReadsLikeThis) {
  const Json variables = {
      Tree("order", "const shop::Order &",
           {Value("id", "long", "17"),
            {{"name", "items"},
             {"type", "std::vector<int>"},
             {"value", "size=2"},
             {"status", "EXACT"},
             {"children", {Value("[0]", "int", "1"), Value("[1]", "int", "2")}}}}),
      Gap("rate", "double", "UNAVAILABLE", "OPTIMIZED_OUT"),
      Gap("password", "std::string", "REDACTED", "REDACTED"),
  };
  EXPECT_EQ(Render(Snapshot(variables)),
            "shop  snapshot sn_1  tracepoint tp_1\n"
            "time    2026-01-02 03:04:05.678 UTC  captured in 2.1 µs\n"
            "thread  worker-3 (4711)  instance 01234567\n"
            "trace   4bf92f3577b34da6a3ce929d0e0e4736  span 00f067aa0ba902b7  sampled\n"
            "\n"
            "#0  shop::Checkout(shop::Order const&)\n"
            "    /nowhere/orders.cc:42\n"
            "    ├─ order  const shop::Order &\n"
            "    │  ├─ id = 17  long\n"
            "    │  └─ items = size=2  std::vector<int>\n"
            "    │     ├─ [0] = 1  int\n"
            "    │     └─ [1] = 2  int\n"
            "    ├─ password  std::string  — redacted\n"
            "    └─ rate  — unavailable: optimized out by the compiler\n"
            "#1  main  /nowhere/main.cc:7\n");
}

TEST(SnapshotView, GapsOfOneReasonAreOneLine) {
  const Json limit = Gap("x", "int", "UNAVAILABLE", "LIMIT");
  const Json variables = {
      Tree("deep", "T", {limit, Tree("inner", "U", {limit, limit})}),
      Tree("mixed", "T", {limit, Value("y", "int", "1")}),
      Tree("two", "T", {limit, Gap("z", "int", "UNAVAILABLE", "NOT_SAVED")}),
  };
  const std::string text = Render(Snapshot(variables));
  EXPECT_NE(text.find("├─ deep  T  — unavailable: more than the limits allow\n    ├─ mixed  T\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("└─ y = 1  int\n"), std::string::npos) << text;
  EXPECT_NE(text.find("└─ z  int  — unavailable: its register was not saved"), std::string::npos)
      << text;
}

TEST(SnapshotView, VariablesThatAreNotKnownComeLastByReason) {
  const std::string text = Render(Snapshot(
      {Gap("a", "int", "UNAVAILABLE", "OPTIMIZED_OUT"), Gap("b", "int", "UNAVAILABLE", "LIMIT"),
       Gap("c", "T", "UNAVAILABLE", "OPTIMIZED_OUT"), Value("x", "int", "1")}));
  EXPECT_NE(text.find("    ├─ x = 1  int\n"
                      "    ├─ a, c  — unavailable: optimized out by the compiler\n"
                      "    └─ b  — unavailable: more than the limits allow\n"),
            std::string::npos)
      << text;
}

TEST(SnapshotView, CallersInSystemHeadersAreOneLine) {
  Json snapshot = Snapshot(Json::array({Value("x", "int", "1")}));
  snapshot["frames"][1]["file"] = "/usr/include/c++/12/bits/invoke.h";
  snapshot["frames"][1]["variables"] = Json::array({Value("f", "int", "1")});
  const std::string text = Render(snapshot);
  EXPECT_NE(text.find("#1  main  /usr/include/c++/12/bits/invoke.h:7\n"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("f = 1"), std::string::npos) << text;
}

TEST(SnapshotView, ManyCallersInSystemHeadersAreOneLineTogether) {
  Json snapshot = Snapshot(Json::array());
  const Json mine = snapshot["frames"][1];
  Json theirs = mine;
  theirs["file"] = "/usr/include/c++/12/bits/invoke.h";
  snapshot["frames"] = {theirs, theirs, theirs, theirs, mine, theirs};
  const std::string text = Render(snapshot);
  EXPECT_NE(text.find("#1–#3  3 frames in the headers of the system\n"
                      "#4  main  /nowhere/main.cc:7\n"
                      "#5  main  /usr/include/c++/12/bits/invoke.h:7\n"),
            std::string::npos)
      << text;
}

TEST(SnapshotView, TheServersSourceIsShownUnlessAFolderIsNamed) {
  Json snapshot = Snapshot(Json::array());
  Json& lines = snapshot["frames"][0]["source"] = Json::array();
  for (int i = 39; i <= 45; ++i) {
    lines.push_back({{"line", i}, {"text", "\tserver\x1b " + std::to_string(i)}});
  }
  lines.push_back("garbage");
  lines.push_back({{"line", -3}, {"text", 7}});
  std::string text = Render(snapshot);
  EXPECT_NE(text.find("/nowhere/orders.cc:42\n"
                      "       40 │  server\\x1b 40\n"
                      "       41 │  server\\x1b 41\n"
                      "  ▶    42 │  server\\x1b 42\n"
                      "       43 │  server\\x1b 43\n"
                      "       44 │  server\\x1b 44\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("b 45"), std::string::npos) << text;
  text = RenderSnapshot(snapshot, Style{}, "/no/such/folder");
  EXPECT_EQ(text.find("server"), std::string::npos) << text;
}

TEST(SnapshotView, ATreeWithoutAnyKnownValueIsOneLine) {
  const Json limit = Gap("x", "int", "UNAVAILABLE", "LIMIT");
  const Json other = Gap("y", "int", "UNAVAILABLE", "UNSUPPORTED_TYPE");
  const Json tree = Tree("f", "F", {Tree("g", "G", {limit, limit, other}), limit});
  EXPECT_NE(Render(Snapshot(Json::array({tree})))
                .find("    └─ f  F  — unavailable: more than the limits allow\n#1"),
            std::string::npos);
}

TEST(SnapshotView, WhatAnInnerFrameShowedIsNotRepeated) {
  Json members = Json::array();
  for (int i = 0; i < 6; ++i) members.push_back(Value("member", "std::string", "\"text\""));
  Json snapshot = Snapshot(Json::array({Tree("order", "Order &", members)}));
  Json other = members;
  other[3]["value"] = "\"else\"";
  snapshot["frames"][1]["variables"] = {Tree("mine", "Order", members), Tree("b", "Order", other),
                                        Tree("c", "Order", other)};
  const std::string text = Render(snapshot);
  EXPECT_NE(text.find("    ├─ mine  Order  (as order in #0)\n    ├─ b  Order\n    │  ├─ member"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("    └─ c  Order\n       ├─ member"), std::string::npos) << text;
}

TEST(SnapshotView, BasesWithoutDataAreLeftOut) {
  const Json base = {{"name", "<Empty>"}, {"type", "Empty"}, {"status", "EXACT"}};
  const std::string text = Render(Snapshot(
      {Tree("o", "T", {base, Value("y", "int", "1")}), Tree("e", "E", Json::array({base}))}));
  EXPECT_EQ(text.find("Empty"), std::string::npos) << text;
  EXPECT_NE(text.find("│  └─ y = 1  int\n    └─ e  E\n"), std::string::npos) << text;
}

TEST(SnapshotView, LongContainersAreCut) {
  Json elements = Json::array();
  for (int i = 0; i < 20; ++i) {
    elements.push_back(Value(("[" + std::to_string(i) + "]").c_str(), "int", "0"));
  }
  const std::string text = Render(Snapshot(Json::array({Tree("v", "std::vector<int>", elements)})));
  EXPECT_NE(text.find("└─ … 12 more (--output json shows them)"), std::string::npos) << text;
}

TEST(SnapshotView, SourceStandsAroundTheLine) {
  const auto folder = std::filesystem::temp_directory_path() / "sf-snapshot-view";
  std::filesystem::create_directories(folder / "nowhere");
  std::ofstream(folder / "nowhere" / "orders.cc") << [] {
    std::string text;
    for (int i = 1; i <= 50; ++i) text += "line " + std::to_string(i) + "\n";
    return text;
  }();
  const std::string text = RenderSnapshot(Snapshot(Json::array()), Style{}, folder.string());
  EXPECT_NE(text.find("       41 │ line 41\n  ▶    42 │ line 42\n"), std::string::npos) << text;
  std::filesystem::remove_all(folder);
}

TEST(SnapshotView, ALogMessageIsOneLine) {
  Json log = Snapshot(Json::array());
  log["kind"] = "LOG";
  log["message"] = "order 17";
  log["time"] = "2026-01-02T03:04:05.678901234Z";
  log["thread"] = {{"id", 4711}, {"name", "worker-3"}};
  log["trace"] = {{"traceId", "4bf92f"}, {"spanId", "00f0"}};
  ASSERT_TRUE(IsLine(log));
  const std::string place = "orders.cc:42";
  EXPECT_EQ(RenderLogLine(log, Style{}),
            "2026-01-02 03:04:05.678901  worker-3  " + place + "  order 17  trace 4bf92f");
  EXPECT_NE(RenderLogLine(log, Style{.color = true}).find("\x1b[2mtrace 4bf92f\x1b[0m"),
            std::string::npos);
  EXPECT_NE(Render(log).find("message order 17\n"), std::string::npos) << Render(log);
  log["message"] = "a\nb\x1b[2J\xc2\x9b";
  const std::string line = RenderLogLine(log, Style{});
  for (const char c : line) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << line;
  EXPECT_FALSE(IsLine(Snapshot(Json::array())));
  for (const char* text : {R"({"kind":"LOG"})", R"({"kind":"LOG","frames":[3],"thread":[]})",
                           R"({"kind":"LOG","frames":{},"trace":7,"message":{}})"}) {
    EXPECT_NO_THROW(RenderLogLine(Json::parse(text), Style{})) << text;
  }
}

TEST(SnapshotView, HostileTextCannotDriveTheTerminal) {
  Json snapshot = Snapshot(Json::array({Value("a\x1b[2J", "T\r\n",
                                              "\xc2\x9b"
                                              "31m\xff\xe2\x80\xae")}));
  snapshot["service"] = "\x1b]0;owned\x07";
  const std::string text = Render(snapshot);
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
  EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
  EXPECT_EQ(text.find("\xe2\x80\xae"), std::string::npos);
}

TEST(SnapshotView, AnythingButASnapshotIsSurvived) {
  const char* cases[] = {"null",
                         "[]",
                         "3",
                         "{}",
                         R"({"frames":3,"thread":[],"trace":{}})",
                         R"({"frames":[3,null,{"variables":{"a":1}}],"expressions":[[],"x",null]})",
                         R"({"frames":[{"line":-1,"file":7,"variables":[{"children":[null]}]}]})",
                         R"({"thread":7,"trace":"x","captureNanos":"a","truncated":"b"})"};
  for (const char* text : cases) {
    EXPECT_NO_THROW(Render(Json::parse(text))) << text;
  }
}

}  // namespace
}  // namespace stillframe::cli
