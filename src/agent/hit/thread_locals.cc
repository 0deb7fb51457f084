// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; general registers only.
#include "agent/hit/thread_locals.h"

#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

// glibc's layouts (nptl/descr.h, sysdeps/generic/dl-dtv.h, ldsodefs.h): the thread control block
// holds the address of the DTV in its second word. An entry of the DTV has 16 bytes; the first word
// of entry n is the block's address or -1, that of entry 0 the generation of modules that the
// thread knows, that of entry -1 the number of entries.
constexpr uint64_t kEntryBytes = 16;
constexpr uint64_t kUnallocated = ~uint64_t{0};

// The loader's list of modules: pieces of `count` slots each.
struct ModuleList {
  uint64_t count;
  uint64_t next;
};
struct ModuleSlot {
  uint64_t generation;  // at which the module came
  uint64_t link_map;    // 0: it is gone
};
constexpr int kMaxPieces = 64;  // of 62 modules each

// kUnsupported: the list is not known here.
Code FindSlot(const FrameContext& frame, uint64_t module, const MemoryReader& memory,
              ModuleSlot& slot) {
  if (frame.tls_modules == nullptr || frame.tls_modules->list == 0) return Code::kUnsupported;
  uint64_t at = frame.tls_modules->list;
  for (int i = 0; i < kMaxPieces && at != 0; ++i) {
    ModuleList piece;
    if (!memory.read(memory.self, at, &piece, sizeof piece)) return Code::kUnreadable;
    if (module < piece.count) {
      const uint64_t place = at + sizeof piece + module * sizeof slot;
      return memory.read(memory.self, place, &slot, sizeof slot) ? Code::kOk : Code::kUnreadable;
    }
    module -= piece.count;
    at = piece.next;
  }
  return Code::kThreadLocalNotAllocated;
}

// Of a module whose blocks have one distance from the thread pointer in all threads: true. The DTV
// may lack such a block: the loader enters it when __tls_get_addr asks.
bool HasFixedBlock(const FrameContext& frame, const ModuleSlot& slot, const MemoryReader& memory,
                   uint64_t& block) {
  uint64_t distance = 0;
  if (!memory.read(memory.self, slot.link_map + frame.tls_modules->offset_at, &distance, 8)) {
    return false;
  }
  block = frame.thread_pointer - distance;
  return distance != 0 && distance != kUnallocated;  // not decided yet, and decided against
}

}  // namespace

__attribute__((noinline)) Code ThreadLocalBlock(const FrameContext& frame, uint64_t module,
                                                const MemoryReader& memory, uint64_t& block) {
  if (module == 0 || frame.thread_pointer == 0) return Code::kUnsupportedLocation;
  ModuleSlot slot;
  slot.generation = 0;
  const Code found = FindSlot(frame, module, memory, slot);
  if (found == Code::kOk) {
    if (slot.link_map == 0) return Code::kThreadLocalNotAllocated;
    if (HasFixedBlock(frame, slot, memory, block)) return Code::kOk;
  } else if (found != Code::kUnsupported) {
    return found;
  }
  uint64_t dtv = 0;
  uint64_t count = 0;
  uint64_t known = 0;
  if (!memory.read(memory.self, frame.thread_pointer + 8, &dtv, 8) ||
      !memory.read(memory.self, dtv - kEntryBytes, &count, 8) ||
      !memory.read(memory.self, dtv, &known, 8)) {
    return Code::kUnreadable;
  }
  // A thread that has not looked since the module came has what stood there before.
  if (module > count || slot.generation > known) return Code::kThreadLocalNotAllocated;
  if (!memory.read(memory.self, dtv + kEntryBytes * module, &block, 8)) return Code::kUnreadable;
  return block == 0 || block == kUnallocated ? Code::kThreadLocalNotAllocated : Code::kOk;
}

__attribute__((noinline)) Code ThreadLocalAt(const FrameContext& frame, uint64_t offset,
                                             uint64_t& address) {
  if (frame.thread_pointer == 0) return Code::kUnsupportedLocation;
  if (static_cast<int64_t>(offset) >= 0) return Code::kThreadLocalNotAllocated;
  address = frame.thread_pointer + offset;
  return Code::kOk;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
