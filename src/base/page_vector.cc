#include "base/page_vector.h"

#include <sys/mman.h>

#include <new>

namespace stillframe {

// Not in the header: the hit path, which reads such vectors, is compiled without exceptions.
void* MapPages(size_t bytes) {
  void* const pages =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return pages;
}

void RefuseSize() { throw std::bad_alloc(); }

void UnmapPages(void* pages, size_t bytes) noexcept { munmap(pages, bytes); }

}  // namespace stillframe
