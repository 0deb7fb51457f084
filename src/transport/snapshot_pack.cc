#include "transport/snapshot_pack.h"

#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "transport/transport.h"
#include "transport/wire_tables.h"
#include "transport/wire_text.h"

namespace stillframe::transport {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

// libprotobuf gives up at 100 messages within each other; a value sits in three.
constexpr int kMaxValueDepth = 64;

// `tables`: nullptr without.
void EncodeValue(pbf_writer& out, const model::Value& value, Tables* tables, int depth = 0) {
  if (tables != nullptr) {
    out.add_uint32(8, tables->Label(value));
  } else {
    AddBytes(out, 1, value.name);
    AddBytes(out, 2, value.type);
  }
  AddBytes(out, 3, value.value);
  if (value.has_value) out.add_bool(4, true);
  const bool too_deep = depth >= kMaxValueDepth && !value.children.empty();
  const model::ValueStatus status = too_deep ? model::ValueStatus::kTruncated : value.status;
  if (tables == nullptr || status != model::ValueStatus::kExact) {
    out.add_enum(5, static_cast<int32_t>(status));
  }
  AddString(out, 6, too_deep ? "LIMIT" : value.reason);
  if (too_deep) return;
  for (const model::Value& child : value.children) {
    pbf_writer nested(out, 7);
    EncodeValue(nested, child, tables, depth + 1);
  }
}

void EncodeFrame(pbf_writer& out, const model::Frame& frame, Tables* tables) {
  if (tables != nullptr) {
    out.add_uint32(10, tables->Place(frame));
    for (const model::Value& variable : frame.variables) {
      pbf_writer nested(out, 8);
      EncodeValue(nested, variable, tables);
    }
    return;
  }
  AddBytes(out, 1, frame.function);
  AddBytes(out, 2, frame.file);
  out.add_uint32(3, frame.line);
  AddBytes(out, 4, frame.module);
  AddString(out, 5, frame.build_id);
  out.add_uint64(6, frame.pc);
  out.add_bool(7, frame.inlined);
  for (const model::Value& variable : frame.variables) {
    pbf_writer nested(out, 8);
    EncodeValue(nested, variable, nullptr);
  }
  AddString(out, 9, frame.variables_reason);
}

// With tables the batch says what is not in each: `id` is what is left of field 1, mostly nothing.
void EncodeSnapshot(pbf_writer& out, const model::Snapshot& snapshot, const std::string& id,
                    Tables* tables) {
  AddString(out, 1, id);
  if (tables != nullptr) {
    out.add_uint32(20, tables->String(snapshot.tracepoint_id));
    out.add_uint32(21, tables->String(snapshot.thread_name));
  } else {
    AddString(out, 2, snapshot.tracepoint_id);
    AddString(out, 3, snapshot.service);
    AddString(out, 4, snapshot.instance);
    AddBytes(out, 7, snapshot.thread_name);
  }
  out.add_sfixed64(5, snapshot.time_unix_nanos);
  out.add_uint32(6, snapshot.thread_id);
  AddString(out, 8, snapshot.trace.trace_id);
  AddString(out, 9, snapshot.trace.span_id);
  out.add_bool(10, snapshot.trace.sampled);
  for (const model::Frame& frame : snapshot.frames) {
    pbf_writer nested(out, 11);
    EncodeFrame(nested, frame, tables);
  }
  for (const model::Value& value : snapshot.expressions) {
    pbf_writer nested(out, 12);
    EncodeValue(nested, value, tables);
  }
  out.add_uint32(13, snapshot.capture_nanos);
  if (snapshot.duration_nanos != 0) out.add_uint64(18, snapshot.duration_nanos);
  out.add_bool(14, snapshot.truncated);
  out.add_uint64(15, snapshot.sequence);
  if (snapshot.kind != model::Kind::kSnapshot) {
    out.add_enum(16, static_cast<int32_t>(snapshot.kind));
  }
  AddBytes(out, 17, snapshot.message);
  AddString(out, 19, snapshot.fingerprint);
}

// ---- Back, out of what was written above ----

model::Value ReadValue(pbf_reader in, const Tables& tables) {
  model::Value out;
  while (in.next()) {
    switch (in.tag()) {
      case 3:
        out.value = in.get_bytes();
        break;
      case 4:
        out.has_value = in.get_bool();
        break;
      case 5:
        out.status = static_cast<model::ValueStatus>(in.get_enum());
        break;
      case 6:
        out.reason = in.get_string();
        break;
      case 7:
        out.children.push_back(ReadValue(in.get_message(), tables));
        break;
      case 8:
        tables.Read(in.get_uint32(), out);
        break;
      default:
        in.skip();
    }
  }
  return out;
}

model::Frame ReadFrame(pbf_reader in, const Tables& tables) {
  model::Frame out;
  while (in.next()) {
    switch (in.tag()) {
      case 8:
        out.variables.push_back(ReadValue(in.get_message(), tables));
        break;
      case 10:
        tables.Read(in.get_uint32(), out);
        break;
      default:
        in.skip();
    }
  }
  return out;
}

model::Snapshot ReadSnapshot(pbf_reader in, const Tables& tables) {
  model::Snapshot out;
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.id = in.get_string();
        break;
      case 5:
        out.time_unix_nanos = in.get_sfixed64();
        break;
      case 6:
        out.thread_id = in.get_uint32();
        break;
      case 8:
        out.trace.trace_id = in.get_string();
        break;
      case 9:
        out.trace.span_id = in.get_string();
        break;
      case 10:
        out.trace.sampled = in.get_bool();
        break;
      case 11:
        out.frames.push_back(ReadFrame(in.get_message(), tables));
        break;
      case 12:
        out.expressions.push_back(ReadValue(in.get_message(), tables));
        break;
      case 13:
        out.capture_nanos = in.get_uint32();
        break;
      case 14:
        out.truncated = in.get_bool();
        break;
      case 15:
        out.sequence = in.get_uint64();
        break;
      case 16:
        out.kind = static_cast<model::Kind>(in.get_enum());
        break;
      case 17:
        out.message = in.get_bytes();
        break;
      case 18:
        out.duration_nanos = in.get_uint64();
        break;
      case 19:
        out.fingerprint = in.get_string();
        break;
      case 20:
        out.tracepoint_id = tables.StringOf(in.get_uint32());
        break;
      case 21:
        out.thread_name = tables.StringOf(in.get_uint32());
        break;
      default:
        in.skip();
    }
  }
  return out;
}

}  // namespace

SnapshotPack::SnapshotPack() : tables_(std::make_unique<Tables>()) {}
SnapshotPack::~SnapshotPack() = default;
SnapshotPack::SnapshotPack(SnapshotPack&&) noexcept = default;
SnapshotPack& SnapshotPack::operator=(SnapshotPack&&) noexcept = default;

bool SnapshotPack::Fits(const model::Snapshot& snapshot) const {
  return bytes_.empty() || (snapshot.service == service_ && snapshot.instance == instance_);
}

SnapshotPack::Place SnapshotPack::Add(const model::Snapshot& snapshot) {
  const std::string number = std::to_string(snapshot.sequence);
  if (bytes_.empty()) {
    service_ = snapshot.service;
    instance_ = snapshot.instance;
    const bool ends = snapshot.id.ends_with(number);
    id_prefix_ = ends ? snapshot.id.substr(0, snapshot.id.size() - number.size()) : "";
  }
  const size_t begin = bytes_.size();
  try {
    pbf_writer out(bytes_);
    pbf_writer nested(out, 4);
    EncodeSnapshot(nested, snapshot, snapshot.id == id_prefix_ + number ? "" : snapshot.id,
                   tables_.get());
  } catch (const std::bad_alloc&) {
    bytes_.resize(begin);
    throw;
  }
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(bytes_.size() - begin)};
}

void SnapshotPack::Shrink() { bytes_.shrink_to_fit(); }

uint64_t SnapshotPack::bytes() const { return bytes_.capacity() + tables_->bytes(); }

std::string SnapshotPack::Encode(const model::AgentIdentity& sender,
                                 const std::vector<Place>& which) const {
  std::string bytes;
  bytes.reserve(bytes_.size() + tables_->bytes());
  pbf_writer out(bytes);
  AddString(out, 1, sender.instance);
  AddString(out, 2, sender.service);
  out.add_uint64(3, static_cast<uint64_t>(sender.start_unix_nanos));
  for (const Place& place : which) bytes.append(bytes_, place.offset, place.size_bytes);
  tables_->Encode(out);
  return bytes;
}

std::vector<model::Snapshot> SnapshotPack::Decode(const std::vector<Place>& which) const {
  std::vector<model::Snapshot> snapshots;
  snapshots.reserve(which.size());
  for (const Place& place : which) {
    pbf_reader in(bytes_.data() + place.offset, place.size_bytes);
    if (!in.next(4)) continue;
    model::Snapshot& snapshot = snapshots.emplace_back(ReadSnapshot(in.get_message(), *tables_));
    snapshot.service = service_;
    snapshot.instance = instance_;
    if (snapshot.id.empty()) snapshot.id = id_prefix_ + std::to_string(snapshot.sequence);
  }
  return snapshots;
}

std::string EncodePublishRequest(const model::PublishRequest& request) {
  std::string bytes;
  pbf_writer out(bytes);
  AddString(out, 1, request.instance);
  AddString(out, 2, request.service);
  out.add_uint64(3, request.epoch);
  for (const model::Snapshot& snapshot : request.snapshots) {
    pbf_writer nested(out, 4);
    EncodeSnapshot(nested, snapshot, snapshot.id, nullptr);
  }
  return bytes;
}

}  // namespace stillframe::transport
