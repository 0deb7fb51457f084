#include "symbolizer/dwarf_util.h"
#include "symbolizer/frame_compiler.h"
#include "symbolizer/inline_chain_lines.h"

namespace stillframe {
namespace dwarf {
namespace {

struct Row {
  Dwarf_Line* line = nullptr;
  Dwarf_Addr address = 0;
  bool is_statement = false;
  bool is_end = false;
};

Row RowAt(Dwarf_Lines* lines, size_t index) {
  Row row;
  row.line = dwarf_onesrcline(lines, index);
  if (row.line == nullptr) return row;
  dwarf_lineaddr(row.line, &row.address);
  dwarf_linebeginstatement(row.line, &row.is_statement);
  dwarf_lineendsequence(row.line, &row.is_end);
  return row;
}

// Index after the last row whose address is at most pc; libdw sorts rows by address.
size_t UpperBound(Dwarf_Lines* lines, size_t count, LinkAddress pc) {
  size_t low = 0;
  size_t high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (RowAt(lines, middle).address <= pc.value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

SourceLine FromRow(const Dwarf_Die& unit, const Row& row) {
  SourceLine out;
  int line = 0;
  if (dwarf_lineno(row.line, &line) == 0 && line > 0) out.line = static_cast<uint32_t>(line);
  const char* path = dwarf_linesrc(row.line, nullptr, nullptr);
  if (path != nullptr) out.file = AbsolutePath(unit, path);
  return out;
}

}  // namespace

namespace {

// The last of the rows for a pc behind their address; nullopt: that is of another file.
std::optional<SourceLine> LastRowOf(const Dwarf_Die& unit, LinkAddress pc, std::string_view file) {
  Dwarf_Die die = unit;
  Dwarf_Lines* lines = nullptr;
  size_t count = 0;
  if (dwarf_getsrclines(&die, &lines, &count) != 0 || count == 0) return std::nullopt;
  const size_t index = UpperBound(lines, count, pc);
  if (index == 0) return std::nullopt;
  const Row last = RowAt(lines, index - 1);
  if (last.line == nullptr || last.is_end || last.address == pc.value) return std::nullopt;
  SourceLine at = FromRow(unit, last);
  return at.file == file ? std::optional(std::move(at)) : std::nullopt;
}

// An inlined call may leave nothing at an address but its statements, and the call behind them
// belongs to the function around it: GCC then writes a row of that, which is no statement. A frame
// of another file than its function's is taken for such a case.
void PreferOwnFile(const Dwarf_Die& unit, const Dwarf_Die& function, LinkAddress lookup_pc,
                   SourceLine& at) {
  const Dwarf_Die origin = Origin(function);
  const std::optional<Dwarf_Die> origin_unit = UnitOf(origin);
  if (!origin_unit) return;
  const std::string file = AbsolutePath(*origin_unit, DeclFile(origin));
  if (file.empty() || at.file == file) return;
  if (auto own = LastRowOf(unit, lookup_pc, file)) at = std::move(*own);
}

}  // namespace

SourceLine CallSite(const Dwarf_Die& inlined) {
  SourceLine out;
  out.line = static_cast<uint32_t>(Unsigned(inlined, DW_AT_call_line, false).value_or(0));
  const std::optional<uint64_t> file = Unsigned(inlined, DW_AT_call_file, false);
  const std::optional<Dwarf_Die> unit = UnitOf(inlined);
  if (file && unit) out.file = FileName(*unit, *file);
  return out;
}

SourceLine LineAt(const Dwarf_Die& unit, LinkAddress pc) {
  Dwarf_Die die = unit;
  Dwarf_Lines* lines = nullptr;
  size_t count = 0;
  if (dwarf_getsrclines(&die, &lines, &count) != 0 || count == 0) return {};
  size_t index = UpperBound(lines, count, pc);
  if (index == 0) return {};
  const Row last = RowAt(lines, --index);
  if (last.line == nullptr || last.is_end) return {};
  Row best = last;
  while (!best.is_statement && index > 0) {
    const Row before = RowAt(lines, --index);
    if (before.line == nullptr || before.address != last.address || before.is_end) break;
    best = before;
  }
  return FromRow(unit, best.is_statement ? best : last);
}

std::vector<LinkAddress> RowsOf(const Dwarf_Die& unit, LinkAddress begin, LinkAddress end,
                                uint32_t line, SymbolModule::Rows rows) {
  std::vector<LinkAddress> found;
  Dwarf_Die die = unit;
  Dwarf_Lines* lines = nullptr;
  size_t count = 0;
  if (begin.value == 0 || dwarf_getsrclines(&die, &lines, &count) != 0) return found;
  const bool statements_only =
      rows == SymbolModule::Rows::kOtherStatements || rows == SymbolModule::Rows::kOutside;
  int before = 0;
  for (size_t index = UpperBound(lines, count, begin - 1); index < count; ++index) {
    const Row row = RowAt(lines, index);
    if (row.line == nullptr || row.address >= end.value) break;
    int at = 0;
    if (row.is_end || dwarf_lineno(row.line, &at) != 0 || at <= 0) continue;
    if (rows == SymbolModule::Rows::kUnmarked) {
      if (!row.is_statement && before != 0 && before != at) found.emplace_back(row.address);
      before = at;
      continue;
    }
    // What comes before in an address leaves room for those behind it alone.
    if (!statements_only && !found.empty() && found.back().value == row.address) found.pop_back();
    if (statements_only && !row.is_statement) continue;
    const bool own = static_cast<uint32_t>(at) == line;
    if (own == (rows == SymbolModule::Rows::kOwn)) found.emplace_back(row.address);
  }
  return found;
}

std::vector<SourceFrame> DescribeChain(const Dwarf_Die& unit, const ScopeChain& chain,
                                       LinkAddress lookup_pc, TypeNamer& namer) {
  std::vector<SourceFrame> out;
  SourceLine at = LineAt(unit, lookup_pc);
  if (!chain.functions.empty() && at.line != 0) {
    PreferOwnFile(unit, chain.functions.front().function, lookup_pc, at);
  }
  for (const FunctionScope& scope : chain.functions) {
    out.push_back({namer.FunctionName(scope.function), at.file, at.line, scope.inlined});
    if (scope.inlined) at = CallSite(scope.function);
  }
  return out;
}

}  // namespace dwarf

std::vector<SourceFrame> InlineChain(Dwarf_Die* cu, LinkAddress pc) {
  if (cu == nullptr) return {};
  const std::optional<Dwarf_Die> function = dwarf::FindFunction(*cu, pc);
  if (!function) return {};
  // The index behind the cache is only built for functions without a linkage name.
  dwarf::UnitCache units;
  dwarf::TypeNamer namer(units);
  return dwarf::DescribeChain(*cu, dwarf::ReadScopes(*function, pc), pc, namer);
}

}  // namespace stillframe
