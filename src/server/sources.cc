#include "server/sources.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "model/json_reader.h"

namespace stillframe::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint32_t kContext = 3;  // lines before and after
constexpr size_t kMaxFileBytes = 8u << 20;
constexpr size_t kMaxLineBytes = 500;
constexpr size_t kMaxComponents = 64;

// Empty when any component is one that must not be followed.
std::vector<std::string> Components(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part.empty()) continue;
    // "..", ".", and hidden files, which hold settings rather than code.
    const bool bad = part.front() == '.' || part.find('\0') != std::string_view::npos;
    if (bad || parts.size() == kMaxComponents) return {};
    parts.emplace_back(part);
  }
  return parts;
}

// One component at a time and no symbolic link, so that nothing outside can be reached, whatever
// changes meanwhile. O_NONBLOCK: a named pipe must not hold us.
UniqueFd OpenBelow(int folder, const std::vector<std::string>& parts, size_t first) {
  UniqueFd at;
  for (size_t i = first; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (last ? O_NONBLOCK : O_DIRECTORY);
    UniqueFd next(openat(at.valid() ? at.get() : folder, parts[i].c_str(), flags));
    if (!next.valid()) return {};
    at = std::move(next);
  }
  struct stat info {};
  if (!at.valid() || fstat(at.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return at;
}

std::string ReadSome(int fd) {
  std::string text;
  char buffer[65536];
  while (text.size() < kMaxFileBytes) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

SourceLines LinesAround(std::string_view text, uint32_t line) {
  SourceLines lines;
  for (uint32_t number = 1; !text.empty() && number <= uint64_t{line} + kContext; ++number) {
    const size_t end = text.find('\n');
    std::string_view content = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (uint64_t{number} + kContext < line) continue;
    if (content.ends_with('\r')) content.remove_suffix(1);
    lines.emplace_back(number, content.substr(0, kMaxLineBytes));
  }
  if (lines.empty() || lines.back().first < line) return {};
  return lines;
}

}  // namespace

Result<Sources> Sources::Open(const std::vector<std::string>& specs) {
  Sources sources;
  for (const std::string& spec : specs) {
    const size_t equals = spec.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == spec.size()) {
      return Status(Code::kInvalidArgument,
                    "--source must be SERVICE=FOLDER, not \"" + spec + "\"");
    }
    const std::string folder = spec.substr(equals + 1);
    auto fd = std::make_shared<UniqueFd>(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd->valid()) {
      return Status(Code::kInvalidArgument, ErrnoStatus("--source " + folder, errno).message());
    }
    sources.folders_[spec.substr(0, equals)].push_back(std::move(fd));
  }
  return sources;
}

SourceLines Sources::Around(const std::string& service, std::string_view path,
                            uint32_t line) const {
  const auto found = folders_.find(service);
  const std::vector<std::string> parts = Components(path);
  if (found == folders_.end() || line == 0) return {};
  // The machine that built it had other folders above: any suffix may be the one that is here.
  for (size_t first = 0; first < parts.size(); ++first) {
    for (const auto& folder : found->second) {
      const UniqueFd file = OpenBelow(folder->get(), parts, first);
      if (file.valid()) return LinesAround(ReadSome(file.get()), line);
    }
  }
  return {};
}

std::string Sources::Annotate(const std::string& snapshot_json) const {
  Json snapshot;
  if (model::ParseJson(snapshot_json, snapshot) || !snapshot.is_object()) return snapshot_json;
  const std::string service = snapshot.value("service", "");
  if (!folders_.contains(service) || !snapshot["frames"].is_array()) return snapshot_json;
  for (Json& frame : snapshot["frames"]) {
    const SourceLines lines =
        Around(service, frame.value("file", ""), frame.value("line", uint32_t{0}));
    for (const auto& [number, text] : lines) {
      frame["source"].push_back({{"line", number}, {"text", text}});
    }
  }
  return snapshot.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace stillframe::server
