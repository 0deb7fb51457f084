// model -> proto/stillframe/v1/agent.proto, by protozero: the agent holds no protobuf runtime. The
// tests decode with libprotobuf.
#include <protozero/pbf_writer.hpp>

#include "transport/transport.h"
#include "transport/wire_text.h"

namespace stillframe::transport {
namespace {

using protozero::pbf_writer;

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

}  // namespace stillframe::transport
