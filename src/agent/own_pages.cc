#include "agent/own_pages.h"

#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/loader_guard.h"
#include "base/unique_fd.h"

namespace stillframe::agent {
namespace {

constexpr uint64_t kPageBytes = 4096;
// Documentation/admin-guide/mm/pagemap.rst
constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kOfFile = uint64_t{1} << 61;  // or shared; not set once it was written

struct Range {
  uint64_t start = 0, end = 0;
};

struct Search {
  uint64_t ours = 0, program = 0;  // an address in our code, the program's entry
  std::vector<Range> found;
};

int VisitModule(dl_phdr_info* info, size_t, void* argument) {
  auto& search = *static_cast<Search*>(argument);
  bool is_ours = false, is_program = false;
  std::vector<Range> ranges;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    const uint64_t start = info->dlpi_addr + header.p_vaddr, end = start + header.p_memsz;
    is_ours = is_ours || (start <= search.ours && search.ours < end);
    is_program = is_program || (start <= search.program && search.program < end);
    if ((header.p_flags & PF_W) != 0) continue;
    ranges.push_back({start & ~(kPageBytes - 1), (end + kPageBytes - 1) & ~(kPageBytes - 1)});
  }
  if (!is_ours) return 0;
  if (!is_program) search.found = std::move(ranges);
  return 1;
}

void GiveBack(int pagemap, const Range& range) {
  std::vector<uint64_t> pages((range.end - range.start) / kPageBytes);
  const size_t bytes = pages.size() * sizeof(uint64_t);
  const auto at = static_cast<off_t>(range.start / kPageBytes * sizeof(uint64_t));
  if (pread(pagemap, pages.data(), bytes, at) != static_cast<ssize_t>(bytes)) return;
  const auto drops = [&](size_t i) {
    return i < pages.size() && (pages[i] & (kPresent | kOfFile)) == (kPresent | kOfFile);
  };
  for (size_t first = 0; first < pages.size(); ++first) {
    size_t end = first;
    while (drops(end)) ++end;
    if (end == first) continue;
    madvise(reinterpret_cast<void*>(range.start + first * kPageBytes), (end - first) * kPageBytes,
            MADV_DONTNEED);
    first = end;
  }
}

// A hit shall not be the one to map its code again: the kernel maps what lies around a page, too.
void TouchHitPath() {
  const auto code = reinterpret_cast<const volatile uint8_t*>(&hit::stillframe_hit);
  constexpr intptr_t kAroundBytes = 16 * kPageBytes;
  for (const intptr_t offset : {-kAroundBytes, intptr_t{0}, kAroundBytes}) (void)code[offset];
}

}  // namespace

void GiveBackOwnPages() {
  const UniqueFd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap.valid()) return;
  Search search;
  search.ours = reinterpret_cast<uint64_t>(&GiveBackOwnPages);
  search.program = getauxval(AT_ENTRY);
  {
    const LoaderGuard guard;
    dl_iterate_phdr(&VisitModule, &search);
  }
  for (const Range& range : search.found) GiveBack(pagemap.get(), range);
  TouchHitPath();
}

}  // namespace stillframe::agent
