// The agent's `new`: large blocks come straight from the system. The rest of malloc is the host's
// to tune: a large block that is given back to it raises, for the whole process, the sizes from
// which it maps and trims (mallopt(3), M_MMAP_THRESHOLD), and our heap would never shrink again.
//
// In the agent's two libraries only, whose C++ library is their own.
#include "agent/large_blocks.h"

#ifdef STILLFRAME_LARGE_BLOCKS

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

constexpr size_t kLargeBytes = 128u << 10;
constexpr size_t kPageBytes = 4096;
constexpr size_t kMaxBlocks = 256;  // beyond that malloc takes them

// Without a lock: a child that is forked at any moment may go on.
struct Block {
  std::atomic<void*> start{nullptr};  // release after `bytes` is written; partner: Find
  size_t bytes = 0;
};
Block g_blocks[kMaxBlocks];
char g_claimed;  // its address stands where a place is taken or given up

size_t Pages(size_t bytes) { return (bytes + kPageBytes - 1) & ~(kPageBytes - 1); }

// nullptr: no memory, or no place to remember it.
void* MapLarge(size_t size_bytes) {
  for (Block& block : g_blocks) {
    void* nobody = nullptr;
    if (block.start.load(std::memory_order_relaxed) != nullptr ||
        !block.start.compare_exchange_strong(nobody, &g_claimed, std::memory_order_acquire)) {
      continue;
    }
    void* const map = mmap(nullptr, Pages(size_bytes), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    block.bytes = Pages(size_bytes);
    block.start.store(map == MAP_FAILED ? nullptr : map, std::memory_order_release);
    return map == MAP_FAILED ? nullptr : map;
  }
  return nullptr;
}

// False: it is none of these.
bool UnmapLarge(void* start) {
  if (start == nullptr || reinterpret_cast<uintptr_t>(start) % kPageBytes != 0) return false;
  for (Block& block : g_blocks) {
    if (block.start.load(std::memory_order_acquire) != start) continue;
    // Not named here any more when the system gives the address to the next who asks.
    block.start.store(&g_claimed, std::memory_order_relaxed);
    munmap(start, block.bytes);
    block.start.store(nullptr, std::memory_order_release);
    return true;
  }
  return false;
}

}  // namespace

// NOLINTBEGIN(misc-new-delete-overloads): the other forms of the C++ library call these.
void* operator new(size_t size_bytes) {
  if (size_bytes >= kLargeBytes && size_bytes <= SIZE_MAX - kPageBytes) {
    if (void* const block = MapLarge(size_bytes)) return block;
  }
  if (void* const block = std::malloc(size_bytes == 0 ? 1 : size_bytes)) return block;
  throw std::bad_alloc();
}

void operator delete(void* block) noexcept {
  if (!UnmapLarge(block)) std::free(block);
}
void operator delete(void* block, size_t /*size_bytes*/) noexcept { ::operator delete(block); }
// NOLINTEND(misc-new-delete-overloads)

#endif  // STILLFRAME_LARGE_BLOCKS
