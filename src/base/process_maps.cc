#include "base/process_maps.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>

#include "base/unique_fd.h"

namespace stillframe {
namespace {

// Consumes a hexadecimal or decimal number and the separator after it.
bool TakeNumber(std::string_view& text, int base, char separator, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error != std::errc()) return false;
  const size_t used = end - text.data();
  if (used >= text.size() || text[used] != separator) return false;
  text.remove_prefix(used + 1);
  return true;
}

// "55d0-55e0 r-xp 00001000 fe:00 1234      /bin/x"
bool ParseLine(std::string_view line, Mapping& mapping) {
  uint64_t start = 0, end = 0, offset = 0, major = 0, minor = 0;
  if (!TakeNumber(line, 16, '-', start) || !TakeNumber(line, 16, ' ', end)) return false;
  if (line.size() < 5 || line[4] != ' ' || end <= start) return false;
  mapping.readable = line[0] == 'r';
  mapping.writable = line[1] == 'w';
  mapping.executable = line[2] == 'x';
  mapping.is_private = line[3] == 'p';
  line.remove_prefix(5);
  if (!TakeNumber(line, 16, ' ', offset) || !TakeNumber(line, 16, ':', major) ||
      !TakeNumber(line, 16, ' ', minor)) {
    return false;
  }
  const auto [inode_end, error] =
      std::from_chars(line.data(), line.data() + line.size(), mapping.inode, 10);
  if (error != std::errc()) return false;
  line.remove_prefix(inode_end - line.data());
  const size_t path_start = line.find_first_not_of(' ');
  mapping.path = path_start == std::string_view::npos ? "" : std::string(line.substr(path_start));
  mapping.start = RuntimeAddress(start);
  mapping.end = RuntimeAddress(end);
  mapping.file_offset = offset;
  return true;
}

}  // namespace

std::string_view WithoutDeletedMark(std::string_view path) {
  constexpr std::string_view kMark = " (deleted)";
  if (path.ends_with(kMark)) path.remove_suffix(kMark.size());
  return path;
}

Result<std::vector<Mapping>> ParseProcessMaps(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    Mapping mapping;
    if (!ParseLine(line, mapping)) {
      return Status(Code::kCorrupt, "maps line '" + std::string(line.substr(0, 100)) + "'");
    }
    mappings.push_back(std::move(mapping));
  }
  return mappings;
}

Result<std::vector<Mapping>> ReadProcessMaps() {
  SF_ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/self/maps", 64u << 20));
  return ParseProcessMaps(text);
}

Result<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus("open " + path, errno);
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t count = read(fd.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus("read " + path, errno);
    if (count == 0) return text;
    if (text.size() + count > max_bytes) {
      return Status(Code::kOverLimit, path + " is larger than " + std::to_string(max_bytes));
    }
    text.append(buffer, count);
  }
}

}  // namespace stillframe
