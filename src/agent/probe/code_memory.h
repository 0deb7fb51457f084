// Executable memory for trampolines: bodies near a module, islands at the very address that a
// punned jump leads to. Agent thread only.
//
// Pages are anonymous, private, readable and executable from the start and never writable: they
// are filled as text is (TextWriter), so there is no writable alias of code in the process, a
// forked child owns its copy, and it works under PR_SET_MDWE. (A memfd mapped twice would work in
// no place where this does not: where neither way of writing is allowed, text cannot be patched
// either. It would add a descriptor that a host may close.) Nothing is ever unmapped, and bytes
// that a thread may have run are never given out again.
#ifndef STILLFRAME_AGENT_PROBE_CODE_MEMORY_H_
#define STILLFRAME_AGENT_PROBE_CODE_MEMORY_H_

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "agent/probe/address_space.h"
#include "agent/probe/text_writer.h"
#include "base/status.h"

namespace stillframe::probe {

class CodeMemory {
 public:
  // `writer` must outlive this object. max_pages bounds what may be mapped.
  explicit CodeMemory(TextWriter& writer, uint32_t max_pages = 4096)
      : writer_(writer), max_pages_(max_pages) {}

  // Sets size_bytes aside at a member of `where`, as near to `near` as there is room, mapping pages
  // as needed. kUnsafeSite: every member is taken. kOverLimit: max_pages. kNotPermitted: the system
  // gives no executable memory.
  Result<uint64_t> Reserve(const arch::AddressSet& where, uint32_t size_bytes, uint64_t near);
  // Gives back the end of a reservation, or all of it (0 bytes kept). Only what never ran.
  void Shrink(uint64_t address, uint32_t kept_bytes);
  // Fills a reservation that no thread runs yet.
  Status Write(uint64_t address, std::span<const uint8_t> bytes);

  uint32_t mapped_pages() const { return static_cast<uint32_t>(pages_.size()); }

 private:
  std::vector<Interval> OwnIntervals() const;
  std::vector<Interval> UsedIntervals() const;
  // Maps what [address, address + size_bytes) needs; a whole chunk where `free` has room for one.
  Status MapFor(uint64_t address, uint32_t size_bytes, const std::vector<Interval>& free);
  Status MapPages(uint64_t start, uint64_t end);
  bool Owns(uint64_t page) const { return pages_.count(page) != 0; }

  TextWriter& writer_;
  uint32_t max_pages_;
  std::set<uint64_t> pages_;           // addresses of ours
  std::map<uint64_t, uint64_t> used_;  // reservation -> its end
  std::vector<Interval> refused_;      // free by the maps, but the kernel would not
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_CODE_MEMORY_H_
