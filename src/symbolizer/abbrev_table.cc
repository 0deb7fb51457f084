#include "symbolizer/abbrev_table.h"

#include <dwarf.h>

#include <string>

namespace stillframe {
namespace {

// Compilers write fewer than 40. libdw goes over all of an entry's attributes to find one.
constexpr uint32_t kMaxAttributes = 1024;

// DWARF 5 §7.5.3: code | tag | has children | (name, form[, value])… 0 0
// Calls visit(entry, attributes) until it returns false or the table ends.
template <typename Visit>
Status ForEachEntry(ByteSpan section, uint64_t offset, uint64_t& max_bytes, Visit visit) {
  ByteReader reader(section, offset);
  std::vector<AbbrevAttribute> attributes;
  for (bool goes_on = true; goes_on;) {
    const uint64_t begin = reader.position();
    AbbrevTable::Entry entry;
    entry.code = reader.Uleb();
    if (!reader.ok() || entry.code == 0) return Status();
    reader.Uleb();  // the tag
    entry.has_children = reader.U8() != 0;
    attributes.clear();
    while (true) {
      const AbbrevAttribute attribute{reader.Uleb(), reader.Uleb()};
      if (attribute.form == DW_FORM_implicit_const) reader.Sleb();
      if (!reader.ok()) return Status();
      if (attribute.name == 0 && attribute.form == 0) break;
      if (attributes.size() >= kMaxAttributes) {
        return Status(Code::kCorrupt, "an entry of .debug_abbrev has more than " +
                                          std::to_string(kMaxAttributes) + " attributes");
      }
      attributes.push_back(attribute);
    }
    const uint64_t used = reader.position() - begin;
    if (used > max_bytes) {
      return Status(Code::kOverLimit, "its tables of .debug_abbrev are too much to read");
    }
    max_bytes -= used;
    goes_on = visit(entry, attributes);
  }
  return Status();
}

}  // namespace

Result<AbbrevTable> AbbrevTable::Read(ByteSpan section, uint64_t offset, uint64_t& max_bytes) {
  AbbrevTable table;
  SF_RETURN_IF_ERROR(ForEachEntry(
      section, offset, max_bytes, [&table](Entry entry, const std::vector<AbbrevAttribute>& all) {
        entry.first = static_cast<uint32_t>(table.attributes_.size());
        entry.count = static_cast<uint32_t>(all.size());
        table.attributes_.insert(table.attributes_.end(), all.begin(), all.end());
        if (entry.code == table.entries_.size() + 1) {
          table.entries_.push_back(entry);
        } else {
          table.others_.emplace(entry.code, entry);
        }
        return true;
      }));
  return table;
}

Status AbbrevTable::Check(ByteSpan section, uint64_t offset, uint64_t last_code,
                          uint64_t& max_bytes) {
  return ForEachEntry(section, offset, max_bytes,
                      [last_code](const Entry& entry, const std::vector<AbbrevAttribute>&) {
                        return entry.code != last_code;
                      });
}

const AbbrevTable::Entry* AbbrevTable::Find(uint64_t code) const {
  if (code - 1 < entries_.size()) return &entries_[code - 1];
  const auto found = others_.find(code);
  return found == others_.end() ? nullptr : &found->second;
}

}  // namespace stillframe
