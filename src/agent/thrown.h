// Snapshots of throws, as people read them.
#ifndef STILLFRAME_AGENT_THROWN_H_
#define STILLFRAME_AGENT_THROWN_H_

#include <cstdint>
#include <string>

#include "model/snapshot.h"
#include "plan/record.h"

namespace stillframe::agent {

// The watches of a throw's plan (symbolizer/throw_plan.h) are addresses with a text: of the first
// remains the type's name, demangled, and of the second the text.
void NameThrown(model::Snapshot& snapshot);
// Of what is thrown where the operator's policy shows nothing (the first frame) the type alone is
// told.
void HideThrown(model::Snapshot& snapshot);
// Which kind of throw it is: 16 hexadecimal digits.
std::string FingerprintText(uint64_t fingerprint);
// The signal and the address that the kernel names, as watches.
void AddFault(const RecordHeader& header, model::Snapshot& snapshot);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_THROWN_H_
