// Changes a few bytes of live text while other threads run it. Agent thread only.
//
// Guarantees: what is there is compared first, and a difference is refused; another thread sees the
// old instruction or the new one, never a mixture; text keeps its execute permission throughout;
// a failed step leaves the old bytes.
#ifndef STILLFRAME_AGENT_PROBE_TEXT_WRITER_H_
#define STILLFRAME_AGENT_PROBE_TEXT_WRITER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/probe/replace_batch.h"
#include "agent/probe/text_system.h"
#include "base/status.h"

namespace stillframe::probe {

// What this process lets us do with text, found on a scratch page.
struct TextAbilities {
  bool write_bytes = false;  // single bytes through /proc/self/mem
  bool store_words = false;  // aligned words through a transient writable mapping
  bool core_sync = false;    // membarrier
  std::string reasons;       // why some are missing; "" when none is
};

class TextWriter {
 public:
  // Runs the self-test. kNotPermitted with the reasons when neither way of writing works.
  static Result<std::unique_ptr<TextWriter>> Create(std::unique_ptr<TextSystem> system);

  const TextAbilities& abilities() const { return abilities_; }
  TextSystem& system() { return *system_; }

  // Is there a safe way for this change here? Reads nothing.
  Status CanReplace(const TextChange& change) const;
  // kProbeFailed: other bytes are there, or a step failed (rolled back). kModuleUnloaded: nothing
  // is mapped there. kNotPermitted: no safe way here.
  Status Replace(const TextChange& change);
  // All of them, with shared steps: pages are made writable once, and threads are synchronized once
  // a step and not once a change. No change may touch bytes that another of them expects. Each has
  // a result of its own, like Replace's. `sync`: when this returns, no thread runs what it fetched
  // before (where membarrier is allowed); else that may last as long as a core's pipeline does.
  std::vector<Status> ReplaceAll(std::span<const TextChange> changes, bool sync);
  // Fills memory that no thread runs yet; its protection is read and execute.
  Status WriteFresh(uint64_t address, std::span<const uint8_t> bytes);
  Status WriteFreshAll(std::span<const TextWrite> writes);

 private:
  struct Range {  // the bytes that differ, as addresses
    uint64_t first = 0;
    uint64_t end = 0;
  };

  explicit TextWriter(std::unique_ptr<TextSystem> system) : system_(std::move(system)) {}

  void SelfTest();
  Status TestBytes(uint64_t scratch);
  Status TestWords(uint64_t scratch);
  static Range Differing(const TextChange& change);
  Status Compare(const TextChange& change);
  Status Check(const TextChange& change);

  std::unique_ptr<TextSystem> system_;
  TextAbilities abilities_;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_TEXT_WRITER_H_
