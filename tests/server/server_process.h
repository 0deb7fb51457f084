// A real stillframe-server in a folder of its own, and HTTP to it.
#ifndef STILLFRAME_TESTS_SERVER_SERVER_PROCESS_H_
#define STILLFRAME_TESTS_SERVER_SERVER_PROCESS_H_

#include <curl/curl.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace stillframe::server::testing {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

// Polls for something another process does; false once the deadline has passed.
inline bool WaitFor(const std::function<bool()>& condition, int seconds = 20) {
  const auto deadline = Clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::yield();
    usleep(2'000);
  }
  return true;
}

inline std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// Runs a program to its end.
struct Ended {
  int code = -1;
  std::string out, err;
};
inline pid_t Spawn(const std::vector<std::string>& args, const std::filesystem::path& out,
                   const std::filesystem::path& err) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
  dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sf-server-XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

inline Ended RunToEnd(const std::vector<std::string>& args) {
  const Folder folder;
  const pid_t pid = Spawn(args, folder.path / "out", folder.path / "err");
  int status = 0;
  waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadAll(folder.path / "out"),
          ReadAll(folder.path / "err")};
}

// For 127.0.0.1, signed by itself.
inline bool MakeCertificate(const std::string& cert, const std::string& key) {
  return RunToEnd({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days",
                   "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"})
             .code == 0;
}

struct Answer {
  long status = 0;
  std::string body, headers;
  CURLcode result = CURLE_OK;
  Json json() const { return Json::parse(body, nullptr, false); }
  std::string ErrorCode() const { return json()["error"].value("code", ""); }
  std::string ErrorField() const { return json()["error"].value("field", ""); }
};

struct Call {
  std::string method = "GET";
  std::string path{}, key{}, body{}, content_type{};
  std::vector<std::string> headers{};
  long timeout_ms = 20'000;
  // Called with all of the body so far; false ends the call.
  std::function<bool(const std::string&)> on_data{};
};

class ServerProcess {
 public:
  explicit ServerProcess(std::vector<std::string> args = {}) : args_(std::move(args)) {
    Start();
    std::smatch match;
    const std::string out = ReadAll(folder_.path / "out");
    if (std::regex_search(out, match, std::regex("admin key: (sfk_\\S+)"))) admin_key = match[1];
  }
  ~ServerProcess() {
    if (pid_ > 0) Kill();
  }

  void Start() {
    std::vector<std::string> args = {STILLFRAME_SERVER_BINARY, "--listen",
                                     "127.0.0.1:" + std::to_string(port_), "--store", store()};
    args.insert(args.end(), args_.begin(), args_.end());
    std::filesystem::remove(folder_.path / "out");  // of an earlier run
    pid_ = Spawn(args, folder_.path / "out", folder_.path / "err");
    std::smatch match;
    const bool up = WaitFor([&] {
      const std::string out = ReadAll(folder_.path / "out");
      return std::regex_search(out, std::regex("127\\.0\\.0\\.1:(\\d+)\n")) ||
             waitpid(pid_, nullptr, WNOHANG) == pid_;
    });
    const std::string out = ReadAll(folder_.path / "out");
    if (!up || !std::regex_search(out, match, std::regex("(https?)://127\\.0\\.0\\.1:(\\d+)\n"))) {
      ADD_FAILURE() << "the server did not start: " << Log();
      return;
    }
    scheme_ = match[1];
    port_ = std::stoi(match[2]);
  }
  void Kill() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  // The exit code after SIGTERM.
  int Terminate() {
    kill(pid_, SIGTERM);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string Key(const std::string& role, std::vector<std::string> scope = {}) const {
    std::vector<std::string> args = {
        STILLFRAME_SERVER_BINARY, "keys", "create", "--store", store(), "--role", role};
    args.insert(args.end(), scope.begin(), scope.end());
    const Ended ended = RunToEnd(args);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out.substr(0, ended.out.find('\n'));
  }

  Answer Do(const Call& call) const {
    Answer answer;
    CURL* curl = curl_easy_init();
    curl_slist* headers = nullptr;
    const auto add = [&headers](const std::string& text) {
      headers = curl_slist_append(headers, text.c_str());
    };
    if (!call.key.empty()) add("Authorization: Bearer " + call.key);
    add(call.content_type.empty() ? "Content-Type:" : "Content-Type: " + call.content_type);
    add("Expect:");
    for (const std::string& header : call.headers) add(header);
    const std::string url = scheme_ + "://127.0.0.1:" + std::to_string(port_) + call.path;
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, call.timeout_ms);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    if (!ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file.c_str());
    if (call.method != "GET" || !call.body.empty()) {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(call.body.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call.body.data());
    }
    struct Sink {
      Answer& answer;
      const Call& call;
    } sink{answer, call};
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
    curl_easy_setopt(
        curl, CURLOPT_WRITEFUNCTION,
        +[](char* data, size_t size, size_t count, void* user) -> size_t {
          auto& to = *static_cast<Sink*>(user);
          to.answer.body.append(data, size * count);
          const bool more = !to.call.on_data || to.call.on_data(to.answer.body);
          return more ? size * count : 0;
        });
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer.headers);
    curl_easy_setopt(
        curl, CURLOPT_HEADERFUNCTION,
        +[](char* data, size_t size, size_t count, void* user) -> size_t {
          static_cast<std::string*>(user)->append(data, size * count);
          return size * count;
        });
    answer.result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return answer;
  }
  Answer Get(const std::string& path, const std::string& key) const {
    return Do({.path = path, .key = key});
  }
  Answer Send(const std::string& method, const std::string& path, const std::string& key,
              const std::string& body) const {
    return Do({.method = method,
               .path = path,
               .key = key,
               .body = body,
               .content_type = "application/json"});
  }
  Answer SendProtobuf(const std::string& path, const std::string& key, const std::string& body,
                      std::vector<std::string> headers = {}) const {
    return Do({.method = "POST",
               .path = path,
               .key = key,
               .body = body,
               .content_type = "application/x-protobuf",
               .headers = std::move(headers),
               .timeout_ms = 60'000});
  }

  std::string store() const { return "sqlite:" + (folder_.path / "store.db").string(); }
  std::string Log() const { return ReadAll(folder_.path / "err"); }
  const std::filesystem::path& folder() const { return folder_.path; }
  int port() const { return port_; }

  std::string admin_key;
  std::string ca_file;

 private:
  Folder folder_;
  std::vector<std::string> args_;
  std::string scheme_ = "http";
  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace stillframe::server::testing

#endif  // STILLFRAME_TESTS_SERVER_SERVER_PROCESS_H_
