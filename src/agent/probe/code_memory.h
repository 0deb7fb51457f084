// Executable memory for trampolines: bodies near a module, islands at the very address that a
// punned jump leads to. Agent thread only.
//
// Pages are private, readable and executable from the start and never writable: they are filled as
// text is (TextWriter), so there is no writable alias of code in the process, a forked child owns
// its copy, and it works under PR_SET_MDWE. Nothing is ever unmapped, and bytes that a thread may
// have run are never given out again.
//
// Punned islands lie all over +-2 GiB, a page of address space for each. Where the kernel allows
// it, those pages are views of a few physical ones: a memory file that is mapped privately at many
// places, each island at its own offset ("physical page grouping" of E9Patch). The file is closed
// as soon as it is mapped; a later write to such a page gives that page a copy of its own.
#ifndef STILLFRAME_AGENT_PROBE_CODE_MEMORY_H_
#define STILLFRAME_AGENT_PROBE_CODE_MEMORY_H_

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "agent/probe/interval_set.h"
#include "agent/probe/site_planner.h"
#include "agent/probe/text_writer.h"
#include "base/process_maps.h"
#include "base/status.h"

namespace stillframe::probe {

// Bounds of what may be mapped.
struct CodeLimits {
  uint32_t pages = 32768;
  // Of mappings in the whole process; 0: from vm.max_map_count, a quarter of it being kept free.
  uint32_t mappings = 0;
};

class CodeMemory final : public IslandSpace {
 public:
  // `writer` must outlive this object.
  explicit CodeMemory(TextWriter& writer, CodeLimits limits = {});

  // Begins a batch: the process's maps as they are now. What is free is worked out from them only
  // when it has to be: a stale idea costs a failed mmap(2) or a look at newer maps, no more.
  void Refresh(const std::vector<Mapping>& maps);
  // Ends a batch: everything that was written since is in place when this returns OK. Until then
  // nothing that was reserved may run. An error leaves what the batch reserved unusable.
  Status Flush();

  std::optional<uint64_t> Find(const arch::AddressSet& set, uint32_t size_bytes,
                               uint64_t near) const override;
  // Sets size_bytes aside at a member of `where`, as near to `near` as there is room, mapping pages
  // as needed. kUnsafeSite: every member is taken. kOverLimit: of pages or mappings.
  // kNotPermitted: the system gives no executable memory.
  Result<uint64_t> Reserve(const arch::AddressSet& where, uint32_t size_bytes, uint64_t near);
  // Gives back the end of a reservation, or all of it (0 bytes kept). Only what was not written.
  void Shrink(uint64_t address, uint32_t kept_bytes);
  // Notes the contents of a reservation; Flush writes them.
  void Write(uint64_t address, std::span<const uint8_t> bytes);

  uint32_t mapped_pages() const { return mapped_pages_; }
  // Mappings that are one page in the middle of nowhere.
  uint32_t sparse_pages() const { return sparse_pages_; }
  // Physical pages behind those that are shared.
  uint32_t shared_pages() const { return shared_pages_; }

 private:
  void Rebuild(const std::vector<Mapping>& maps);
  // Looks at the process again, unless this batch did already.
  bool RebuildNow();
  Status MapFor(uint64_t address, uint32_t size_bytes, bool roomy);
  Status MapPages(uint64_t start, uint64_t end);
  Status CheckLimits(uint64_t pages) const;
  bool ReplaceByShared();
  Status WriteRuns();

  TextWriter& writer_;
  CodeLimits limits_;
  uint32_t process_mappings_ = 0;  // at the last Refresh, and those added since
  uint32_t mapped_pages_ = 0;
  uint32_t sparse_pages_ = 0;
  uint32_t shared_pages_ = 0;
  bool may_share_ = true;
  bool known_ = false;  // available_ was worked out
  bool fresh_ = false;  // in this batch
  uint64_t program_break_ = 0;
  IntervalSet pages_;                      // ours
  IntervalSet own_free_;                   // of them, what is not reserved
  IntervalSet chunks_;                     // those that were mapped with room to spare
  IntervalSet chunk_free_;                 // of own_free_, what lies there: bodies go there first
  IntervalSet available_;                  // own_free_, and what may be mapped
  IntervalSet refused_;                    // free by the maps, but the kernel would not
  std::map<uint64_t, uint64_t> reserved_;  // in this batch: start -> end
  std::map<uint64_t, std::vector<uint8_t>> unwritten_;  // by address
  std::set<uint64_t> fresh_sparse_;                     // pages mapped alone in this batch
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_CODE_MEMORY_H_
