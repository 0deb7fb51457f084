// Tables of .debug_abbrev, for the checks that come before libdw: how the entries of a unit are
// laid out.
#ifndef STILLFRAME_SYMBOLIZER_ABBREV_TABLE_H_
#define STILLFRAME_SYMBOLIZER_ABBREV_TABLE_H_

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {

struct AbbrevAttribute {
  uint64_t name = 0;
  uint64_t form = 0;
};

// Entries may be kept by code. A table ends where its bytes cannot be read, as for libdw.
class AbbrevTable {
 public:
  struct Entry {
    uint64_t code = 0;
    bool has_children = false;
    uint32_t first = 0;  // of its attributes
    uint32_t count = 0;
  };

  // The table at the offset. `max_bytes` is lowered by what was read. Errors: kCorrupt for an entry
  // with more attributes than any compiler writes, kOverLimit when `max_bytes` do not suffice.
  static Result<AbbrevTable> Read(ByteSpan section, uint64_t offset, uint64_t& max_bytes);
  // The same checks without a table, up to the entry with the code.
  static Status Check(ByteSpan section, uint64_t offset, uint64_t last_code, uint64_t& max_bytes);

  // nullptr: none has the code.
  const Entry* Find(uint64_t code) const;
  std::span<const AbbrevAttribute> AttributesOf(const Entry& entry) const {
    return std::span(attributes_).subspan(entry.first, entry.count);
  }

 private:
  std::vector<Entry> entries_;  // entry i has the code i + 1, as compilers number them
  std::unordered_map<uint64_t, Entry> others_;
  std::vector<AbbrevAttribute> attributes_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_ABBREV_TABLE_H_
