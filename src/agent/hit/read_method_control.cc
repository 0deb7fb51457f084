#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/hit/hit.h"
#include "agent/hit/memory.h"
#include "agent/hit/process_state.h"
#include "agent/hit/read_method.h"
#include "base/unique_fd.h"

namespace stillframe::hit {
namespace {

// Two pages, the second unreadable.
class TestPages {
 public:
  TestPages() : page_bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    map_ =
        mmap(nullptr, 2 * page_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) return;
    std::memset(map_, 0x5a, page_bytes_);
    usable_ = mprotect(static_cast<uint8_t*>(map_) + page_bytes_, page_bytes_, PROT_NONE) == 0;
  }
  TestPages(const TestPages&) = delete;
  TestPages& operator=(const TestPages&) = delete;
  ~TestPages() {
    if (map_ != MAP_FAILED) munmap(map_, 2 * page_bytes_);
  }
  bool usable() const { return usable_; }
  uint64_t end() const { return reinterpret_cast<uint64_t>(map_) + page_bytes_; }

 private:
  size_t page_bytes_;
  void* map_ = MAP_FAILED;
  bool usable_ = false;
};

// Reads what is readable and refuses what is not mapped. process_vm_readv stops at memory that may
// not be read, too; /proc/self/mem looks through protections, which does no harm here.
bool Works(ReadMethod method, const TestPages& pages) {
  g_process.read_method.store(method, std::memory_order_relaxed);
  uint8_t bytes[64];
  std::memset(bytes, 0, sizeof bytes);
  const bool sees_protection = method == ReadMethod::kProcessVmReadv;
  const uint32_t got = ReadSome(pages.end() - 32, bytes, sizeof bytes);
  if (got < 32 || (sees_protection && got > 32)) return false;
  std::memset(bytes, 0, sizeof bytes);
  if (ReadSome(pages.end() - 32, bytes, 32) != 32) return false;
  for (int i = 0; i < 32; ++i) {
    if (bytes[i] != 0x5a) return false;
  }
  if (sees_protection && ReadSome(pages.end(), bytes, 8) != 0) return false;
  return ReadSome(8, bytes, 8) == 0;
}

// Kept open for the life of the process; checked before each use (memory.cc).
bool OpenMemoryFile() {
  if (g_process.memory_fd.load(std::memory_order_relaxed) >= 0) return true;
  UniqueFd fd(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  struct stat found;
  if (!fd.valid() || fstat(fd.get(), &found) != 0) return false;
  g_process.memory_device.store(found.st_dev, std::memory_order_relaxed);
  g_process.memory_inode.store(found.st_ino, std::memory_order_relaxed);
  g_process.memory_fd.store(fd.Release(), std::memory_order_relaxed);
  return true;
}

}  // namespace

Status ChooseReadMethod() {
  if (g_process.read_method.load(std::memory_order_relaxed) != ReadMethod::kNone) return {};
  g_process.pid.store(static_cast<uint32_t>(getpid()), std::memory_order_relaxed);
  const TestPages pages;
  if (!pages.usable()) return ErrnoStatus("mapping pages to test reads", errno);
  if (Works(ReadMethod::kProcessVmReadv, pages)) return {};
  if (OpenMemoryFile() && Works(ReadMethod::kProcSelfMem, pages)) return {};
  g_process.read_method.store(ReadMethod::kNone, std::memory_order_relaxed);
  return {};
}

ReadMethod read_method() { return g_process.read_method.load(std::memory_order_relaxed); }

const char* ReadMethodName(ReadMethod method) {
  switch (method) {
    case ReadMethod::kProcessVmReadv:
      return "process_vm_readv";
    case ReadMethod::kProcSelfMem:
      return "/proc/self/mem";
    case ReadMethod::kNone:
      return "none";
  }
  return "none";
}

}  // namespace stillframe::hit
