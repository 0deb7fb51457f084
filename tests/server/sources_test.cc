// Code beside snapshots, and nothing else of the disk.
#include "server/sources.h"

#include <sys/stat.h>

#include "tests/server/fake_agent.h"

namespace stillframe::server::testing {
namespace {

class SourcesTest : public ::testing::Test {
 protected:
  SourcesTest() {
    std::filesystem::create_directories(root() / "src" / "web");
    std::filesystem::create_directories(root() / ".git");
    Write(root() / "src" / "web" / "a.cc", 20);
    Write(root() / "b.cc", 3);
    Write(root() / ".git" / "config", 20);
    Write(root() / ".env", 20);
    Write(folder_.path / "outside.cc", 20);
    std::filesystem::create_symlink(folder_.path / "outside.cc", root() / "link.cc");
    std::filesystem::create_symlink(folder_.path, root() / "up");
    EXPECT_EQ(mkfifo((root() / "pipe.cc").c_str(), 0600), 0);
  }
  std::filesystem::path root() const { return folder_.path / "root"; }
  std::string spec() const { return "web=" + root().string(); }

  static void Write(const std::filesystem::path& path, int lines) {
    std::ofstream out(path);
    for (int i = 1; i <= lines; ++i) out << "line " << i << "\r\n";
  }

  const Folder folder_;
};

TEST_F(SourcesTest, ShowsTheLinesAroundOfTheLongestSuffixThatIsThere) {
  auto sources = Sources::Open({spec()});
  ASSERT_TRUE(sources.ok());
  for (const char* path : {"/build/x/src/web/a.cc", "src/web/a.cc", "//src///web/a.cc"}) {
    const SourceLines lines = sources->Around("web", path, 5);
    ASSERT_EQ(lines.size(), 7u) << path;
    EXPECT_EQ(lines[0], (std::pair<uint32_t, std::string>(2, "line 2")));
    EXPECT_EQ(lines[6], (std::pair<uint32_t, std::string>(8, "line 8")));
  }
  EXPECT_EQ(sources->Around("web", "/x/b.cc", 3).size(), 3u);  // the last line
  EXPECT_EQ(sources->Around("web", "/x/b.cc", 1).size(), 3u);  // a short file
}

TEST_F(SourcesTest, NothingElseCanBeReached) {
  auto sources = Sources::Open({spec()});
  ASSERT_TRUE(sources.ok());
  for (const char* path : {"", "/", "..", "../outside.cc", "src/../../outside.cc",
                           "src/web/../web/a.cc", "link.cc", "up/outside.cc", ".git/config", ".env",
                           "./b.cc", "src", "src/web", "pipe.cc", "/etc/passwd", "no.cc"}) {
    EXPECT_TRUE(sources->Around("web", path, 2).empty()) << path;
  }
  EXPECT_TRUE(sources->Around("web", std::string_view("b.cc\0x", 6), 2).empty());
  EXPECT_TRUE(sources->Around("other", "b.cc", 2).empty());
  EXPECT_TRUE(sources->Around("web", "b.cc", 0).empty());
  EXPECT_TRUE(sources->Around("web", "b.cc", 4).empty());
  EXPECT_TRUE(sources->Around("web", "b.cc", UINT32_MAX).empty());
  EXPECT_FALSE(Sources::Open({"web=" + (folder_.path / "nowhere").string()}).ok());
  EXPECT_FALSE(Sources::Open({"web=" + (root() / "b.cc").string()}).ok());
  EXPECT_FALSE(Sources::Open({"web"}).ok());
}

TEST_F(SourcesTest, StandInTheSnapshotThatIsRead) {
  const ServerProcess server({"--source", spec()});
  FakeAgent agent(server, server.Key("agent"));
  for (const auto& [sequence, path] :
       {std::pair{1, "/build/src/web/a.cc"}, {2, "/build/../../outside.cc"}}) {
    v1::Frame& frame = *agent.AddSnapshot(static_cast<uint64_t>(sequence)).mutable_frames(0);
    frame.set_file(path);
    frame.set_line(5);
  }
  agent.Publish();
  const Json list = server.Get("/v1/snapshots", server.admin_key).json();
  ASSERT_EQ(list["snapshots"].size(), 2u);
  int with = 0;
  for (const Json& entry : list["snapshots"]) {
    const std::string path = "/v1/snapshots/" + entry["id"].get<std::string>();
    const Json frame = server.Get(path, server.admin_key).json()["frames"][0];
    if (frame["file"] == "/build/src/web/a.cc") {
      EXPECT_EQ(frame["source"][3], (Json{{"line", 5}, {"text", "line 5"}}));
      ++with;
    } else {
      EXPECT_FALSE(frame.contains("source")) << frame;
    }
  }
  EXPECT_EQ(with, 1);
}

}  // namespace
}  // namespace stillframe::server::testing
