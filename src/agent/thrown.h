// Snapshots of throws, as people read them.
#ifndef STILLFRAME_AGENT_THROWN_H_
#define STILLFRAME_AGENT_THROWN_H_

#include "model/snapshot.h"

namespace stillframe::agent {

// The watches of a throw's plan (symbolizer/throw_plan.h) are addresses with a text: of the first
// remains the type's name, demangled, and of the second the text.
void NameThrown(model::Snapshot& snapshot);

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_THROWN_H_
