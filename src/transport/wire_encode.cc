// model -> proto/stillframe/v1/agent.proto, by protozero: the agent holds no protobuf runtime. The
// tests decode with libprotobuf.
#include <map>
#include <protozero/pbf_writer.hpp>
#include <tuple>
#include <unordered_map>

#include "base/utf8.h"
#include "transport/transport.h"

namespace stillframe::transport {
namespace {

using protozero::pbf_writer;

// libprotobuf gives up at 100 messages within each other; a value sits in three.
constexpr int kMaxValueDepth = 64;

// A `string` field: libprotobuf refuses the whole message for one that is not UTF-8.
void AddString(pbf_writer& out, uint32_t field, const std::string& text) {
  if (!text.empty()) out.add_string(field, IsUtf8(text) ? text : ToUtf8(text));
}

void AddBytes(pbf_writer& out, uint32_t field, const std::string& text) {
  if (!text.empty()) out.add_bytes(field, text);
}

// What the snapshots of a batch have in common, each once. Numbers begin at 1; 0 is "".
class Tables {
  using PlaceKey =
      std::tuple<uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t, uint32_t, uint32_t>;

 public:
  uint32_t String(const std::string& text) {
    if (text.empty()) return 0;
    const auto [found, is_new] = strings_.try_emplace(text, Next(strings_));
    if (is_new) string_order_.push_back(&found->first);
    return found->second;
  }
  uint32_t Label(const model::Value& value) {
    const std::pair key{String(value.name), String(value.type)};
    if (key == std::pair{0u, 0u}) return 0;
    const auto [found, is_new] = labels_.try_emplace(key, Next(labels_));
    if (is_new) label_order_.push_back(key);
    return found->second;
  }
  uint32_t Place(const model::Frame& frame) {
    const PlaceKey key{String(frame.function),
                       String(frame.file),
                       frame.line,
                       String(frame.module),
                       String(frame.build_id),
                       frame.pc,
                       frame.inlined ? 1u : 0u,
                       String(frame.variables_reason)};
    if (key == PlaceKey()) return 0;
    const auto [found, is_new] = places_.try_emplace(key, Next(places_));
    if (is_new) place_order_.push_back(key);
    return found->second;
  }

  void Encode(pbf_writer& out) const {
    for (const std::string* text : string_order_) out.add_bytes(5, *text);
    for (const auto& [name, type] : label_order_) {
      pbf_writer nested(out, 6);
      AddNumber(nested, 1, name);
      AddNumber(nested, 2, type);
    }
    for (const PlaceKey& place : place_order_) {
      pbf_writer nested(out, 7);
      AddNumber(nested, 1, std::get<0>(place));
      AddNumber(nested, 2, std::get<1>(place));
      AddNumber(nested, 3, std::get<2>(place));
      AddNumber(nested, 4, std::get<3>(place));
      AddNumber(nested, 5, std::get<4>(place));
      AddNumber(nested, 6, std::get<5>(place));
      AddNumber(nested, 7, std::get<6>(place));
      AddNumber(nested, 8, std::get<7>(place));
    }
  }

 private:
  template <typename Map>
  static uint32_t Next(const Map& map) {
    return static_cast<uint32_t>(map.size() + 1);
  }
  static void AddNumber(pbf_writer& out, uint32_t field, uint64_t number) {
    if (number != 0) out.add_uint64(field, number);
  }

  std::unordered_map<std::string, uint32_t> strings_;
  std::vector<const std::string*> string_order_;  // keys stay where they are
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> labels_;
  std::vector<std::pair<uint32_t, uint32_t>> label_order_;
  std::map<PlaceKey, uint32_t> places_;
  std::vector<PlaceKey> place_order_;
};

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

void EncodeSnapshot(pbf_writer& out, const model::Snapshot& snapshot, Tables* tables) {
  if (tables != nullptr) {
    out.add_uint32(20, tables->String(snapshot.tracepoint_id));
    out.add_uint32(21, tables->String(snapshot.thread_name));
  } else {
    AddString(out, 1, snapshot.id);
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

using Pairs = std::vector<std::pair<std::string, std::string>>;

void EncodePairs(pbf_writer& out, uint32_t field, const Pairs& pairs) {
  for (const auto& [key, value] : pairs) {
    pbf_writer nested(out, field);
    AddString(nested, 1, key);
    AddString(nested, 2, value);
  }
}

void EncodeIdentity(pbf_writer& out, const model::AgentIdentity& identity) {
  AddString(out, 1, identity.instance);
  AddString(out, 2, identity.service);
  AddString(out, 3, identity.version);
  AddString(out, 4, identity.environment);
  EncodePairs(out, 5, identity.labels);
  AddString(out, 6, identity.host);
  out.add_uint32(7, identity.pid);
  AddString(out, 8, identity.program);
  AddString(out, 9, identity.agent_version);
  EncodePairs(out, 10, identity.modules);
  out.add_sfixed64(11, identity.start_unix_nanos);
  out.add_double(12, identity.cpu_seconds);
  out.add_uint64(13, identity.rss_bytes);
}

void EncodeCounters(pbf_writer& out, const model::Counters& counters) {
  const uint64_t values[] = {
      counters.hits,         counters.condition_false, counters.condition_error,
      counters.rate_limited, counters.budget_stopped,  counters.reentrant,
      counters.ring_full,    counters.unsafe_context,  counters.captured,
      counters.acked,        counters.in_flight};
  for (uint32_t i = 0; i < std::size(values); ++i) out.add_uint64(i + 1, values[i]);
  for (const auto& [reason, count] : counters.dropped) {
    pbf_writer nested(out, 12);
    AddString(nested, 1, reason);
    nested.add_uint64(2, count);
  }
}

void EncodeBuckets(pbf_writer& out, uint32_t tag, const std::map<int32_t, uint64_t>& buckets) {
  for (const auto& [index, count] : buckets) {
    pbf_writer nested(out, tag);
    nested.add_sint32(1, index);
    nested.add_uint64(2, count);
  }
}

void EncodeDistribution(pbf_writer& out, const model::Distribution& distribution) {
  out.add_uint64(1, distribution.count);
  out.add_double(2, distribution.sum);
  out.add_double(3, distribution.min);
  out.add_double(4, distribution.max);
  out.add_sint32(5, distribution.scale);
  out.add_uint64(6, distribution.zero_count);
  EncodeBuckets(out, 7, distribution.positive);
  EncodeBuckets(out, 8, distribution.negative);
}

void EncodeReport(pbf_writer& out, const model::TracepointReport& report) {
  const model::AgentStatus& status = report.status;
  AddString(out, 1, report.id);
  out.add_uint64(2, status.revision);
  out.add_enum(3, static_cast<int32_t>(status.state));
  AddString(out, 4, status.reason);
  AddString(out, 5, status.message);
  for (const model::SiteStatus& site : status.sites) {
    pbf_writer nested(out, 6);
    AddString(nested, 1, site.module);
    AddString(nested, 2, site.build_id);
    AddString(nested, 3, site.function);
    nested.add_uint64(4, site.address);
    AddString(nested, 5, site.method);
    AddString(nested, 6, site.reason);
  }
  pbf_writer counters(out, 7);
  EncodeCounters(counters, status.counters);
  counters.commit();
  out.add_uint32(8, status.hit_nanos_p50);
  out.add_uint32(9, status.hit_nanos_p99);
  if (status.distribution) {
    pbf_writer nested(out, 10);
    EncodeDistribution(nested, *status.distribution);
  }
  if (status.projection) {
    pbf_writer nested(out, 11);
    nested.add_double(1, status.projection->hits_per_second);
    nested.add_double(2, status.projection->captures_per_second);
    nested.add_double(3, status.projection->cpu_percent);
  }
  for (const model::ThrowCount& kind : status.throws) {
    pbf_writer nested(out, 13);
    AddString(nested, 1, kind.fingerprint);
    nested.add_uint64(2, kind.count);
  }
  if (status.lease) {
    pbf_writer nested(out, 12);
    nested.add_uint64(1, status.lease->granted);
    nested.add_uint64(2, status.lease->used);
    nested.add_bool(3, status.lease->wanted);
    nested.add_uint64(4, status.lease->version);
  }
}

}  // namespace

std::string EncodePollRequest(const model::PollRequest& request) {
  std::string bytes;
  pbf_writer out(bytes);
  {
    pbf_writer nested(out, 1);
    EncodeIdentity(nested, request.identity);
  }
  out.add_uint64(2, request.known_revision);
  out.add_uint32(3, request.hold_ms);
  for (const model::TracepointReport& report : request.reports) {
    pbf_writer nested(out, 4);
    EncodeReport(nested, report);
  }
  for (const model::Answer& answer : request.answers) {
    pbf_writer nested(out, 5);
    AddString(nested, 1, answer.query_id);
    AddString(nested, 2, answer.json);
    AddString(nested, 3, answer.error_code);
    AddString(nested, 4, answer.error_message);
  }
  if (request.leaving) out.add_bool(6, true);
  return bytes;
}

std::string EncodePublishRequest(const model::PublishRequest& request) {
  std::string bytes;
  pbf_writer out(bytes);
  AddString(out, 1, request.instance);
  AddString(out, 2, request.service);
  out.add_uint64(3, request.epoch);
  Tables tables;
  for (const model::Snapshot& snapshot : request.snapshots) {
    pbf_writer nested(out, 4);
    EncodeSnapshot(nested, snapshot, request.tables ? &tables : nullptr);
  }
  tables.Encode(out);
  return bytes;
}

}  // namespace stillframe::transport
