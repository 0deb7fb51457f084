// One inline function in two copies that differ, against the one-definition rule on purpose: see
// SiteBoundary.RowsOfADiscardedCopyAreRefused. Both are a tail of four bytes of code and a return.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_DISCARDED_COPY_H_
#define STILLFRAME_TESTS_AGENT_PROBE_DISCARDED_COPY_H_

#include <cstdint>

namespace stillframe::probe {

// Address of the function as each of the two units sees it.
uint64_t DiscardedCopyAddress();
uint64_t OtherDiscardedCopyAddress();

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_DISCARDED_COPY_H_
