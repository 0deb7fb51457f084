// Offline: which method a site would get, from the file alone. For doctor.
#ifndef STILLFRAME_AGENT_PROBE_SITE_CLASSIFIER_H_
#define STILLFRAME_AGENT_PROBE_SITE_CLASSIFIER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "agent/probe/probe_installer.h"
#include "base/address.h"
#include "base/status.h"

namespace stillframe::probe {

// How Linux loads the file.
enum class LoadKind : uint8_t {
  kFixed,       // ET_EXEC: at its own addresses
  kExecutable,  // position-independent program: low in the mmap area, the heap behind it
  kLibrary,     // among other libraries, high in the mmap area
};

struct Classification {
  Method method = Method::kNone;
  bool moves_next = false;  // the instruction behind it is diverted as well, to make room
  uint8_t instruction_bytes = 0;
};

// Assumes a quiet address space: everything but the module, its heap and the stack is free. Each
// site is looked at alone, as if no other were armed.
class SiteClassifier {
 public:
  // [module_start, module_end) spans the file's segments.
  SiteClassifier(LoadKind kind, LinkAddress module_start, LinkAddress module_end);
  ~SiteClassifier();
  SiteClassifier(const SiteClassifier&) = delete;
  SiteClassifier& operator=(const SiteClassifier&) = delete;

  // `text` starts at `text_address`. kUnsafeSite with a reason when there is no way.
  Result<Classification> Classify(std::span<const uint8_t> text, LinkAddress text_address,
                                  LinkAddress site) const;

 private:
  class Space;
  std::unique_ptr<Space> space_;
  uint64_t bias_;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_AGENT_PROBE_SITE_CLASSIFIER_H_
