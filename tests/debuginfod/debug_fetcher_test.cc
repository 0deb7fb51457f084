// The cache of debug files, and the fetcher over real sockets with a clock of its own.
#include "debuginfod/debug_fetcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/symbolizer/symbols_support.h"

namespace stillframe::debuginfod {
namespace {

using State = DebugFetcher::State;
using symbols_test::ReadAll;
using symbols_test::RunTool;
using symbols_test::ScratchFolder;
using symbols_test::TargetPath;
using symbols_test::WriteAll;

constexpr int64_t kMs = 1'000'000;

std::string BuildIdOf(const std::string& path) { return (*ElfFile::Open(path))->build_id(); }

// Sends the same bytes to everybody who connects, and closes.
class Server {
 public:
  explicit Server(std::string answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { Serve(); });
  }
  ~Server() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  const std::string& url() const { return url_; }
  int requests() const { return requests_; }

 private:
  void Serve() {
    for (int peer; (peer = accept(listener_, nullptr, nullptr)) >= 0; close(peer)) {
      char request[4096];
      if (recv(peer, request, sizeof request, 0) <= 0) continue;
      ++requests_;
      for (size_t done = 0; done < answer_.size();) {
        const ssize_t sent = send(peer, answer_.data() + done, answer_.size() - done, MSG_NOSIGNAL);
        if (sent <= 0) break;
        done += static_cast<size_t>(sent);
      }
    }
  }

  std::string answer_, url_;
  int listener_ = -1;
  std::atomic<int> requests_{0};
  std::thread thread_;
};

constexpr char kOk[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

class DebugFetcherTest : public testing::Test {
 protected:
  FetchOptions Options(std::vector<std::string> urls) const {
    FetchOptions options;
    options.urls = std::move(urls);
    options.cache_folder = folder_.path() + "/cache";
    options.max_file_bytes = 4 << 20;
    options.timeout_ms = 10'000;
    options.retry_ms = 1'000;
    return options;
  }
  // The answer when it is there.
  static DebugFetcher::Answer Finish(DebugFetcher& fetcher, const std::string& build_id,
                                     int64_t now_ns) {
    auto answer = fetcher.Want(build_id, now_ns);
    while (answer.state == State::kFetching) {
      (void)fetcher.Step(20, now_ns);
      answer = fetcher.Want(build_id, now_ns);
    }
    EXPECT_FALSE(fetcher.busy());
    return answer;
  }
  size_t Files() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  ScratchFolder folder_;
  const std::string debug_ = TargetPath("gcc_O2_dwarf5");
  const std::string id_ = BuildIdOf(debug_);
};

TEST_F(DebugFetcherTest, WhatIsFetchedIsWhereTheSymbolizerLooks) {
  const Server server(kOk + ReadAll(debug_));
  DebugFetcher fetcher(Options({server.url()}));
  const auto answer = Finish(fetcher, id_, 0);
  EXPECT_EQ(answer.state, State::kFetched) << answer.status.ToString();
  const std::string path =
      fetcher.folder() + "/.build-id/" + id_.substr(0, 2) + "/" + id_.substr(2) + ".debug";
  EXPECT_EQ(ReadAll(path), ReadAll(debug_));
  EXPECT_EQ(Finish(fetcher, id_, 0).state, State::kFetched);
  EXPECT_EQ(server.requests(), 1);
  // It was taken away.
  unlink(path.c_str());
  EXPECT_EQ(Finish(fetcher, id_, 0).state, State::kFetched);
  EXPECT_EQ(server.requests(), 2);
}

TEST_F(DebugFetcherTest, FailuresNameTheirUrlsAndAreNotRepeatedForAWhile) {
  const Server first("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  const Server second("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
  DebugFetcher fetcher(Options({first.url(), second.url()}));
  const auto answer = Finish(fetcher, id_, 0);
  EXPECT_EQ(answer.state, State::kFailed);
  EXPECT_EQ(answer.status.code(), Code::kNoDebugInfo);
  for (const std::string& text : {first.url() + "/buildid/" + id_ + "/debuginfo answers 404",
                                  second.url() + "/buildid/" + id_ + "/debuginfo answers 503"}) {
    EXPECT_NE(answer.status.message().find(text), std::string::npos) << answer.status.ToString();
  }
  EXPECT_FALSE(fetcher.Step(0, 999 * kMs));
  EXPECT_EQ(fetcher.Want(id_, 999 * kMs).state, State::kFailed);
  EXPECT_EQ(first.requests(), 1);
  EXPECT_TRUE(fetcher.Step(0, 1000 * kMs));  // told once
  EXPECT_FALSE(fetcher.Step(0, 1001 * kMs));
  EXPECT_EQ(Finish(fetcher, id_, 1001 * kMs).state, State::kFailed);
  EXPECT_EQ(first.requests(), 2);
  EXPECT_EQ(Files(), 0u);
}

TEST_F(DebugFetcherTest, AnEndlessBodyEndsAtTheLimit) {
  const Server server(kOk + std::string(16 << 20, 'x'));
  DebugFetcher fetcher(Options({server.url()}));
  const auto answer = Finish(fetcher, id_, 0);
  EXPECT_EQ(answer.state, State::kFailed);
  EXPECT_NE(answer.status.message().find("more than 4 MiB"), std::string::npos)
      << answer.status.ToString();
  EXPECT_EQ(Files(), 0u);
}

TEST_F(DebugFetcherTest, ASilentServerIsGivenUp) {
  const Server server("");  // closes without a word
  DebugFetcher fetcher(Options({server.url()}));
  EXPECT_EQ(Finish(fetcher, id_, 0).state, State::kFailed);
  EXPECT_EQ(Files(), 0u);
}

TEST_F(DebugFetcherTest, NamesThatAreNoBuildIdAreNotAskedFor) {
  const Server server(kOk);
  DebugFetcher fetcher(Options({server.url()}));
  for (const char* id : {"", "12", "../../etc/passwd", "ABCDEF", "00 11"}) {
    EXPECT_EQ(fetcher.Want(id, 0).state, State::kFailed);
  }
  EXPECT_FALSE(fetcher.busy());
}

TEST_F(DebugFetcherTest, WhatIsGivenUpLeavesNothing) {
  const Server server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  DebugFetcher fetcher(Options({server.url()}));
  EXPECT_EQ(fetcher.Want(id_, 0).state, State::kFetching);
  EXPECT_TRUE(fetcher.busy());
  EXPECT_EQ(Files(), 1u);
  fetcher.Stop();
  EXPECT_FALSE(fetcher.busy());
  EXPECT_EQ(Files(), 0u);
  EXPECT_EQ(fetcher.Want(id_, 0).state, State::kFetching);  // from the beginning
  EXPECT_TRUE(fetcher.busy());
}

TEST(DebugCache, TheOldestFilesGo) {
  const ScratchFolder folder;
  const std::string first = TargetPath("gcc_O0_dwarf5"), second = TargetPath("gcc_O2_dwarf5");
  const uint64_t both = ReadAll(first).size() + ReadAll(second).size();
  for (const uint64_t limit : {both, both - 1}) {
    const DebugCache cache(folder.path() + "/cache" + std::to_string(limit), limit);
    for (const std::string& path : {first, second}) {
      const auto draft = cache.Begin();
      ASSERT_TRUE(draft.ok()) << draft.status().ToString();
      WriteAll(draft->path, ReadAll(path));
      const auto kept = cache.Keep(*draft, BuildIdOf(path));
      ASSERT_TRUE(kept.ok()) << kept.status().ToString();
      EXPECT_EQ(*kept, "");
      timespec old[2] = {{1, 0}, {1, 0}};
      const std::string id = BuildIdOf(first);
      utimensat(AT_FDCWD,
                (cache.folder() + "/.build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug")
                    .c_str(),
                old, 0);
    }
    EXPECT_EQ(cache.Has(BuildIdOf(first)), limit == both);
    EXPECT_TRUE(cache.Has(BuildIdOf(second)));
  }
}

TEST(DebugCache, FoldersOfOthersAreRefused) {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/cache";
  RunTool("mkdir " + path + " && chmod 0777 " + path);
  EXPECT_EQ(DebugCache(path, 1).Begin().status().code(), Code::kNotPermitted);
  RunTool("rmdir " + path + " && ln -s /tmp " + path);
  EXPECT_EQ(DebugCache(path, 1).Begin().status().code(), Code::kNotPermitted);
  RunTool("rm " + path + " && touch " + path);
  EXPECT_FALSE(DebugCache(path, 1).Begin().ok());
  EXPECT_FALSE(DebugCache("/proc/none/cache", 1).Begin().ok());
}

TEST(DebugCache, AbandonedDraftsGo) {
  const ScratchFolder folder;
  const DebugCache cache(folder.path(), 1);
  RunTool("touch -d '2 hours ago' " + folder.path() + "/draft-abcdef " + folder.path() + "/other");
  RunTool("touch " + folder.path() + "/draft-ghijkl");
  const auto draft = cache.Begin();
  ASSERT_TRUE(draft.ok()) << draft.status().ToString();
  EXPECT_NE(access((folder.path() + "/draft-abcdef").c_str(), F_OK), 0);
  EXPECT_EQ(access((folder.path() + "/draft-ghijkl").c_str(), F_OK), 0);
  EXPECT_EQ(access((folder.path() + "/other").c_str(), F_OK), 0);
}

TEST(DebugCache, TheFolderIsTheFirstThatIsNamed) {
  const auto folder = [](std::vector<std::pair<std::string, std::string>> variables) {
    return DefaultCacheFolder([variables](const char* name) -> const char* {
      for (const auto& [key, value] : variables) {
        if (key == name) return value.c_str();
      }
      return nullptr;
    });
  };
  EXPECT_EQ(folder({{"STILLFRAME_DEBUGINFOD_CACHE", "/a"}, {"XDG_CACHE_HOME", "/b"}}), "/a");
  EXPECT_EQ(folder({{"XDG_CACHE_HOME", "/b"}, {"HOME", "/tmp"}}), "/b/stillframe");
  EXPECT_EQ(folder({{"HOME", "/tmp"}}), "/tmp/.cache/stillframe");
  const std::string last = "/tmp/stillframe-debug-" + std::to_string(geteuid());
  EXPECT_EQ(folder({{"HOME", "/nonexistent"}}), last);
  EXPECT_EQ(folder({{"HOME", "relative"}}), last);
}

TEST(Servers, AreReadAsDebuginfodsVariableIs) {
  const auto read = ReadServers("  https://a.example/  http://b:8002/path\t");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, (std::vector<std::string>{"https://a.example", "http://b:8002/path"}));
  EXPECT_TRUE(ReadServers("")->empty());
  for (const char* bad : {"a.example", "file:///srv", "http://", "http://u:p@h", "http://h/?q",
                          "http://h/#f", "https://a ftp://b"}) {
    EXPECT_EQ(ReadServers(bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace stillframe::debuginfod
