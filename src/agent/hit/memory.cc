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
constexpr uint64_t kNearBytes = uint64_t{1} << 30;  // of what is mapped, new memory is mapped there

uint64_t AsArgument(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

// The descriptor is still the one we opened: the host may have closed it and got the number again.
__attribute__((noinline)) bool MemoryFileIsOurs() {
  struct stat& found = t_thread.memory_file;
  const int fd = g_process.memory_fd.load(std::memory_order_relaxed);
  if (fd < 0 || stillframe_syscall(SYS_fstat, static_cast<uint64_t>(fd), AsArgument(&found), 0, 0,
                                   0, 0) != 0) {
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

// The number is asked for twice, so that it need not be kept on the stack meanwhile.
__attribute__((noinline)) uint32_t FileRead(uint64_t address, void* out, uint32_t size_bytes) {
  if (!MemoryFileIsOurs()) return 0;
  const int fd = g_process.memory_fd.load(std::memory_order_relaxed);
  const int64_t got = stillframe_syscall(SYS_pread64, static_cast<uint64_t>(fd), AsArgument(out),
                                         size_bytes, address, 0, 0);
  return got < 0 ? 0 : static_cast<uint32_t>(got);
}

// One range, by way of the thread's own vectors.
__attribute__((noinline)) uint32_t ReadBySystemCall(uint64_t address, void* out,
                                                    uint32_t size_bytes) {
  if (g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcessVmReadv) {
    IoVec* const iovecs = t_thread.iovecs;
    iovecs[0] = {AsArgument(out), size_bytes};
    iovecs[1] = {address, size_bytes};
    const int64_t got = VmRead(iovecs, iovecs + 1, 1);
    if (got > 0) return static_cast<uint32_t>(got);
  }
  if (g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcSelfMem) {
    return FileRead(address, out, size_bytes);
  }
  return 0;
}

__attribute__((noinline)) bool ReadWhole(uint64_t address, void* out, uint32_t size_bytes) {
  return ReadBySystemCall(address, out, size_bytes) == size_bytes;
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

__attribute__((noinline)) bool AskWhetherSignalsAreOpen() {
  uint64_t& mask = t_thread.signal_mask;
  mask = ~uint64_t{0};
  constexpr uint64_t kNeeded = uint64_t{1} << (SIGSEGV - 1) | uint64_t{1} << (SIGBUS - 1);
  return stillframe_syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, AsArgument(&mask), 8, 0, 0) == 0 &&
         (mask & kNeeded) == 0;
}

// No address of user space, so no range that begins there holds one.
constexpr uint64_t kNowhere = uint64_t{1} << 63;

__attribute__((noinline)) void BeginTurn(ThreadState& thread, uint32_t turn) {
  thread.fast_turn = 0;
  thread.range_limit[0] = thread.range_limit[1] = 0;
  thread.range_start[0] = thread.range_start[1] = kNowhere;
  thread.guard_turn = turn;
  if (turn != 0 && AskWhetherSignalsAreOpen()) thread.fast_turn = turn;
}

SF_HIT_INLINE void FollowGuardTurn() {
  // 0: not installed. The agent thread counts it up at each of its turns.
  const uint32_t turn = g_process.guard_turn.load(std::memory_order_acquire);
  ThreadState& thread = t_thread;
  if (turn != thread.guard_turn) BeginTurn(thread, turn);
}

SF_HIT_INLINE bool GuardIsUsable() {
  FollowGuardTurn();
  return t_thread.fast_turn != 0;
}

// ---- ranges ----

// The first range that ends above the address; the table's count when none does.
SF_HIT_INLINE uint32_t SearchRanges(const ReadableRanges* table, uint64_t address) {
  uint32_t low = 0, high = table->count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (table->ranges[middle].end <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Makes it range 0 of the thread.
__attribute__((noinline)) bool FindRange(uint64_t address) {
  ThreadState& thread = t_thread;
  const ReadableRanges* const table = g_process.ranges.load(std::memory_order_acquire);
  if (table == nullptr) return false;
  const uint32_t found = SearchRanges(table, address);
  if (found == table->count || table->ranges[found].start > address) {
    g_process.range_misses.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  // Probe code in a signal handler may read any of these between two of the stores: a limit of 0
  // lets it read the first 8 bytes of a start, which both hold.
  const ReadableRange& range = table->ranges[found];
  thread.range_limit[1] = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.range_start[1] = thread.range_start[0];
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.range_limit[1] = thread.range_limit[0];
  thread.range_limit[0] = 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.range_start[0] = range.start;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.range_limit[0] = range.end - range.start - 8;
  return true;
}

constexpr uint32_t kNoRange = 2;

// Index of the thread's range that holds the address: mostly that of its last reads.
SF_HIT_INLINE uint32_t SelectRange(uint64_t address) {
  const ThreadState& thread = t_thread;
  if (address - thread.range_start[0] < thread.range_limit[0] + 8) return 0;
  if (address - thread.range_start[1] < thread.range_limit[1] + 8) return 1;
  return FindRange(address) ? 0 : kNoRange;
}

SF_HIT_INLINE uint64_t LeftInRange(uint32_t range, uint64_t address) {
  const ThreadState& thread = t_thread;
  return thread.range_limit[range] + 8 - (address - thread.range_start[range]);
}

SF_HIT_INLINE bool InRange(uint64_t address, uint64_t size_bytes) {
  const uint32_t range = SelectRange(address);
  return range != kNoRange && size_bytes <= LeftInRange(range, address);
}

SF_HIT_INLINE bool GuardedRead(uint64_t address, void* out, uint32_t size_bytes) {
  return GuardIsUsable() && InRange(address, size_bytes) &&
         stillframe_guarded_copy(out, address, size_bytes) != 0;
}

int64_t ReadRemaining(ReadRequest* requests, const uint8_t* order, uint32_t count, IoVec* iovecs) {
  for (uint32_t i = 0; i < count; ++i) {
    const ReadRequest& request = requests[order[i]];
    iovecs[i] = {AsArgument(request.out), request.size_bytes};
    iovecs[kMaxBatch + i] = {request.address, request.size_bytes};
  }
  return VmRead(iovecs, iovecs + kMaxBatch, count);
}

}  // namespace

uint32_t ClipToRange(uint64_t address, uint32_t size_bytes) {
  if (!GuardIsUsable()) return size_bytes;
  const uint32_t range = SelectRange(address);
  if (range == kNoRange) return size_bytes;
  const uint64_t left = LeftInRange(range, address);
  return left < size_bytes ? static_cast<uint32_t>(left) : size_bytes;
}

uint32_t LikelyReadable(uint64_t address, uint32_t size_bytes, bool& is_known) {
  is_known = false;
  const ReadableRanges* const table = g_process.ranges.load(std::memory_order_acquire);
  if (table == nullptr) return 0;
  const uint32_t above = SearchRanges(table, address);
  if (above == table->count || table->ranges[above].start > address) {
    const bool near_below = above != 0 && address - table->ranges[above - 1].end < kNearBytes;
    const bool near_above =
        above != table->count && table->ranges[above].start - address < kNearBytes;
    return near_below || near_above ? size_bytes : 0;
  }
  is_known = true;
  const uint64_t left = table->ranges[above].end - address;
  return left < size_bytes ? static_cast<uint32_t>(left) : size_bytes;
}

uint32_t ReadSome(uint64_t address, void* out, uint32_t size_bytes) {
  if (GuardedRead(address, out, size_bytes)) return size_bytes;
  return ReadBySystemCall(address, out, size_bytes);
}

void ReadBatch(ReadRequest* requests, uint32_t count, IoVec* iovecs) {
  if (count > kMaxBatch) count = kMaxBatch;
  uint8_t order[kMaxBatch];
  uint32_t left = 0;
  for (uint32_t i = 0; i < count; ++i) {
    ReadRequest& request = requests[i];
    request.done_bytes =
        GuardedRead(request.address, request.out, request.size_bytes) ? request.size_bytes : 0;
    if (request.done_bytes == 0) order[left++] = static_cast<uint8_t>(i);
  }
  uint32_t next = 0;
  while (next < left &&
         g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcessVmReadv) {
    auto got = static_cast<uint64_t>(ReadRemaining(requests, order + next, left - next, iovecs));
    // The call stops at the first page that it cannot read.
    while (next < left && got >= requests[order[next]].size_bytes) {
      requests[order[next]].done_bytes = requests[order[next]].size_bytes;
      got -= requests[order[next]].size_bytes;
      ++next;
    }
    if (next < left) requests[order[next++]].done_bytes = static_cast<uint32_t>(got);
  }
  if (g_process.read_method.load(std::memory_order_relaxed) == ReadMethod::kProcessVmReadv) return;
  for (uint32_t i = 0; i < left; ++i) {
    ReadRequest& request = requests[order[i]];
    if (request.done_bytes != 0) continue;
    request.done_bytes = ReadBySystemCall(request.address, request.out, request.size_bytes);
  }
}

void FastReader::Start(uint64_t stack_pointer) {
  stack_pointer_ = stack_pointer;
  now_ = 0;
  FollowGuardTurn();
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

// Each of these ends in a call, or has little to keep during one: this is where the stack of a
// declined hit is deepest.
bool FastReader::ReadElsewhere(uint64_t address, void* out, uint32_t size_bytes) {
  if (size_bytes == 0) return true;
  // As at the hit's start: guarded reads do not end before the hit does.
  const ThreadState& thread = t_thread;
  if (thread.fast_turn == 0) return ReadWhole(address, out, size_bytes);
  const bool is_near = address - thread.range_start[0] < thread.range_limit[0] + 8 ||
                       address - thread.range_start[1] < thread.range_limit[1] + 8;
  if (is_near || FindRange(address)) return ReadRange(address, out, size_bytes);
  return ReadProven(address, out, size_bytes);
}

// In a range of the thread's.
bool FastReader::ReadRange(uint64_t address, void* out, uint32_t size_bytes) {
  if (!InRange(address, size_bytes)) return ReadProven(address, out, size_bytes);
  if (stillframe_guarded_copy(out, address, size_bytes) != 0) return true;
  return ReadWhole(address, out, size_bytes);
}

bool FastReader::ReadProven(uint64_t address, void* out, uint32_t size_bytes) {
  const uint64_t last = address + size_bytes - 1;
  // At most two pages, so that the two ends stand for the whole.
  if (last < address || size_bytes > kPageBytes) return ReadWhole(address, out, size_bytes);
  if (now_ == 0) now_ = stillframe_read_ticks();
  t_thread.proof[0] = address;
  t_thread.proof[1] = last;
  if (!IsProven(address, now_) || !IsProven(last, now_)) return Prove(address, out, size_bytes);
  if (stillframe_guarded_copy(out, address, size_bytes) != 0) return true;
  FilterEntry(t_thread.proof[0]).store(0, std::memory_order_relaxed);
  FilterEntry(t_thread.proof[1]).store(0, std::memory_order_relaxed);
  return false;
}

bool FastReader::Prove(uint64_t address, void* out, uint32_t size_bytes) {
  if (!ReadWhole(address, out, size_bytes)) return false;
  SetProven(t_thread.proof[0], now_);
  SetProven(t_thread.proof[1], now_);
  return true;
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
