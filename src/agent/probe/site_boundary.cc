#include "agent/probe/site_boundary.h"

#include <string>

#include "agent/probe/arch/arch.h"

namespace stillframe::probe {

Status CheckInstructionBoundary(std::span<const uint8_t> text, uint64_t text_address,
                                uint64_t site) {
  if (site < text_address || site - text_address >= text.size()) {
    return Status(Code::kInvalidArgument, "the site is not in the function's text");
  }
  const uint64_t wanted = site - text_address;
  if (wanted > kMaxBoundaryBytes) {
    return Status(Code::kUnsafeSite, "the function is too long to tell where instructions begin");
  }
  uint64_t at = 0;
  while (at < wanted) {
    const uint32_t length = arch::InstructionBytes(text.subspan(at));
    if (length == 0) {
      return Status(Code::kUnsafeSite,
                    "the bytes before the site, at +" + std::to_string(at) +
                        ", are no instruction that is known: nobody can tell where one begins");
    }
    if (at + length > wanted) {
      return Status(Code::kUnsafeSite, "the address is " + std::to_string(wanted - at) +
                                           " bytes inside an instruction: the debug information "
                                           "does not belong to this code");
    }
    at += length;
  }
  return Status();
}

}  // namespace stillframe::probe
