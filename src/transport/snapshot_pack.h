// Snapshots in the wire's form with tables, one behind the other: an eighth of what they take as
// objects, and a batch is nearly made when it is sent.
#ifndef STILLFRAME_TRANSPORT_SNAPSHOT_PACK_H_
#define STILLFRAME_TRANSPORT_SNAPSHOT_PACK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/agent_info.h"

namespace stillframe::transport {

class Tables;

// Agent thread only.
class SnapshotPack {
 public:
  SnapshotPack();
  ~SnapshotPack();
  SnapshotPack(SnapshotPack&&) noexcept;
  SnapshotPack& operator=(SnapshotPack&&) noexcept;

  // Where a snapshot lies in the pack.
  struct Place {
    uint32_t offset = 0, size_bytes = 0;
  };

  // All of a pack are of one process. Anything may be added to an empty one.
  bool Fits(const model::Snapshot& snapshot) const;
  // Throws std::bad_alloc; what was in the pack stays, but nothing may be added to it any more.
  Place Add(const model::Snapshot& snapshot);
  // Nothing more will be added.
  void Shrink();
  // Memory, nearly.
  uint64_t bytes() const;

  // The publish request with those of the places, in the form with tables.
  std::string Encode(const model::AgentIdentity& sender, const std::vector<Place>& which) const;
  // What was added, as it was: for a file, and for servers that do not read tables. Values that sit
  // in more than 64 others are cut, as everywhere on the wire.
  std::vector<model::Snapshot> Decode(const std::vector<Place>& which) const;

 private:
  std::string bytes_;
  std::unique_ptr<Tables> tables_;
  std::string service_, instance_;
  std::string id_prefix_;  // ids that are this and the sequence number are not written
};

}  // namespace stillframe::transport

#endif  // STILLFRAME_TRANSPORT_SNAPSHOT_PACK_H_
