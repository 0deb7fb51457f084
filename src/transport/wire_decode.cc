// proto/stillframe/v1/agent.proto -> model. What the server sends is not trusted: protozero checks
// lengths and throws, which stays inside this file; sizes are limited before and here.
#include <algorithm>
#include <protozero/pbf_reader.hpp>

#include "transport/transport.h"

namespace stillframe::transport {
namespace {

using protozero::pbf_reader;

constexpr size_t kMaxBytes = 8u << 20;
constexpr size_t kMaxTracepoints = 10'000;

// Each field by number; a known number with a wrong wire type makes protozero throw or assert, so
// the type is checked first.
bool Is(const pbf_reader& in, protozero::pbf_wire_type type) { return in.wire_type() == type; }

std::string Text(pbf_reader& in) {
  if (!Is(in, protozero::pbf_wire_type::length_delimited)) {
    throw protozero::unknown_pbf_wire_type_exception();
  }
  return in.get_string();
}
uint64_t Number(pbf_reader& in) {
  if (!Is(in, protozero::pbf_wire_type::varint)) throw protozero::unknown_pbf_wire_type_exception();
  return in.get_uint64();
}
uint32_t Number32(pbf_reader& in) { return static_cast<uint32_t>(Number(in)); }
pbf_reader Message(pbf_reader& in) {
  if (!Is(in, protozero::pbf_wire_type::length_delimited)) {
    throw protozero::unknown_pbf_wire_type_exception();
  }
  return in.get_message();
}

void DecodeLocation(pbf_reader in, model::Location& out) {
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.file = Text(in);
        break;
      case 2:
        out.line = Number32(in);
        break;
      case 3:
        out.function = Text(in);
        break;
      case 4:
        out.exception = Text(in);
        break;
      case 5:
        out.address = Number(in);
        break;
      case 6:
        out.module = Text(in);
        break;
      case 7:
        out.at_return = Number(in) != 0;
        break;
      case 8:
        out.fatal = Text(in);
        break;
      default:
        in.skip();
    }
  }
}

void DecodePair(pbf_reader in, std::map<std::string, std::string>& out) {
  std::string key, value;
  while (in.next()) {
    if (in.tag() == 1) {
      key = Text(in);
    } else if (in.tag() == 2) {
      value = Text(in);
    } else {
      in.skip();
    }
  }
  out[std::move(key)] = std::move(value);
}

void DecodeSelector(pbf_reader in, model::Selector& out) {
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.version = Text(in);
        break;
      case 2:
        out.environment = Text(in);
        break;
      case 3:
        out.instance = Text(in);
        break;
      case 4:
        out.trace_id = Text(in);
        break;
      case 5:
        DecodePair(Message(in), out.labels);
        break;
      case 6:
        out.thread_name = Text(in);
        break;
      case 7:
        out.session = Text(in);
        break;
      default:
        in.skip();
    }
  }
}

void DecodeLimits(pbf_reader in, model::Limits& out) {
  out = {0, 0, 0, 0};  // proto3: absent means zero, and the server always sends these
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.max_hits = Number(in);
        break;
      case 2:
        if (!Is(in, protozero::pbf_wire_type::fixed64)) {
          throw protozero::unknown_pbf_wire_type_exception();
        }
        out.per_second = in.get_double();
        break;
      case 3:
        out.expires_in_ms = Number(in);
        break;
      case 4:
        out.per_trace = Number32(in);
        break;
      default:
        in.skip();
    }
  }
}

void DecodeCapture(pbf_reader in, model::Capture& out) {
  out = {0, 0, 0, 0, 0, 0};
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.frames = Number32(in);
        break;
      case 2:
        out.local_frames = Number32(in);
        break;
      case 3:
        out.depth = Number32(in);
        break;
      case 4:
        out.items = Number32(in);
        break;
      case 5:
        out.string_bytes = Number32(in);
        break;
      case 6:
        out.bytes = Number32(in);
        break;
      default:
        in.skip();
    }
  }
}

void DecodeSpec(pbf_reader in, model::TracepointSpec& out) {
  while (in.next()) {
    switch (in.tag()) {
      case 1: {
        const uint64_t kind = Number(in);
        // A kind of a later version must be refused by name, not taken for another.
        out.kind = kind <= 4 ? static_cast<model::Kind>(kind) : model::Kind::kSpan;
        break;
      }
      case 2:
        DecodeLocation(Message(in), out.location);
        break;
      case 3:
        DecodeLocation(Message(in), out.end_location);
        break;
      case 4:
        out.condition = Text(in);
        break;
      case 5:
        out.expressions.push_back(Text(in));
        break;
      case 6:
        out.log_message = Text(in);
        break;
      case 7:
        DecodeSelector(Message(in), out.selector);
        break;
      case 8:
        DecodeLimits(Message(in), out.limits);
        break;
      case 9:
        DecodeCapture(Message(in), out.capture);
        break;
      case 10:
        out.allow_trap = Number(in) != 0;
        break;
      case 11:
        out.dry_run = Number(in) != 0;
        break;
      case 12:
        out.canary_ms = Number(in);
        break;
      default:
        in.skip();
    }
  }
}

// Limits that the REST side enforces, enforced again here: the agent does not trust the server.
void Bound(model::TracepointSpec& spec) {
  model::Capture& capture = spec.capture;
  capture.frames = std::clamp(capture.frames, 1u, 128u);
  capture.local_frames = std::min(capture.local_frames, 32u);
  capture.depth = std::min(capture.depth, 10u);
  capture.items = std::min(capture.items, 10'000u);
  capture.string_bytes = std::min(capture.string_bytes, 65'536u);
  capture.bytes = std::clamp(capture.bytes, 1024u, 65'536u);
  const bool may_be_unlimited = spec.kind != model::Kind::kSnapshot;
  const double least = may_be_unlimited ? 0 : 0.001;
  if (!(spec.limits.per_second >= least && spec.limits.per_second <= 10'000)) {
    spec.limits.per_second = 1;
  }
  if (spec.limits.max_hits == 0 && !may_be_unlimited) spec.limits.max_hits = 1;
}

void DecodeLease(pbf_reader in, model::Lease& out) {
  while (in.next()) {
    if (in.tag() == 1) {
      out.granted = Number(in);
    } else if (in.tag() == 2) {
      out.over = Number(in) != 0;
    } else if (in.tag() == 3) {
      out.version = Number(in);
    } else {
      in.skip();
    }
  }
}

void DecodeTracepoint(pbf_reader in, model::DesiredTracepoint& out) {
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.id = Text(in);
        break;
      case 2:
        out.revision = Number(in);
        break;
      case 3:
        out.expires_unix_ms = Number(in);
        break;
      case 4:
        DecodeSpec(Message(in), out.spec);
        break;
      case 5:
        DecodeLease(Message(in), out.lease.emplace());
        break;
      default:
        in.skip();
    }
  }
  Bound(out.spec);
}

void DecodeQuery(pbf_reader in, model::Query& out) {
  while (in.next()) {
    switch (in.tag()) {
      case 1:
        out.id = Text(in);
        break;
      case 2:
        out.kind = Text(in);
        break;
      case 3:
        out.file = Text(in);
        break;
      case 4:
        out.line = Number32(in);
        break;
      default:
        in.skip();
    }
  }
}

Status Corrupt(const std::string& what) {
  return Status(Code::kCorrupt, "the server's answer is not what it should be: " + what);
}

}  // namespace

Result<model::PollResponse> DecodePollResponse(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) return Corrupt("too large");
  model::PollResponse response;
  bool stopped = false;
  std::string stop_message;
  try {
    pbf_reader in(bytes.data(), bytes.size());
    while (in.next()) {
      switch (in.tag()) {
        case 1:
          response.unchanged = Number(in) != 0;
          break;
        case 2:
          response.desired.revision = Number(in);
          break;
        case 3:
        case 7:  // in place of 3 while the kill switch is on
          if (response.desired.tracepoints.size() == kMaxTracepoints) return Corrupt("too many");
          DecodeTracepoint(Message(in), response.desired.tracepoints.emplace_back());
          break;
        case 4:
          if (response.queries.size() == 100) return Corrupt("too many queries");
          DecodeQuery(Message(in), response.queries.emplace_back());
          break;
        case 5:
          stopped = Number(in) != 0;
          break;
        case 6:
          stop_message = Text(in);
          break;
        case 8:
          response.takes_tables = Number(in) != 0;
          break;
        default:
          in.skip();
      }
    }
  } catch (const protozero::exception& error) {
    return Corrupt(error.what());
  }
  if (stopped) response.desired.stop = std::move(stop_message);
  return response;
}

Result<model::PublishResponse> DecodePublishResponse(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) return Corrupt("too large");
  model::PublishResponse response;
  try {
    pbf_reader in(bytes.data(), bytes.size());
    while (in.next()) {
      if (in.tag() != 1) {
        in.skip();
      } else if (Is(in, protozero::pbf_wire_type::length_delimited)) {
        for (uint64_t sequence : in.get_packed_uint64()) response.acked.push_back(sequence);
      } else {
        response.acked.push_back(Number(in));
      }
    }
  } catch (const protozero::exception& error) {
    return Corrupt(error.what());
  }
  return response;
}

}  // namespace stillframe::transport
