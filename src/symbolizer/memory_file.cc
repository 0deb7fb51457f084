#include "symbolizer/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace stillframe {

Result<UniqueFd> MakeMemoryFile(const char* name) {
  constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL of Linux 6.3, which a system may insist on
  UniqueFd file(memfd_create(name, MFD_CLOEXEC | kNoExecSeal));
  if (!file.valid() && errno == EINVAL) file.Reset(memfd_create(name, MFD_CLOEXEC));
  if (!file.valid()) return ErrnoStatus("memfd_create", errno);
  return file;
}

Result<UniqueFd> MakeMemoryFile(const char* name, ByteSpan bytes) {
  SF_ASSIGN_OR_RETURN(UniqueFd file, MakeMemoryFile(name));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t count = write(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return ErrnoStatus("write to memory", errno);
    done += static_cast<size_t>(count);
  }
  return file;
}

}  // namespace stillframe
