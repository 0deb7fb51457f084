// The operating-system services that patching needs, behind one interface so that tests can fail
// each of them in turn. Agent thread only.
#ifndef STILLFRAME_AGENT_PROBE_TEXT_SYSTEM_H_
#define STILLFRAME_AGENT_PROBE_TEXT_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"

namespace stillframe::probe {

struct TextWrite {
  uint64_t address = 0;
  std::span<const uint8_t> bytes;
};

class TextSystem {
 public:
  virtual ~TextSystem() = default;

  // Copies memory of this process without faulting. kModuleUnloaded when it is not mapped.
  virtual Status Read(uint64_t address, std::span<uint8_t> out) = 0;
  // Writes memory whatever its protection, a private page being copied first. Only single bytes
  // are seen at once by other threads; longer writes may tear.
  virtual Status WriteThrough(uint64_t address, std::span<const uint8_t> bytes) = 0;
  // WriteThrough of each; `results` is as long as `writes`.
  virtual void WriteThroughAll(std::span<const TextWrite> writes, std::span<Status> results) {
    for (size_t i = 0; i < writes.size(); ++i) {
      results[i] = WriteThrough(writes[i].address, writes[i].bytes);
    }
  }
  // Protection of whole pages, PROT_* as mprotect(2) has them.
  virtual Status Protect(uint64_t start, uint64_t size_bytes, int protection) = 0;
  // These two are called while a guard stands, maybe in the C library: they call nothing outside of
  // the agent and allocate nothing.
  // 0: no thread of the process runs instructions any more that it fetched before. Else an errno.
  virtual int CoreSync() = 0;
  // One store of an aligned word that must hold `expected`; false when it does not, and `expected`
  // becomes what it holds. The page must be writable.
  virtual bool CompareExchange(uint64_t address, uint64_t& expected, uint64_t desired) = 0;
};

// Linux: process_vm_readv and /proc/self/mem, opened for each use (a host that closes descriptors
// it does not know, or forks, would otherwise make us write into something else), mprotect(2),
// membarrier(2), which is registered here.
std::unique_ptr<TextSystem> MakeLinuxTextSystem();

// Opens /proc/self/mem now and keeps it: a process that gives up its rights later (setuid) may not
// open it any more. Only for a thread whose table of descriptors is its own; others open it anew
// for every use. Agent thread, before any probe.
void KeepMemoryFile();

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_TEXT_SYSTEM_H_
