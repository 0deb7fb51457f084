// Request targets: path segments and query parameters, percent-decoded and checked.
#ifndef STILLFRAME_SERVER_URL_H_
#define STILLFRAME_SERVER_URL_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stillframe::server {

struct Target {
  std::vector<std::string> segments;  // "/v1/a%2Fb" -> {"v1", "a/b"}
  std::vector<std::pair<std::string, std::string>> query;

  // nullptr when absent.
  const std::string* Find(std::string_view name) const;
};

// nullopt: not an absolute path, a broken escape, not UTF-8, a control character, or a parameter
// given twice.
std::optional<Target> ParseTarget(std::string_view target);

bool IsUtf8(std::string_view text);
// Valid UTF-8 of 1 to max_bytes bytes without control characters.
bool IsName(std::string_view text, size_t max_bytes);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_URL_H_
