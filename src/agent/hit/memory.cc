// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded loops; errno untouched (raw system calls); general registers only.
#include "agent/hit/memory.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "agent/hit/arch.h"
#include "agent/hit/bytes.h"
#include "agent/hit/process_state.h"
#include "agent/hit/thread_state.h"
#include "agent/ring/hit_path.h"

namespace stillframe::hit {

constinit ProcessState g_process;
thread_local constinit ThreadState t_thread{};

SF_HIT_PATH_BEGIN
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kRedZoneBytes = 128;

uint64_t AsArgument(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

// The descriptor is still the one we opened: the host may have closed it and got the number again.
__attribute__((noinline)) bool MemoryFileIsOurs(int fd) {
  struct stat found;
  if (stillframe_syscall(SYS_fstat, static_cast<uint64_t>(fd), AsArgument(&found), 0, 0, 0, 0) !=
      0) {
    return false;
  }
  return found.st_dev == g_process.memory_device.load(std::memory_order_relaxed) &&
         found.st_ino == g_process.memory_inode.load(std::memory_order_relaxed);
}

// A sandbox can close in while the process runs.
void DegradeReadMethod() {
  const bool has_file = g_process.memory_fd.load(std::memory_order_relaxed) >= 0;
  const ReadMethod was = g_process.read_method.load(std::memory_order_relaxed);
  const bool to_file = was == ReadMethod::kProcessVmReadv && has_file;
  g_process.read_method.store(to_file ? ReadMethod::kProcSelfMem : ReadMethod::kNone,
                              std::memory_order_relaxed);
}

int64_t VmRead(const IoVec* local, const IoVec* remote, uint32_t count) {
  const int64_t got =
      stillframe_syscall(SYS_process_vm_readv, g_process.pid.load(std::memory_order_relaxed),
                         AsArgument(local), count, AsArgument(remote), count, 0);
  if (got == -ENOSYS || got == -EPERM || got == -EACCES || got == -ESRCH) DegradeReadMethod();
  return got < 0 ? 0 : got;
}

// Not inlined: its buffer would cost every caller its stack.
__attribute__((noinline)) uint32_t FileRead(uint64_t address, void* out, uint32_t size_bytes) {
  const int fd = g_process.memory_fd.load(std::memory_order_relaxed);
  if (fd < 0 || !MemoryFileIsOurs(fd)) return 0;
  const int64_t got = stillframe_syscall(SYS_pread64, static_cast<uint64_t>(fd), AsArgument(out),
                                         size_bytes, address, 0, 0);
  return got < 0 ? 0 : static_cast<uint32_t>(got);
}

// ---- page filter ----

// About half a second at 2 GHz; a proof holds for the current and the one before.
SF_HIT_INLINE uint64_t CoarseTime(uint64_t ticks) { return (ticks >> 30) & 0xfff; }

SF_HIT_INLINE std::atomic<uint64_t>& FilterEntry(uint64_t address) {
  return g_process.page_filter[(address / kPageBytes) % kFilterEntries];
}

SF_HIT_INLINE bool IsProven(uint64_t address, uint64_t now) {
  const uint64_t page = address & ~(kPageBytes - 1);
  const uint64_t entry = FilterEntry(address).load(std::memory_order_relaxed);
  return (entry & ~uint64_t{0xfff}) == page && page != 0 &&
         ((CoarseTime(now) - (entry & 0xfff)) & 0xfff) <= 1;
}

SF_HIT_INLINE void SetProven(uint64_t address, uint64_t now) {
  FilterEntry(address).store((address & ~(kPageBytes - 1)) | CoarseTime(now),
                             std::memory_order_relaxed);
}

// ---- guard ----

// As the kernel defines it, not as the C library does.
struct KernelSigaction {
  uint64_t handler;
  uint64_t flags;
  uint64_t restorer;
  uint64_t mask;
};

__attribute__((noinline)) bool HandlerIsOurs(uint64_t signal_number) {
  KernelSigaction action;
  return stillframe_syscall(SYS_rt_sigaction, signal_number, 0, AsArgument(&action), 8, 0, 0) ==
             0 &&
         action.handler == g_process.guard_handler.load(std::memory_order_relaxed);
}

__attribute__((noinline)) bool AskWhetherGuardIsUsable() {
  uint64_t mask = ~uint64_t{0};
  constexpr uint64_t kNeeded = uint64_t{1} << (SIGSEGV - 1) | uint64_t{1} << (SIGBUS - 1);
  if (stillframe_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, AsArgument(&mask), 8, 0, 0) != 0) {
    return false;
  }
  return (mask & kNeeded) == 0 && HandlerIsOurs(SIGSEGV) && HandlerIsOurs(SIGBUS);
}

SF_HIT_INLINE bool GuardIsUsable(uint64_t now) {
  ThreadState& thread = t_thread;
  if (now >= thread.guard_checked_until) {
    thread.guard_usable = AskWhetherGuardIsUsable() ? 1 : 0;
    thread.guard_checked_until =
        now + g_process.ticks_per_second.load(std::memory_order_relaxed) / 1000;
  }
  return thread.guard_usable != 0;
}

}  // namespace

uint32_t ReadSome(uint64_t address, void* out, uint32_t size_bytes) {
  if (g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcessVmReadv) {
    const IoVec local{AsArgument(out), size_bytes};
    const IoVec remote{address, size_bytes};
    const int64_t got = VmRead(&local, &remote, 1);
    if (got > 0) return static_cast<uint32_t>(got);
  }
  if (g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcSelfMem) {
    return FileRead(address, out, size_bytes);
  }
  return 0;
}

void ReadBatch(ReadRequest* requests, uint32_t count, IoVec* iovecs) {
  if (count > kMaxBatch) count = kMaxBatch;
  for (uint32_t i = 0; i < count; ++i) {
    requests[i].done_bytes = 0;
    iovecs[i] = {AsArgument(requests[i].out), requests[i].size_bytes};
    iovecs[kMaxBatch + i] = {requests[i].address, requests[i].size_bytes};
  }
  uint32_t next = 0;
  while (next < count &&
         g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcessVmReadv) {
    auto got =
        static_cast<uint64_t>(VmRead(iovecs + next, iovecs + kMaxBatch + next, count - next));
    // The call stops at the first page that it cannot read.
    while (next < count && got >= requests[next].size_bytes) {
      requests[next].done_bytes = requests[next].size_bytes;
      got -= requests[next].size_bytes;
      ++next;
    }
    if (next < count) requests[next++].done_bytes = static_cast<uint32_t>(got);
  }
  if (g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcessVmReadv) return;
  for (uint32_t i = 0; i < count; ++i) {
    if (requests[i].done_bytes != 0) continue;
    requests[i].done_bytes = ReadSome(requests[i].address, requests[i].out, requests[i].size_bytes);
  }
}

bool FastReader::ReadThunk(void* self, uint64_t address, void* out, uint32_t size_bytes) {
  return static_cast<FastReader*>(self)->Read(address, out, size_bytes);
}

bool FastReader::Read(uint64_t address, void* out, uint32_t size_bytes) {
  const uint64_t page_end = (stack_pointer_ & ~(kPageBytes - 1)) + kPageBytes;
  const uint64_t lowest = stack_pointer_ - kRedZoneBytes;
  if (address < lowest || address >= page_end || size_bytes > page_end - address) {
    return ReadElsewhere(address, out, size_bytes);
  }
  if (size_bytes == 8) {
    static_cast<Unaligned64*>(out)->value = Load64(reinterpret_cast<const void*>(address));
  } else if (size_bytes == 4) {
    static_cast<Unaligned32*>(out)->value = Load32(reinterpret_cast<const void*>(address));
  } else {
    CopyBytes(out, reinterpret_cast<const void*>(address), size_bytes);
  }
  return true;
}

bool FastReader::ReadElsewhere(uint64_t address, void* out, uint32_t size_bytes) {
  if (size_bytes == 0) return true;
  const uint64_t last = address + size_bytes - 1;
  // At most two pages, so that the two ends stand for the whole.
  if (last < address || size_bytes > kPageBytes ||
      g_process.guard_installed.load(std::memory_order_relaxed) == 0) {
    return ReadSome(address, out, size_bytes) == size_bytes;
  }
  if (now_ == 0) now_ = stillframe_read_ticks();
  const bool guard = GuardIsUsable(now_);
  if (guard && IsProven(address, now_) && IsProven(last, now_)) {
    if (stillframe_guarded_copy(out, address, size_bytes) != 0) return true;
    FilterEntry(address).store(0, std::memory_order_relaxed);
    FilterEntry(last).store(0, std::memory_order_relaxed);
    return false;
  }
  if (ReadSome(address, out, size_bytes) != size_bytes) return false;
  if (guard) {
    SetProven(address, now_);
    SetProven(last, now_);
  }
  return true;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
