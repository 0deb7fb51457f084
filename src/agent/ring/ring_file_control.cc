#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "agent/ring/ring_file.h"
#include "agent/ring/ring_state.h"
#include "base/checksum.h"

namespace stillframe::ring {
namespace {

constexpr size_t kPageBytes = 4096;

// A page that reads as zeros in every forked child (fork(2), clone(2) without CLONE_VM), whether or
// not it runs fork handlers.
Result<const std::atomic<uint32_t>*> MakeForkGuard() {
  void* const page =
      mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return ErrnoStatus("mapping the guard against forks", errno);
  if (madvise(page, kPageBytes, MADV_WIPEONFORK) != 0) {
    const int error = errno;
    munmap(page, kPageBytes);
    return ErrnoStatus("the guard against forks", error);
  }
  auto* const guard = static_cast<std::atomic<uint32_t>*>(page);
  guard->store(1, std::memory_order_relaxed);
  return guard;
}

}  // namespace

uint32_t HeaderChecksum(const RingFileHeader& header) {
  return Crc32c(&header, offsetof(RingFileHeader, checksum));
}

uint32_t MirrorChecksum(const RingMirror& mirror) {
  const uint32_t fixed = Crc32c(&mirror, offsetof(RingMirror, checksum));
  return Crc32c(mirror.probes, mirror.probe_count * sizeof(RingMirror::Counts), fixed);
}

Result<uint8_t*> MapRingFile(int fd, RingFileHeader header) {
  if (const int error = posix_fallocate(fd, 0, static_cast<off_t>(kRingFileBytes)); error != 0) {
    return ErrnoStatus("reserving " + std::to_string(kRingFileBytes) + " bytes", error);
  }
  void* const map = mmap(nullptr, kRingFileBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return ErrnoStatus("mapping the ring's file", errno);
  madvise(map, kRingFileBytes, MADV_NOHUGEPAGE);
  std::memcpy(header.magic, kRingFileMagic, sizeof header.magic);
  header.version = kRingFileVersion;
  header.slot_count = kSlotCount;
  header.slot_bytes = kSlotBytes;
  header.stream_count = kFileStreams;
  header.stream_bytes = kStreamBytes;
  header.stream_stride = kStreamStride;
  header.size_bytes = kRingFileBytes;
  header.pad = 0;
  header.checksum = HeaderChecksum(header);
  std::memcpy(map, &header, sizeof header);
  return static_cast<uint8_t*>(map);
}

Status UseRingFile(uint8_t* file) {
  SF_ASSIGN_OR_RETURN(const std::atomic<uint32_t>* guard, MakeForkGuard());
  g_ring.fork_guard.store(guard, std::memory_order_relaxed);
  g_ring.file.store(file, std::memory_order_release);
  return {};
}

uint8_t* RingFile() { return g_ring.file.load(std::memory_order_acquire); }

}  // namespace stillframe::ring
