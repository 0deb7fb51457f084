// Keeps a snapshot's size in bounds without losing what matters most.
#ifndef STILLFRAME_MODEL_PRUNE_H_
#define STILLFRAME_MODEL_PRUNE_H_

#include <cstdint>

#include "model/snapshot.h"

namespace stillframe::model {

// Roughly what the snapshot takes in memory and on the wire.
uint64_t SizeOf(const Snapshot& snapshot);
// Takes values out, the deepest level first, until the snapshot has at most `max_bytes` or no value
// is left below a variable; then the variables of the outermost frames. What lost its contents is
// TRUNCATED with the reason PRUNED, frames say it as their variables' reason, and the snapshot is
// marked truncated. True when anything was taken out.
bool Prune(Snapshot& snapshot, uint64_t max_bytes);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_PRUNE_H_
