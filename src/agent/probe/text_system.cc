#include "agent/probe/text_system.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "agent/hit/arch.h"
#include "base/unique_fd.h"

namespace stillframe::probe {
namespace {

Status MemoryError(const char* what, int error_number) {
  const bool unmapped = error_number == EFAULT || error_number == EIO;
  return Status(unmapped ? Code::kModuleUnloaded : Code::kNotPermitted,
                ErrnoStatus(what, error_number).message());
}

int g_kept_memory_file = -1;  // agent thread

// The kept one, or one for the life of this object.
class MemoryFile {
 public:
  explicit MemoryFile(int flags)
      : own_(g_kept_memory_file >= 0 ? -1 : open("/proc/self/mem", flags | O_CLOEXEC)) {}
  bool valid() const { return get() >= 0; }
  int get() const { return g_kept_memory_file >= 0 ? g_kept_memory_file : own_.get(); }

 private:
  UniqueFd own_;
};

class LinuxTextSystem final : public TextSystem {
 public:
  LinuxTextSystem() {
    const long result =
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
    sync_error_ = result == 0 ? 0 : errno;
  }

  Status Read(uint64_t address, std::span<uint8_t> out) override {
    iovec local{out.data(), out.size()};
    iovec remote{reinterpret_cast<void*>(address), out.size()};
    const ssize_t count = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (count == static_cast<ssize_t>(out.size())) return Status();
    // A short count is a hole; sandboxes forbid the call with EPERM, ENOSYS or EACCES.
    if (count >= 0 || errno == EFAULT) return MemoryError("read text", EFAULT);
    return ReadThroughFile(address, out);
  }

  Status WriteThrough(uint64_t address, std::span<const uint8_t> bytes) override {
    Status status;
    const TextWrite write{address, bytes};
    WriteThroughAll({&write, 1}, {&status, 1});
    return status;
  }

  void WriteThroughAll(std::span<const TextWrite> writes, std::span<Status> results) override {
    const MemoryFile file(O_RDWR);
    const int open_error = errno;
    for (size_t i = 0; i < writes.size(); ++i) {
      if (!file.valid()) {
        results[i] = MemoryError("open /proc/self/mem", open_error);
        continue;
      }
      const auto [address, bytes] = writes[i];
      const ssize_t count =
          pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(address));
      const bool whole = count == static_cast<ssize_t>(bytes.size());
      results[i] = whole ? Status() : MemoryError("write /proc/self/mem", count < 0 ? errno : EIO);
    }
  }

  Status Protect(uint64_t start, uint64_t size_bytes, int protection) override {
    if (mprotect(reinterpret_cast<void*>(start), size_bytes, protection) == 0) return Status();
    const Code code = errno == ENOMEM ? Code::kModuleUnloaded : Code::kNotPermitted;
    return Status(code, ErrnoStatus("mprotect of text", errno).message());
  }

  // Not libc's syscall(): the guard may stand in it.
  int CoreSync() override {
    if (sync_error_ != 0) return sync_error_;
    return -static_cast<int>(stillframe_syscall(
        SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 0, 0, 0));
  }

  bool CompareExchange(uint64_t address, uint64_t& expected, uint64_t desired) override {
    std::atomic_ref<uint64_t> word(*reinterpret_cast<uint64_t*>(address));
    return word.compare_exchange_strong(expected, desired, std::memory_order_seq_cst);
  }

 private:
  static Status ReadThroughFile(uint64_t address, std::span<uint8_t> out) {
    const MemoryFile file(O_RDONLY);
    if (!file.valid()) return MemoryError("open /proc/self/mem", errno);
    const ssize_t count = pread(file.get(), out.data(), out.size(), static_cast<off_t>(address));
    if (count == static_cast<ssize_t>(out.size())) return Status();
    return MemoryError("read /proc/self/mem", count < 0 ? errno : EIO);
  }

  int sync_error_ = 0;
};

}  // namespace

void KeepMemoryFile() {
  if (g_kept_memory_file < 0) g_kept_memory_file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
}

std::unique_ptr<TextSystem> MakeLinuxTextSystem() { return std::make_unique<LinuxTextSystem>(); }

}  // namespace stillframe::probe
