#include "symbolizer/path_match.h"

#include <algorithm>
#include <numeric>

namespace stillframe {

std::string NormalizePath(std::string_view path) {
  const bool absolute = !path.empty() && path[0] == '/';
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!absolute) {
      parts.push_back(part);
    }
  }
  std::string normal;
  for (const std::string_view part : parts) {
    if (absolute || !normal.empty()) normal += '/';
    normal += part;
  }
  return normal.empty() && absolute ? "/" : normal;
}

std::string JoinPath(std::string_view folder, std::string_view path) {
  if (folder.empty() || (!path.empty() && path[0] == '/')) return NormalizePath(path);
  std::string joined(folder);
  joined += '/';
  joined += path;
  return NormalizePath(joined);
}

std::string_view Basename(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool HasPathSuffix(std::string_view path, std::string_view suffix) {
  while (suffix.substr(0, 3) == "../") suffix.remove_prefix(3);
  if (suffix.empty() || path.size() < suffix.size()) return false;
  if (path.size() == suffix.size()) return path == suffix;
  if (suffix[0] == '/') return false;
  return path.substr(path.size() - suffix.size()) == suffix &&
         path[path.size() - suffix.size() - 1] == '/';
}

size_t EditDistance(std::string_view a, std::string_view b, size_t limit) {
  constexpr size_t kMaxLength = 256;
  const size_t gap = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (a.size() > kMaxLength || b.size() > kMaxLength || gap > limit) return limit + 1;
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return std::min(row[b.size()], limit + 1);
}

std::vector<std::string> NearestPaths(std::string_view wanted,
                                      const std::vector<std::string>& candidates, size_t max) {
  const std::string_view base = Basename(wanted);
  const size_t limit = std::max<size_t>(2, base.size() / 3);
  struct Near {
    size_t distance;
    const std::string* path;
  };
  std::vector<Near> near;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(base, Basename(candidate), limit);
    if (distance <= limit) near.push_back({distance, &candidate});
  }
  std::sort(near.begin(), near.end(), [](const Near& a, const Near& b) {
    return a.distance != b.distance ? a.distance < b.distance : *a.path < *b.path;
  });
  std::vector<std::string> paths;
  for (const Near& entry : near) {
    if (paths.size() == max) break;
    paths.push_back(*entry.path);
  }
  return paths;
}

}  // namespace stillframe
