// Snapshots as bytes, for the files in which they wait. Not the wire's form: proto/ is.
#ifndef STILLFRAME_MODEL_SNAPSHOT_CODEC_H_
#define STILLFRAME_MODEL_SNAPSHOT_CODEC_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "model/snapshot.h"

namespace stillframe::model {

std::string EncodeSnapshot(const Snapshot& snapshot);
// The bytes are hostile. kCorrupt; kUnsupported for another version's form.
Result<Snapshot> DecodeSnapshot(std::string_view bytes);

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_SNAPSHOT_CODEC_H_
