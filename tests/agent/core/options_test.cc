#include "agent/options.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>

namespace stillframe::agent {
namespace {

Result<Options> Read(const std::map<std::string, std::string>& values) {
  return ReadOptions(
      [&values](const char* name) -> const char* {
        const auto found = values.find(name);
        return found == values.end() ? nullptr : found->second.c_str();
      },
      "program");
}

TEST(Options, OffWithoutAServer) {
  const auto options = Read({{"STILLFRAME_SERVICE", "shop"}});
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->enabled);
}

TEST(Options, ReadsEverything) {
  const auto options =
      Read({{"STILLFRAME_SERVER", "https://collector.example:7070"},
            {"STILLFRAME_API_KEY", "k"},
            {"STILLFRAME_SERVICE", "shop"},
            {"STILLFRAME_VERSION", "1.4.2"},
            {"STILLFRAME_ENVIRONMENT", "prod"},
            {"STILLFRAME_LABELS", "zone=a,rack=7"},
            {"STILLFRAME_DEBUG_PATH", "/a::/b"},
            {"STILLFRAME_START_WAIT", "2.5s"},
            {"STILLFRAME_LIMITS", "snapshotsPerSecond=5,cpuPercent=0.5,logsPerSecond=70"},
            {"STILLFRAME_LOG", "debug"}});
  ASSERT_TRUE(options.ok()) << options.status().ToString();
  EXPECT_TRUE(options->enabled);
  EXPECT_EQ(options->labels[1].second, "7");
  EXPECT_EQ(options->debug_path, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(options->start_wait_ms, 2500u);
  EXPECT_EQ(options->limits.snapshots_per_second, 5u);
  EXPECT_EQ(options->limits.cpu_percent, 0.5);
  EXPECT_EQ(options->limits.logs_per_second, 70u);
  EXPECT_EQ(options->log_level, LogLevel::kDebug);
}

TEST(Options, DebuginfodIsAskedWhenItIsConfiguredForUs) {
  const auto off = Read({{"STILLFRAME_SERVER", "http://h:1"}, {"DEBUGINFOD_URLS", "http://h"}});
  ASSERT_TRUE(off.ok());
  EXPECT_TRUE(off->debuginfod_urls.empty());
  const auto on = Read({{"STILLFRAME_SERVER", "http://h:1"},
                        {"STILLFRAME_DEBUGINFOD_URLS", "http://a https://b/c/"},
                        {"STILLFRAME_DEBUGINFOD_CACHE", "/cache"}});
  ASSERT_TRUE(on.ok());
  EXPECT_EQ(on->debuginfod_urls, (std::vector<std::string>{"http://a", "https://b/c"}));
  EXPECT_EQ(on->debuginfod_cache, "/cache");
  for (const char* name : {"STILLFRAME_DEBUGINFOD_URLS", "STILLFRAME_DEBUGINFOD_CACHE"}) {
    const auto bad = Read({{"STILLFRAME_SERVER", "http://h:1"}, {name, "somewhere"}});
    EXPECT_EQ(bad.status().code(), Code::kInvalidArgument);
    EXPECT_NE(bad.status().ToString().find(name), std::string::npos) << bad.status().ToString();
  }
}

TEST(Options, ServiceNameHasFallbacks) {
  EXPECT_EQ(Read({{"STILLFRAME_SERVER", "http://h:1"}})->service, "program");
  EXPECT_EQ(Read({{"AWS_LAMBDA_FUNCTION_NAME", "f"}})->service, "f");
  EXPECT_EQ(Read({{"AWS_LAMBDA_FUNCTION_NAME", "f"}, {"OTEL_SERVICE_NAME", "o"}})->service, "o");
  EXPECT_EQ(Read({{"OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=r,service.version=3"}})->service,
            "r");
  EXPECT_EQ(Read({{"OTEL_RESOURCE_ATTRIBUTES", "garbage"}})->service, "program");
}

TEST(Options, BadValuesAreNamed) {
  const std::pair<const char*, const char*> bad[] = {
      {"STILLFRAME_SERVER", "localhost:7070"},
      {"STILLFRAME_SERVER", "http://"},
      {"STILLFRAME_SERVER", "ftp://h:1"},
      {"STILLFRAME_SERVER", "http://h:99999"},
      {"STILLFRAME_SERVER", "http://h:1/path"},
      {"STILLFRAME_SERVER", "http://h:x"},
      {"STILLFRAME_LABELS", "novalue"},
      {"STILLFRAME_START_WAIT", "5"},
      {"STILLFRAME_START_WAIT", "9999999s"},
      {"STILLFRAME_LIMITS", "cpuPercent=-1"},
      {"STILLFRAME_LIMITS", "unknown=1"},
      {"STILLFRAME_LIMITS", "bytesPerSnapshot=5"},
      {"STILLFRAME_LIMITS", "snapshotsPerSecond=0.5"},
      {"STILLFRAME_LOG", "loud"},
      {"STILLFRAME_API_KEY_FILE", "/nonexistent/key"},
      {"STILLFRAME_TRACEPOINTS", "/tmp/t.json"},
      {"STILLFRAME_OUTPUT", "-"},
  };
  for (const auto& [name, value] : bad) {
    const auto options = Read({{name, value}});
    ASSERT_FALSE(options.ok()) << name << "=" << value;
    EXPECT_NE(options.status().message().find(name), std::string::npos)
        << options.status().message();
  }
  EXPECT_FALSE(Read({{"STILLFRAME_SERVER", "http://h:1"}, {"STILLFRAME_API_KEY", "a\r\nb"}}).ok());
}

}  // namespace
}  // namespace stillframe::agent
