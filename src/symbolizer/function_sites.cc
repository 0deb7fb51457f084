#include "symbolizer/function_sites.h"

#include <dwarf.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "symbolizer/dwarf_util.h"
#include "symbolizer/function_match.h"
#include "symbolizer/function_names.h"
#include "symbolizer/inlined_call_sites.h"
#include "symbolizer/path_match.h"
#include "symbolizer/type_builder_names.h"

namespace stillframe {
namespace {

// Looking for inlined copies reads every unit; the largest programs are left half read: their
// functions' own beginnings are found by symbol anyway.
constexpr size_t kMaxDies = 4u << 20;
constexpr int kMaxDepth = 64;
constexpr size_t kMaxNear = 5;

uint64_t LineProgramOf(Dwarf_Die unit) {
  return dwarf::Unsigned(unit, DW_AT_stmt_list, false).value_or(0);
}

class FunctionSearch {
 public:
  FunctionSearch(ModuleDebug& debug, const ElfFile& module, const FunctionPattern& pattern,
                 bool own_code_only)
      : own_code_only_(own_code_only),
        debug_(debug),
        module_(module),
        pattern_(pattern),
        namer_(debug.unit_cache) {}

  void Run(const SymbolTable& symbols) {
    AddSymbols(symbols);
    WalkUnits();
    if (!sites_.empty() || !has_namesakes_) return;
    // Inline namespaces are known now.
    loosely_ = true;
    visited_ = 0;
    wanted_by_origin_.clear();
    AddSymbols(symbols);
    WalkUnits();
  }

  std::vector<LineSite> Take() {
    std::vector<LineSite> sites;
    for (auto& [address, site] : sites_) sites.push_back(std::move(site));
    return sites;
  }

 private:
  void AddSymbols(const SymbolTable& symbols) {
    symbols.ForEachFunction([&](LinkAddress address, const std::string& demangled) {
      if (IsSplitPart(demangled) || IsThunk(demangled)) return;
      if (IsNamed(demangled)) AddSymbol(address);
    });
  }

  // By symbol: finds the function's unit without reading the others.
  void AddSymbol(LinkAddress address) {
    Dwarf_Die* const unit = debug_.units.FindByAddress(address);
    if (unit == nullptr) return;
    const FunctionEntry* const function = debug_.units.FindFunction(unit, address);
    if (function != nullptr && function->entry == address) AddConcrete(unit, *function);
  }

  void WalkUnits() {
    for (size_t i = 0; i < debug_.units.unit_count() && visited_ < kMaxDies; ++i) {
      Dwarf_Die* const unit = debug_.units.unit(i);
      if (unit != nullptr) Walk(unit, *unit, 0);
    }
  }

  void Walk(Dwarf_Die* unit, const Dwarf_Die& parent, int depth) {
    if (depth > kMaxDepth) return;
    dwarf::ForEachChild(parent, [&](const Dwarf_Die& die) {
      if (++visited_ >= kMaxDies) return false;
      const int tag = dwarf::Tag(die);
      if (tag == DW_TAG_namespace) NoteNamespace(die);
      if (tag == DW_TAG_inlined_subroutine) AddInlined(unit, die);
      if (tag == DW_TAG_subprogram) AddSubprogram(unit, die);
      if (tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine ||
          tag == DW_TAG_lexical_block || tag == DW_TAG_namespace || dwarf::IsStructTag(tag)) {
        Walk(unit, die, depth + 1);
      }
      return true;
    });
  }

  void NoteNamespace(Dwarf_Die die) {
    if (dwarf_hasattr(&die, DW_AT_export_symbols)) inline_namespaces_.emplace(dwarf::Name(die));
  }

  bool IsNamed(const std::string& full_name) {
    if (!pattern_.MayMatch(full_name)) return false;
    has_namesakes_ = true;
    const std::string plain = PlainFunctionName(full_name);
    return loosely_ ? pattern_.MatchesLoosely(plain, inline_namespaces_) : pattern_.Matches(plain);
  }

  // The instance's name costs more than that of its origin, which many share.
  bool IsWanted(const Dwarf_Die& die) {
    const Dwarf_Die origin = dwarf::Origin(die);
    const auto [known, is_new] = wanted_by_origin_.try_emplace(origin.addr, false);
    if (!is_new) return known->second;
    std::string_view name = dwarf::Name(origin);
    name = name.substr(0, name.find('<') == 0 ? name.size() : name.find('<'));
    if (name.starts_with(pattern_.last()) || pattern_.last().starts_with("operator")) {
      known->second = IsNamed(namer_.FunctionName(die));
    }
    return known->second;
  }

  void AddSubprogram(Dwarf_Die* unit, const Dwarf_Die& die) {
    Dwarf_Die copy = die;
    Dwarf_Addr entry = 0;
    if (!dwarf_hasattr(&copy, DW_AT_low_pc) && !dwarf_hasattr(&copy, DW_AT_ranges)) return;
    if (!IsWanted(die)) return;
    if (dwarf_entrypc(&copy, &entry) != 0 || entry == 0) {  // GCC's hot and cold parts: no low_pc
      Dwarf_Addr base = 0, end = 0;
      if (dwarf_ranges(&copy, 0, &base, &entry, &end) <= 0 || entry == 0) return;
    }
    const FunctionEntry* const function = debug_.units.FindFunction(unit, LinkAddress(entry));
    if (function != nullptr) AddConcrete(unit, *function);
  }

  void AddConcrete(Dwarf_Die* unit, const FunctionEntry& function) {
    const LinkAddress stop = SkipPrologue(debug_, unit, LineProgramOf(*unit), function.entry);
    Add(unit, function.die, stop == function.entry ? SkipLandingPad(module_, stop) : stop);
  }

  void AddInlined(Dwarf_Die* unit, const Dwarf_Die& die) {
    const auto entry = own_code_only_ ? std::nullopt : FirstOwnAddress(die);
    if (entry && IsWanted(die)) Add(unit, die, *entry);
  }

  void Add(Dwarf_Die* unit, const Dwarf_Die& die, LinkAddress address) {
    if (!module_.IsCode(address)) return;
    const Dwarf_Die origin = dwarf::Origin(die);
    LineSite site;
    site.address = address;
    site.unit = unit;
    site.function = die.addr;
    site.line = static_cast<uint32_t>(std::max(dwarf::Line(origin), 0));
    if (const auto origin_unit = dwarf::UnitOf(origin)) {
      site.file = dwarf::AbsolutePath(*origin_unit, dwarf::DeclFile(origin));
    }
    sites_.try_emplace(address, std::move(site));
  }

  const bool own_code_only_;
  ModuleDebug& debug_;
  const ElfFile& module_;
  const FunctionPattern& pattern_;
  dwarf::TypeNamer namer_;
  bool loosely_ = false;
  bool has_namesakes_ = false;  // functions whose last component is the wanted one
  std::set<std::string> inline_namespaces_;
  size_t visited_ = 0;
  std::map<const void*, bool> wanted_by_origin_;
  std::map<LinkAddress, LineSite> sites_;
};

Status FunctionNotFound(std::string_view wanted, std::string_view last,
                        const SymbolTable& symbols) {
  const size_t limit = std::max<size_t>(2, last.size() / 3);
  std::set<std::pair<size_t, std::string>> near;
  symbols.ForEachFunction([&](LinkAddress, const std::string& demangled) {
    if (IsSplitPart(demangled)) return;
    const std::string plain = PlainFunctionName(demangled);
    const size_t distance = EditDistance(last, LastComponent(plain), limit);
    if (distance > limit) return;
    near.emplace(distance, plain);
    if (near.size() > kMaxNear) near.erase(std::prev(near.end()));
  });
  std::string text = "no function '" + std::string(wanted) + "' in the debug information";
  for (const auto& [distance, name] : near) {
    text += (text.find("; near: ") == std::string::npos ? "; near: " : ", ") + name;
  }
  return Status(Code::kFunctionNotFound, text);
}

}  // namespace

LinkAddress SkipLandingPad(const ElfFile& module, LinkAddress address) {
  constexpr std::array<uint8_t, 4> kEndbr64{0xf3, 0x0f, 0x1e, 0xfa};
  for (const ElfSegment& segment : module.load_segments()) {
    if (address < segment.address ||
        address.value - segment.address.value + 4 > segment.file_size_bytes) {
      continue;
    }
    const FileOffset at(segment.offset.value + (address.value - segment.address.value));
    const auto bytes = module.ReadAt(at, kEndbr64.size());
    if (bytes.ok() && std::equal(kEndbr64.begin(), kEndbr64.end(), bytes->begin(), bytes->end())) {
      return address + kEndbr64.size();
    }
  }
  return address;
}

Result<std::vector<LineSite>> FindFunctionSites(ModuleDebug& debug, const ElfFile& module,
                                                const SymbolTable& symbols,
                                                std::string_view function, bool own_code_only) {
  const FunctionPattern pattern(function);
  if (pattern.last().empty()) {
    return Status(Code::kInvalidArgument,
                  "'" + std::string(function) + "' is not the name of a function");
  }
  FunctionSearch search(debug, module, pattern, own_code_only);
  search.Run(symbols);
  std::vector<LineSite> sites = search.Take();
  if (sites.empty()) return FunctionNotFound(function, pattern.last(), symbols);
  return sites;
}

Result<std::vector<LineSite>> FindAddressSite(ModuleDebug& debug, const ElfFile& module,
                                              LinkAddress address) {
  if (!module.IsCode(address)) return Status(Code::kNotFound, "the address is not in code");
  LineSite site;
  site.address = address;
  site.unit = debug.units.FindByAddress(address);
  if (site.unit == nullptr) {
    return Status(Code::kNoDebugInfo, "no debug information covers this address");
  }
  return std::vector<LineSite>{site};
}

}  // namespace stillframe
