#include "symbolizer/cfi_table.h"

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "symbolizer/cfa_machine.h"
#include "symbolizer/section_bytes.h"

namespace stillframe {
namespace {

constexpr size_t kMaxRows = 1u << 24;
constexpr uint64_t kMaxSectionBytes = 1u << 30;
// About what compilers spend on a row; only a first guess at how many there are.
constexpr size_t kBytesPerRow = 8;

struct Row {
  LinkAddress start;
  uint16_t rule;
};

struct Function {
  LinkAddress start;
  LinkAddress end;
  size_t first_row;
  size_t row_count;
};

struct RuleHash {
  size_t operator()(const UnwindRule& rule) const {
    size_t hash = static_cast<size_t>(rule.cfa_kind) * 31 + rule.cfa_register;
    const auto mix = [&hash](uint64_t value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15u; };
    mix(static_cast<uint32_t>(rule.cfa_offset));
    mix(static_cast<uint32_t>(rule.return_address_offset));
    for (int i = 0; i < kSavedRegisterCount; ++i) {
      mix(static_cast<uint64_t>(rule.save[i]) << 32 | static_cast<uint32_t>(rule.save_offset[i]));
    }
    return hash;
  }
};

bool SavesAreNear(const UnwindRule& rule) {
  const auto is_near = [](int32_t offset) { return offset >= -kNearBytes && offset <= -8; };
  if (rule.cfa_kind == CfaKind::kUndefined || !is_near(rule.return_address_offset)) return false;
  for (int i = 0; i < kSavedRegisterCount; ++i) {
    if (rule.save[i] == SaveKind::kAtCfaOffset && !is_near(rule.save_offset[i])) return false;
  }
  return true;
}

class TableBuilder {
 public:
  TableBuilder(const CfiSection& section, const ElfFile& module)
      : section_(section), module_(module) {
    table_.rules.push_back(UnwindRule());
    rule_ids_.emplace(UnwindRule(), uint16_t{0});
  }

  Result<UnwindTable> Build() {
    rows_.reserve(std::min(section_.bytes.size() / kBytesPerRow, kMaxRows));
    const Status walk =
        ForEachFrameEntry(section_, [this](const FrameEntry& frame) { AddFunction(frame); });
    if (functions_.empty()) {
      return walk.ok() ? Status(Code::kNotFound, module_.path() + " has no frame information")
                       : walk.WithContext(module_.path());
    }
    std::sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) {
      return a.start != b.start ? a.start < b.start : a.first_row < b.first_row;
    });
    table_.base = functions_.front().start;
    LinkAddress end = functions_.front().end;
    for (const Function& function : functions_) end = std::max(end, function.end);
    table_.size_bytes = end.value - table_.base.value;
    if (table_.size_bytes > std::numeric_limits<uint32_t>::max()) {
      return Status(Code::kOverLimit, module_.path() + ": code spans more than 4 GiB");
    }
    Assemble();
    return std::move(table_);
  }

 private:
  void AddFunction(const FrameEntry& frame) {
    // Discarded functions keep their entries with address 0 or a few bytes from it.
    if (!module_.IsCode(frame.start) || !module_.IsCode(frame.end - 1)) return;
    if (rows_.size() >= kMaxRows) return;
    const size_t first = rows_.size();
    RunFrameEntry(section_, frame, [&](LinkAddress start, const UnwindRule& rule) {
      if (start >= frame.end) return;
      const uint16_t id = RuleId(rule);
      if (rows_.size() > first && rows_.back().start == start) rows_.pop_back();
      if (rows_.size() > first && rows_.back().rule == id) return;
      rows_.push_back({start, id});
    });
    if (rows_.size() > first) {
      functions_.push_back({frame.start, frame.end, first, rows_.size() - first});
    }
  }

  uint16_t RuleId(const UnwindRule& rule) {
    const auto known = rule_ids_.find(rule);
    if (known != rule_ids_.end()) return known->second;
    // A few hundred rules exist in practice; hostile input gets "no rule" for the rest.
    if (table_.rules.size() > std::numeric_limits<uint16_t>::max()) return 0;
    const auto id = static_cast<uint16_t>(table_.rules.size());
    table_.rules.push_back(rule);
    rule_ids_.emplace(rule, id);
    return id;
  }

  // Of overlapping functions (which sound files do not have) the earlier one keeps its range.
  void Assemble() {
    LinkAddress covered = table_.base;
    for (const Function& function : functions_) {
      if (function.end <= covered) continue;
      if (function.start > covered) Append(covered, 0);
      for (size_t i = 0; i < function.row_count; ++i) {
        const Row& row = rows_[function.first_row + i];
        const LinkAddress next =
            i + 1 < function.row_count ? rows_[function.first_row + i + 1].start : function.end;
        if (next > covered) Append(std::max(row.start, covered), row.rule);
      }
      covered = function.end;
    }
    table_.pcs.shrink_to_fit();
    table_.row_rules.shrink_to_fit();
    table_.rules.shrink_to_fit();
    for (UnwindRule& rule : table_.rules) rule.saves_are_near = SavesAreNear(rule) ? 1 : 0;
    IndexBlocks();
  }

  void IndexBlocks() {
    const std::vector<uint32_t>& pcs = table_.pcs;
    if (pcs.empty()) return;
    table_.blocks.reserve(pcs.back() / kUnwindBlockBytes + 1);
    uint32_t row = 0;
    for (uint64_t start = 0; start <= pcs.back(); start += kUnwindBlockBytes) {
      while (row + 1 < pcs.size() && pcs[row + 1] <= start) ++row;
      table_.blocks.push_back(row);
    }
  }

  void Append(LinkAddress start, uint16_t rule) {
    if (!table_.row_rules.empty() && table_.row_rules.back() == rule) return;
    table_.pcs.push_back(static_cast<uint32_t>(start.value - table_.base.value));
    table_.row_rules.push_back(rule);
  }

  const CfiSection& section_;
  const ElfFile& module_;
  UnwindTable table_;
  std::unordered_map<UnwindRule, uint16_t, RuleHash> rule_ids_;
  std::vector<Row> rows_;
  std::vector<Function> functions_;
};

struct Source {
  const ElfFile* file;
  const char* section;
  CfiFormat format;
};

}  // namespace

Result<UnwindTable> BuildUnwindTableFrom(const CfiSection& section, const ElfFile& module) {
  return TableBuilder(section, module).Build();
}

Result<UnwindTable> BuildModuleUnwindTable(const ElfFile& module, const ElfFile* separate) {
  Status status(Code::kNotFound, module.path() + " has no frame information");
  for (const Source& source : {Source{&module, ".eh_frame", CfiFormat::kEhFrame},
                               Source{&module, ".debug_frame", CfiFormat::kDebugFrame},
                               Source{separate, ".debug_frame", CfiFormat::kDebugFrame}}) {
    const ElfSection* section =
        source.file == nullptr ? nullptr : FindByPlainName(*source.file, source.section);
    if (section == nullptr || section->size_bytes == 0) continue;
    const auto bytes = ReadUncompressed(*source.file, *section, kMaxSectionBytes);
    if (!bytes.ok()) {
      status = bytes.status();
      continue;
    }
    auto table = BuildUnwindTableFrom({*bytes, section->address, source.format}, module);
    if (table.ok()) return table;
    status = table.status();
  }
  return status;
}

}  // namespace stillframe
