// Source paths: normal forms, suffix match, and the nearest names for error messages.
#ifndef STILLFRAME_SYMBOLIZER_PATH_MATCH_H_
#define STILLFRAME_SYMBOLIZER_PATH_MATCH_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace stillframe {

// Removes ".", empty components and "x/..". Leading ".." of a relative path stay. No file is looked
// at, so a symlinked folder before ".." is taken literally, as compilers and GDB do.
std::string NormalizePath(std::string_view path);
// `path` made absolute with `folder` (which may be relative itself), normalized.
std::string JoinPath(std::string_view folder, std::string_view path);
std::string_view Basename(std::string_view path);

// Whether the components of `suffix` are the last ones of `path`; case-sensitive. Both normalized;
// leading ".." of the suffix are ignored. An absolute suffix matches only the equal path.
bool HasPathSuffix(std::string_view path, std::string_view suffix);

// Edits (insert, delete, replace) from a to b, at most `limit` + 1; texts over 256 bytes: limit
// + 1.
size_t EditDistance(std::string_view a, std::string_view b, size_t limit);

// Up to `max` of `candidates` (full paths) whose base name is nearest to the wanted one's, nearest
// first; only plausible misspellings are returned.
std::vector<std::string> NearestPaths(std::string_view wanted,
                                      const std::vector<std::string>& candidates, size_t max);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_PATH_MATCH_H_
