#include "symbolizer/line_sites.h"

#include <sys/stat.h>

#include <algorithm>

#include "plan/line_part.h"
#include "symbolizer/frame_compiler.h"
#include "symbolizer/inline_chain_lines.h"
#include "symbolizer/inlined_call_sites.h"
#include "symbolizer/line_runs.h"
#include "symbolizer/path_match.h"
#include "symbolizer/prologue.h"

namespace stillframe {
namespace {

constexpr size_t kMaxNamed = 5;  // files or lines named in a message

// Whether two paths are one file under two names: the same content by the compiler's checksum, or
// the same inode where the sources are at hand.
bool SameFile(const SourceFile& a, const SourceFile& b) {
  if (a.md5 && b.md5) return *a.md5 == *b.md5;
  struct stat info_a, info_b;
  return stat(a.path.c_str(), &info_a) == 0 && stat(b.path.c_str(), &info_b) == 0 &&
         info_a.st_dev == info_b.st_dev && info_a.st_ino == info_b.st_ino;
}

void AppendSites(ModuleDebug& debug, const SourceFile& file, uint32_t line,
                 const std::vector<Statement>& statements, std::vector<LineSite>& sites) {
  for (const Statement& statement : statements) {
    Dwarf_Die* unit = debug.units.FindByLineProgram(statement.unit_offset, statement.address);
    if (unit == nullptr) continue;  // code that no unit claims: nothing could be shown there
    const LinkAddress address = SkipPrologue(debug, unit, statement.unit_offset, statement.address);
    uint32_t part = statement.part;
    if (statement.is_run) part |= LinePartBits::kRun;
    if (statement.is_empty) part |= LinePartBits::kEmpty;
    if (statement.is_behind) part |= LinePartBits::kBehind;
    if (statement.is_before) part |= LinePartBits::kBefore;
    if (!statement.is_run && MarksEachStatement(unit)) part |= LinePartBits::kExact;
    const FunctionEntry* const function = debug.units.FindFunction(unit, address);
    if (function != nullptr) {
      Dwarf_Die die = function->die;
      if (NeedsPrologueSkip(unit, &die)) part |= LinePartBits::kPlain;
    }
    sites.push_back({address, unit, file.path, line, nullptr, part});
    if (address == statement.address) sites.back().view = statement.view;
  }
}

void SortUnique(std::vector<LineSite>& sites) {
  std::sort(sites.begin(), sites.end(), [](const LineSite& a, const LineSite& b) {
    return a.address != b.address ? a.address < b.address : a.view < b.view;
  });
  const auto same = [](const LineSite& a, const LineSite& b) { return a.address == b.address; };
  sites.erase(std::unique(sites.begin(), sites.end(), same), sites.end());
}

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

struct Candidate {
  const SourceFile* file;
  FileStatements statements;
};

Status LineHasNoCode(const std::vector<Candidate>& candidates, uint32_t line) {
  std::string text;
  for (const Candidate& candidate : candidates) {
    if (candidate.statements.empty()) continue;
    const auto after = candidate.statements.upper_bound(line);
    std::vector<std::string> near;
    if (after != candidate.statements.begin()) {
      near.push_back(std::to_string(std::prev(after)->first));
    }
    if (after != candidate.statements.end()) near.push_back(std::to_string(after->first));
    if (!text.empty()) text += "; ";
    text += "no code at " + candidate.file->path + ":" + std::to_string(line) +
            ", nearest lines with code: " + Join(near);
  }
  if (text.empty()) {
    text = "no code at " + candidates[0].file->path + ":" + std::to_string(line) +
           ": no line of this file has code here";
  }
  return Status(Code::kLineHasNoCode, text);
}

// The candidates that have code on the line, when they are one file; else why not.
Status Disambiguate(const std::vector<const Candidate*>& with_code, uint32_t line) {
  std::vector<std::string> names;
  bool same = true;
  for (const Candidate* candidate : with_code) {
    same = same && SameFile(*with_code[0]->file, *candidate->file);
    if (names.size() < kMaxNamed) names.push_back(candidate->file->path);
  }
  if (same || with_code.size() < 2) return Status();
  return Status(Code::kAmbiguousFile, std::to_string(with_code.size()) +
                                          " files of that name have code on line " +
                                          std::to_string(line) + ": " + Join(names));
}

}  // namespace

std::vector<LinkAddress> LineRowsIn(ModuleDebug& debug, LinkAddress begin, LinkAddress end,
                                    uint32_t line, SymbolModule::Rows rows) {
  Dwarf_Die* const unit = debug.units.FindByAddress(begin);
  if (unit == nullptr) return {};
  std::vector<LinkAddress> found = dwarf::RowsOf(*unit, begin, end, line, rows);
  if (rows != SymbolModule::Rows::kOutside) return found;
  const FunctionEntry* const function = debug.units.FindFunction(unit, begin);
  if (function != nullptr) EraseInlinedCode(function->die, line, found);
  return found;
}

LinkAddress SkipPrologue(ModuleDebug& debug, Dwarf_Die* unit, uint64_t line_program,
                         LinkAddress entry) {
  const FunctionEntry* function = debug.units.FindFunction(unit, entry);
  if (function == nullptr || function->entry != entry) return entry;
  Dwarf_Die die = function->die;
  if (!NeedsPrologueSkip(unit, &die)) return entry;
  return debug.lines.AfterPrologue(line_program, function->entry, function->entry_end);
}

Status FileNotFound(const ModuleDebug& debug, std::string_view file, bool name_near) {
  std::string text = "no file '" + std::string(file) + "' in the debug information";
  if (!name_near) return Status(Code::kFileNotFound, text);
  const std::vector<std::string> near = NearestPaths(file, debug.lines.Paths(""), kMaxNamed);
  if (!near.empty()) text += "; near: " + Join(near);
  return Status(Code::kFileNotFound, text);
}

Result<std::vector<LineSite>> FindLineSites(ModuleDebug& debug, std::string_view file,
                                            uint32_t line, bool name_near_files) {
  SF_ASSIGN_OR_RETURN(std::vector<SourceFile> files, debug.lines.Find(file));
  if (files.empty()) return FileNotFound(debug, file, name_near_files);
  // A full path names one file, whatever else ends like it.
  const std::string exact = NormalizePath(file);
  if (std::any_of(files.begin(), files.end(),
                  [&](const SourceFile& f) { return f.path == exact; })) {
    std::erase_if(files, [&](const SourceFile& f) { return f.path != exact; });
  }
  std::vector<Candidate> candidates;
  for (const SourceFile& f : files) candidates.push_back({&f, debug.lines.Statements(f)});
  std::vector<const Candidate*> with_code;
  for (const Candidate& candidate : candidates) {
    if (candidate.statements.count(line) != 0) with_code.push_back(&candidate);
  }
  std::vector<LineSite> sites;
  if (with_code.empty()) {
    for (const Candidate& candidate : candidates) {
      const size_t before = sites.size();
      ForEachInlinedCall(
          debug, *candidate.file, [line](uint32_t at) { return at == line; },
          [&sites](LineSite site) { sites.push_back(std::move(site)); });
      if (sites.size() > before) with_code.push_back(&candidate);
    }
  }
  SF_RETURN_IF_ERROR(Disambiguate(with_code, line));
  for (const Candidate* candidate : with_code) {
    const auto own = candidate->statements.find(line);
    if (own == candidate->statements.end()) continue;
    AppendSites(debug, *candidate->file, line, own->second, sites);
  }
  if (sites.empty()) return LineHasNoCode(candidates, line);
  LineCopies copies(debug, sites);
  DropMarkedRuns(debug, sites, true);
  for (const Candidate* candidate : with_code) copies.AddUnmarked(*candidate->file, line, sites);
  SortUnique(sites);
  return sites;
}

std::map<uint32_t, std::vector<LineSite>> AllLineSites(ModuleDebug& debug, const SourceFile& file,
                                                       uint32_t first, uint32_t last) {
  std::map<uint32_t, std::vector<LineSite>> lines;
  const FileStatements& known = debug.lines.Statements(file);
  const auto is_asked = [&](uint32_t line) {
    return (first == 0 || line >= first) && (last == 0 || line <= last);
  };
  ForEachInlinedCall(
      debug, file, [&](uint32_t line) { return is_asked(line) && !known.contains(line); },
      [&](LineSite site) { lines[site.line].push_back(std::move(site)); });
  for (auto& [line, sites] : lines) SortUnique(sites);
  for (const auto& [line, statements] : known) {
    if (!is_asked(line)) continue;
    std::vector<LineSite> sites;
    AppendSites(debug, file, line, statements, sites);
    DropMarkedRuns(debug, sites, false);
    SortUnique(sites);
    if (!sites.empty()) lines.emplace(line, std::move(sites));
  }
  return lines;
}

LineInfo MakeLineInfo(const std::string& file, uint32_t line, const std::vector<LineSite>& sites) {
  LineInfo info;
  info.file = file;
  info.line = line;
  for (const LineSite& site : sites) {
    info.addresses.push_back(site.address);
    const std::vector<SourceFrame> chain = InlineChain(site.unit, site.address);
    if (!chain.empty()) info.functions.push_back(chain[0].function);
  }
  std::sort(info.functions.begin(), info.functions.end());
  info.functions.erase(std::unique(info.functions.begin(), info.functions.end()),
                       info.functions.end());
  return info;
}

}  // namespace stillframe
