#include "symbolizer/line_index.h"

#include <stdlib.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "plan/line_part.h"
#include "symbolizer/line_program.h"
#include "symbolizer/path_match.h"

namespace stillframe {
namespace {

constexpr size_t kMaxPaths = 1u << 20;
constexpr size_t kMaxRememberedFiles = 8;

std::string RealPath(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), free);
  return real == nullptr ? "" : real.get();
}

// Decides whether a path is the wanted one; remembers the wanted path's real name.
class PathTest {
 public:
  explicit PathTest(std::string_view suffix) : wanted_(NormalizePath(suffix)) {
    if (!wanted_.empty() && wanted_[0] == '/') real_ = RealPath(wanted_);
  }
  bool MayMatch(std::string_view name) const { return Basename(name) == Basename(wanted_); }
  bool Matches(const std::string& path) {
    if (HasPathSuffix(path, wanted_)) return true;
    // An absolute request through a symlinked folder. Few candidates come this far.
    if (real_.empty() || ++lookups_ > kMaxLookups) return false;
    return RealPath(path) == real_;
  }

 private:
  static constexpr int kMaxLookups = 1000;
  std::string wanted_;
  std::string real_;
  int lookups_ = 0;
};

// Of one address a statement is kept, if there is one.
void SortUnique(std::vector<Statement>& statements) {
  std::stable_sort(statements.begin(), statements.end(),
                   [](const Statement& a, const Statement& b) {
                     return a.address != b.address ? a.address < b.address : a.is_run < b.is_run;
                   });
  statements.erase(
      std::unique(statements.begin(), statements.end(),
                  [](const Statement& a, const Statement& b) { return a.address == b.address; }),
      statements.end());
}

// Numbers the parts of lines: a part is a column, and how often that came before in one run of the
// line's rows, which no statement of another line interrupts.
class PartCounter {
 public:
  uint32_t Next(const LineRow& row) {
    if (row.line != line_ || row.file != file_) {
      columns_.clear();
      more_.clear();
      line_ = row.line;
      file_ = row.file;
    }
    return Part(row, Count(row.column));
  }
  static uint32_t Part(const LineRow& row, uint32_t seen) {
    return (row.column << kRepeatBits | (seen & kRepeatMask)) & LinePartBits::kNumber;
  }

 private:
  static constexpr uint32_t kRepeatBits = 8;
  static constexpr uint32_t kRepeatMask = (1u << kRepeatBits) - 1;

  // How often the column came in this run. A hostile program has millions of rows in one.
  uint32_t Count(uint32_t column) {
    constexpr size_t kFew = 32;
    for (auto& [known, count] : columns_) {
      if (known == column) return ++count;
    }
    if (columns_.size() >= kFew) return ++more_[column];
    columns_.emplace_back(column, 1);
    return 1;
  }

  uint32_t line_ = 0, file_ = 0;
  std::vector<std::pair<uint32_t, uint32_t>> columns_;  // and how often each came
  std::map<uint32_t, uint32_t> more_;
};

// Cuts the rows of one program into sequences and keeps the rows of live code.
class SequenceFilter {
 public:
  explicit SequenceFilter(const ElfFile& module) : module_(module) {}

  // Returns the rows of a sequence when `row` ends it, else nothing.
  std::vector<LineRow> Add(const LineRow& row) {
    if (!row.end_sequence) {
      if (rows_.empty() && !dead_) dead_ = !module_.IsCode(row.address);
      if (!dead_) rows_.push_back(row);
      return {};
    }
    std::vector<LineRow> done = std::move(rows_);
    rows_.clear();
    dead_ = false;
    std::erase_if(done, [&](const LineRow& r) {
      return r.address >= row.address || !module_.IsCode(r.address);
    });
    return done;
  }

 private:
  const ElfFile& module_;
  std::vector<LineRow> rows_;
  bool dead_ = false;
};

// The lines of statements.
class StatementLines {
 public:
  void Add(const LineRow& row) {
    if (!row.is_stmt || row.line == 0) return;
    several_ = several_ || (line_ != 0 && line_ != row.line);
    line_ = row.line;
  }
  bool HasOther(uint32_t line) const { return several_ || (line_ != 0 && line_ != line); }

 private:
  uint32_t line_ = 0;
  bool several_ = false;
};

// What the rows of one address say of each of them.
struct Surroundings {
  bool is_empty = false, is_behind = false, is_before = false;  // see Statement
};
std::vector<Surroundings> LookAround(const std::vector<LineRow>& rows) {
  std::vector<Surroundings> around(rows.size());
  for (size_t first = 0, end = 0; first < rows.size(); first = end) {
    StatementLines before, behind;
    for (end = first; end < rows.size() && rows[end].address == rows[first].address; ++end) {
      around[end].is_behind = before.HasOther(rows[end].line);
      before.Add(rows[end]);
    }
    const LineRow& last = rows[end - 1];
    for (size_t i = end; i-- > first;) {
      around[i].is_before = behind.HasOther(rows[i].line);
      around[i].is_empty = last.line != rows[i].line || last.file != rows[i].file;
      behind.Add(rows[i]);
    }
  }
  return around;
}

// Runs one program, calling visit(rows) for each sequence of live code. What a broken program
// yields before its break is used: a missing line is said, a wrong one cannot come of it.
template <typename Visit>
void ForEachSequence(const LineSections& sections, const LineHeader& header, const ElfFile& module,
                     Visit visit) {
  SequenceFilter filter(module);
  const Status status = RunLineProgram(sections, header, [&](const LineRow& row) {
    const std::vector<LineRow> rows = filter.Add(row);
    if (!rows.empty()) visit(rows);
  });
  (void)status;
}

}  // namespace

std::string LineIndex::FullPath(const LineHeader& header, const LineFile& file) const {
  if (!file.name.empty() && file.name[0] == '/') return NormalizePath(file.name);
  const std::string_view folder =
      file.folder < header.folders.size() ? header.folders[file.folder] : std::string_view();
  std::string path = JoinPath(folder, file.name);
  if (path.empty() || path[0] == '/') return path;
  // Version 5 repeats the compilation folder as entry 0; an entry is relative to it.
  if (header.version >= 5 && file.folder != 0 && !header.folders.empty()) {
    path = JoinPath(header.folders[0], path);
    if (path[0] == '/') return path;
  }
  return JoinPath(folder_of_(header.offset), path);
}

Result<std::vector<SourceFile>> LineIndex::Find(std::string_view suffix) const {
  PathTest test(suffix);
  std::map<std::string, SourceFile> found;
  const Status status = ForEachLineHeader(sections_, [&](const LineHeader& header) {
    for (uint32_t i = 0; i < header.files.size(); ++i) {
      const LineFile& entry = header.files[i];
      if (entry.name.empty() || !test.MayMatch(entry.name)) continue;
      std::string path = FullPath(header, entry);
      if (!test.Matches(path)) continue;
      SourceFile& file = found[path];
      if (file.path.empty()) file.path = std::move(path);
      if (entry.has_md5) file.md5 = entry.md5;
      if (file.uses.empty() || file.uses.back().unit_offset != header.offset) {
        file.uses.push_back({header.offset, {}});
      }
      file.uses.back().files.push_back(i);
    }
    return true;
  });
  if (found.empty() && !status.ok()) return status;
  std::vector<SourceFile> files;
  files.reserve(found.size());
  for (auto& [path, file] : found) files.push_back(std::move(file));
  return files;
}

std::vector<std::string> LineIndex::Paths(std::string_view suffix) const {
  const std::string wanted = NormalizePath(suffix);
  std::set<std::string> paths;
  // A section that breaks off still names the files before the break.
  (void)ForEachLineHeader(sections_, [&](const LineHeader& header) {
    for (const LineFile& entry : header.files) {
      if (entry.name.empty()) continue;
      if (!wanted.empty() && Basename(entry.name) != Basename(wanted)) continue;
      std::string path = FullPath(header, entry);
      if (wanted.empty() || HasPathSuffix(path, wanted)) paths.insert(std::move(path));
    }
    return paths.size() < kMaxPaths;
  });
  return {paths.begin(), paths.end()};
}

void LineIndex::CollectStatements(const SourceFile::Use& use, FileStatements& statements) const {
  LineHeader header;
  uint64_t next = 0;
  if (!ReadLineHeader(sections_, use.unit_offset, header, next).ok()) return;
  ForEachSequence(sections_, header, module_, [&](const std::vector<LineRow>& rows) {
    const std::vector<Surroundings> around = LookAround(rows);
    uint32_t run_line = 0;  // line of the row before, 0 when that was of another file
    PartCounter parts;
    for (size_t i = 0; i < rows.size(); ++i) {
      const LineRow& row = rows[i];
      const bool wanted =
          std::find(use.files.begin(), use.files.end(), row.file) != use.files.end();
      // Line 0 is code that belongs to no line (DWARF 5 §6.2.2).
      const bool begins = row.is_stmt && row.line != 0;
      const uint32_t part = begins ? parts.Next(row) : PartCounter::Part(row, 1);
      if (wanted && (begins || (row.line != 0 && run_line != row.line))) {
        statements[row.line].push_back({row.address, use.unit_offset, part, row.view, !begins,
                                        around[i].is_empty, around[i].is_behind,
                                        around[i].is_before});
      }
      run_line = wanted ? row.line : 0;
    }
  });
}

const FileStatements& LineIndex::Statements(const SourceFile& file) const {
  if (const auto known = statements_.find(file.path); known != statements_.end()) {
    return known->second;
  }
  if (statements_.size() >= kMaxRememberedFiles) statements_.clear();
  FileStatements& statements = statements_[file.path];
  for (const SourceFile::Use& use : file.uses) CollectStatements(use, statements);
  for (auto& [line, list] : statements) SortUnique(list);
  return statements;
}

std::vector<LinkAddress> LineIndex::AllStatements(uint64_t max) const {
  std::vector<LinkAddress> addresses;
  const auto compact = [&addresses] {
    std::sort(addresses.begin(), addresses.end());
    addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  };
  (void)ForEachLineHeader(sections_, [&](const LineHeader& header) {
    ForEachSequence(sections_, header, module_, [&](const std::vector<LineRow>& rows) {
      for (const LineRow& row : rows) {
        if (row.is_stmt && row.line != 0) addresses.push_back(row.address);
      }
    });
    if (addresses.size() >= max) compact();
    return addresses.size() < max;
  });
  compact();
  if (addresses.size() > max) addresses.resize(max);
  return addresses;
}

LinkAddress LineIndex::AfterPrologue(uint64_t unit_offset, LinkAddress entry,
                                     LinkAddress end) const {
  LineHeader header;
  uint64_t next = 0;
  if (!ReadLineHeader(sections_, unit_offset, header, next).ok()) return entry;
  LinkAddress marked = end;
  LinkAddress second = end;
  ForEachSequence(sections_, header, module_, [&](const std::vector<LineRow>& rows) {
    for (const LineRow& row : rows) {
      if (row.address <= entry || row.address >= end || row.line == 0) continue;
      if (row.prologue_end) marked = std::min(marked, row.address);
      if (row.is_stmt) second = std::min(second, row.address);
    }
  });
  if (marked != end) return marked;
  return second != end ? second : entry;
}

}  // namespace stillframe
