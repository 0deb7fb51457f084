// REST over libcurl for the command line.
#ifndef STILLFRAME_CLI_API_CLIENT_H_
#define STILLFRAME_CLI_API_CLIENT_H_

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace stillframe::cli {

// Exit codes of the command (CONTRACT).
enum ExitCode { kDone = 0, kRefused = 1, kUsage = 2, kCannotConnect = 3, kTimedOut = 4 };

struct ApiError {
  ExitCode exit_code = kDone;
  std::string code, message, field;  // from the error body, or libcurl's words
  std::string ToString() const;
};

struct ApiResult {
  ApiError error;  // exit_code == kDone: success
  nlohmann::ordered_json body;
  bool ok() const { return error.exit_code == kDone; }
};

class ApiClient {
 public:
  // `server` is http(s)://host:port; `key` may be empty.
  ApiClient(std::string server, std::string key);

  ApiResult Get(const std::string& path) { return Call("GET", path, nullptr); }
  // All pages of a list: {"<list>": […]} with every item.
  ApiResult GetAll(const std::string& path, const char* list);
  ApiResult Call(const char* method, const std::string& path, const nlohmann::ordered_json* body);

  // One server-sent event: its name and data. Return false to end the stream.
  using OnEvent = std::function<bool(const std::string& name, const std::string& data)>;
  // Reads the stream until the callback ends it (kDone) or the connection does. `last_event_id` is
  // where it resumes ("" = from now), and afterwards where the next call should. `connected`: the
  // server has begun to answer.
  ApiError Stream(const std::string& path, std::string& last_event_id, bool& connected,
                  const OnEvent& on_event);

 private:
  std::string server_, key_;
};

// For a path or query component.
std::string UrlEncode(std::string_view text);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_API_CLIENT_H_
