// Bytes as a file without a name on any disk, for readers that want one.
#ifndef STILLFRAME_SYMBOLIZER_MEMORY_FILE_H_
#define STILLFRAME_SYMBOLIZER_MEMORY_FILE_H_

#include "base/status.h"
#include "base/unique_fd.h"
#include "symbolizer/byte_reader.h"

namespace stillframe {

// Empty. `name` shows in /proc/PID/fd and maps.
Result<UniqueFd> MakeMemoryFile(const char* name);
Result<UniqueFd> MakeMemoryFile(const char* name, ByteSpan bytes);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_MEMORY_FILE_H_
