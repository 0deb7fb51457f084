#include "server/wire.h"

#include <google/protobuf/io/coded_stream.h>

#include "stillframe/v1/agent.pb.h"

namespace stillframe::server {
namespace {

constexpr int kMaxDepth = 64;  // of nested values; the agent's own limit is far below
constexpr int kMaxReports = 10'000;
constexpr int kMaxSnapshots = 1'000;
constexpr uint64_t kMaxMadeBytes = 32u << 20;  // of text, from a batch's tables

template <typename Message>
bool Parse(std::string_view bytes, Message& message) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  in.SetRecursionLimit(kMaxDepth);
  return message.ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

template <typename Enum>
Enum Known(int value, int last, Enum otherwise) {
  return value >= 0 && value <= last ? static_cast<Enum>(value) : otherwise;
}

model::AgentIdentity Identity(const v1::AgentIdentity& in) {
  model::AgentIdentity out;
  out.instance = in.instance();
  out.service = in.service();
  out.version = in.version();
  out.environment = in.environment();
  for (const auto& pair : in.labels()) out.labels.emplace_back(pair.key(), pair.value());
  out.host = in.host();
  out.pid = in.pid();
  out.program = in.program();
  out.agent_version = in.agent_version();
  for (const auto& pair : in.modules()) out.modules.emplace_back(pair.key(), pair.value());
  out.start_unix_nanos = in.start_unix_nanos();
  out.cpu_seconds = in.cpu_seconds();
  out.rss_bytes = in.rss_bytes();
  return out;
}

model::Counters Counters(const v1::Counters& in) {
  model::Counters out;
  out.hits = in.hits();
  out.condition_false = in.condition_false();
  out.condition_error = in.condition_error();
  out.rate_limited = in.rate_limited();
  out.budget_stopped = in.budget_stopped();
  out.reentrant = in.reentrant();
  out.ring_full = in.ring_full();
  out.unsafe_context = in.unsafe_context();
  out.captured = in.captured();
  out.acked = in.acked();
  out.in_flight = in.in_flight();
  for (const auto& entry : in.dropped()) out.dropped[entry.name()] = entry.count();
  return out;
}

model::Distribution Distribution(const v1::Distribution& in) {
  model::Distribution out;
  out.count = in.count();
  out.sum = in.sum();
  out.min = in.min();
  out.max = in.max();
  out.scale = in.scale();
  out.zero_count = in.zero_count();
  for (const auto& bucket : in.positive()) out.positive[bucket.index()] = bucket.count();
  for (const auto& bucket : in.negative()) out.negative[bucket.index()] = bucket.count();
  return out;
}

model::TracepointReport Report(const v1::TracepointReport& in) {
  model::TracepointReport out;
  out.id = in.id();
  model::AgentStatus& status = out.status;
  status.revision = in.revision();
  status.state = Known(in.state(), static_cast<int>(model::State::kError), model::State::kError);
  status.reason = in.reason();
  status.message = in.message();
  for (const auto& site : in.sites()) {
    status.sites.push_back({site.module(), site.build_id(), site.function(), site.address(),
                            site.method(), site.reason()});
  }
  status.counters = Counters(in.counters());
  status.hit_nanos_p50 = in.hit_nanos_p50();
  status.hit_nanos_p99 = in.hit_nanos_p99();
  if (in.has_distribution()) status.distribution = Distribution(in.distribution());
  if (in.has_projection()) {
    status.projection = {in.projection().hits_per_second(), in.projection().captures_per_second(),
                         in.projection().cpu_percent()};
  }
  for (const auto& kind : in.throws()) status.throws.push_back({kind.name(), kind.count()});
  if (in.has_lease()) {
    status.lease = {in.lease().granted(), in.lease().used(), in.lease().wanted(),
                    in.lease().version()};
  }
  return out;
}

// The tables of a batch. Texts are few bytes in the batch and may be many in what is made of it, so
// their sum is bounded.
class Tables {
 public:
  explicit Tables(const v1::PublishRequest& in) : in_(in) {}
  // OK, or the first reference that leads nowhere.
  const Status& status() const { return status_; }

  std::string String(uint32_t number) {
    if (number == 0 || !status_.ok()) return "";
    if (number > static_cast<uint32_t>(in_.strings_size())) return Fail("a string"), "";
    const std::string& text = in_.strings(static_cast<int>(number) - 1);
    made_bytes_ += text.size();
    if (made_bytes_ > kMaxMadeBytes) {
      status_ = Status(Code::kOverLimit, "the batch's tables make more than " +
                                             std::to_string(kMaxMadeBytes) + " bytes of text");
      return "";
    }
    return text;
  }
  void Read(const v1::Value& in, model::Value& out) {
    if (in.label() == 0) return;
    if (in.label() > static_cast<uint32_t>(in_.labels_size())) return Fail("a label");
    const v1::Label& label = in_.labels(static_cast<int>(in.label()) - 1);
    out.name = String(label.name());
    out.type = String(label.type());
  }
  void Read(const v1::Frame& in, model::Frame& out) {
    if (in.place() == 0) return;
    if (in.place() > static_cast<uint32_t>(in_.places_size())) return Fail("a place");
    const v1::Place& place = in_.places(static_cast<int>(in.place()) - 1);
    out.function = String(place.function());
    out.file = String(place.file());
    out.line = place.line();
    out.module = String(place.module());
    out.build_id = String(place.build_id());
    out.pc = place.pc();
    out.inlined = place.inlined();
    out.variables_reason = String(place.variables_reason());
  }

 private:
  void Fail(const char* what) {
    if (status_.ok()) status_ = Status(Code::kCorrupt, std::string(what) + " is in no table");
  }

  const v1::PublishRequest& in_;
  Status status_;
  uint64_t made_bytes_ = 0;
};

model::Value Value(const v1::Value& in, Tables& tables) {
  model::Value out;
  out.name = in.name();
  out.type = in.type();
  tables.Read(in, out);
  out.value = in.value();
  out.has_value = in.has_value();
  out.status = Known(in.status(), static_cast<int>(model::ValueStatus::kUnavailable),
                     model::ValueStatus::kUnavailable);
  out.reason = in.reason();
  for (const auto& child : in.children()) out.children.push_back(Value(child, tables));
  return out;
}

model::Snapshot Snapshot(const v1::Snapshot& in, Tables& tables) {
  model::Snapshot out;
  out.id = in.id();
  out.tracepoint_id = in.tracepoint_id();
  out.service = in.service();
  out.instance = in.instance();
  out.time_unix_nanos = in.time_unix_nanos();
  out.thread_id = in.thread_id();
  out.thread_name = in.thread_name();
  if (in.tracepoint_string() != 0) out.tracepoint_id = tables.String(in.tracepoint_string());
  if (in.thread_string() != 0) out.thread_name = tables.String(in.thread_string());
  out.trace = {in.trace_id(), in.span_id(), in.sampled()};
  for (const auto& frame : in.frames()) {
    model::Frame& to = out.frames.emplace_back();
    to.function = frame.function();
    to.file = frame.file();
    to.line = frame.line();
    to.module = frame.module();
    to.build_id = frame.build_id();
    to.pc = frame.pc();
    to.inlined = frame.inlined();
    for (const auto& variable : frame.variables()) to.variables.push_back(Value(variable, tables));
    to.variables_reason = frame.variables_reason();
    tables.Read(frame, to);
  }
  for (const auto& value : in.expressions()) out.expressions.push_back(Value(value, tables));
  out.capture_nanos = in.capture_nanos();
  out.truncated = in.truncated();
  out.sequence = in.sequence();
  // An agent of a later version may publish kinds that are shown as what they resemble most.
  out.kind = in.kind() == v1::LOG    ? model::Kind::kLog
             : in.kind() == v1::SPAN ? model::Kind::kSpan
                                     : model::Kind::kSnapshot;
  out.duration_nanos = in.duration_nanos();
  out.fingerprint = in.fingerprint();
  out.message = in.message();
  return out;
}

void Fill(const model::Location& in, v1::Location& out) {
  out.set_file(in.file);
  out.set_line(in.line);
  out.set_function(in.function);
  out.set_exception(in.exception);
  if (in.address) out.set_address(*in.address);
  out.set_module(in.module);
  out.set_at_return(in.at_return);
  out.set_fatal(in.fatal);
}

void Fill(const model::TracepointSpec& in, v1::TracepointSpec& out) {
  out.set_kind(static_cast<v1::Kind>(in.kind));
  Fill(in.location, *out.mutable_location());
  Fill(in.end_location, *out.mutable_end_location());
  out.set_condition(in.condition);
  for (const std::string& expression : in.expressions) out.add_expressions(expression);
  out.set_log_message(in.log_message);
  out.set_allow_trap(in.allow_trap);
  out.set_dry_run(in.dry_run);
  out.set_canary_ms(in.canary_ms);
  v1::Selector& selector = *out.mutable_selector();
  selector.set_version(in.selector.version);
  selector.set_environment(in.selector.environment);
  selector.set_instance(in.selector.instance);
  selector.set_trace_id(in.selector.trace_id);
  for (const auto& [name, value] : in.selector.labels) {
    v1::KeyValue& label = *selector.add_labels();
    label.set_key(name);
    label.set_value(value);
  }
  selector.set_thread_name(in.selector.thread_name);
  selector.set_session(in.selector.session);
  v1::Limits& limits = *out.mutable_limits();
  limits.set_max_hits(in.limits.max_hits);
  limits.set_per_second(in.limits.per_second);
  limits.set_expires_in_ms(in.limits.expires_in_ms);
  limits.set_per_trace(in.limits.per_trace);
  v1::Capture& capture = *out.mutable_capture();
  capture.set_frames(in.capture.frames);
  capture.set_local_frames(in.capture.local_frames);
  capture.set_depth(in.capture.depth);
  capture.set_items(in.capture.items);
  capture.set_string_bytes(in.capture.string_bytes);
  capture.set_bytes(in.capture.bytes);
}

void Fill(const model::DesiredTracepoint& in, v1::DesiredTracepoint& out) {
  out.set_id(in.id);
  out.set_revision(in.revision);
  out.set_expires_unix_ms(in.expires_unix_ms);
  Fill(in.spec, *out.mutable_spec());
  if (!in.lease) return;
  out.mutable_lease()->set_granted(in.lease->granted);
  out.mutable_lease()->set_over(in.lease->over);
  out.mutable_lease()->set_version(in.lease->version);
}

Status NotSuch(const char* what) {
  return Status(Code::kCorrupt, std::string("the body is not a stillframe.v1.") + what);
}

}  // namespace

Result<model::PollRequest> ParsePollRequest(std::string_view bytes) {
  v1::PollRequest in;
  if (!Parse(bytes, in)) return NotSuch("PollRequest");
  if (in.reports_size() > kMaxReports || in.answers_size() > 1'000) {
    return Status(Code::kOverLimit, "too many reports or answers in one poll");
  }
  model::PollRequest out;
  out.identity = Identity(in.identity());
  out.known_revision = in.known_revision();
  out.hold_ms = in.hold_ms();
  out.leaving = in.leaving();
  for (const auto& report : in.reports()) out.reports.push_back(Report(report));
  for (const auto& answer : in.answers()) {
    out.answers.push_back(
        {answer.query_id(), answer.json(), answer.error_code(), answer.error_message()});
  }
  return out;
}

Result<model::PublishRequest> ParsePublishRequest(std::string_view bytes) {
  v1::PublishRequest in;
  if (!Parse(bytes, in)) return NotSuch("PublishRequest");
  if (in.snapshots_size() > kMaxSnapshots) {
    return Status(Code::kOverLimit, "more than 1000 snapshots in one batch");
  }
  model::PublishRequest out;
  out.instance = in.instance();
  out.service = in.service();
  out.epoch = in.epoch();
  Tables tables(in);
  for (const auto& snapshot : in.snapshots()) {
    out.snapshots.push_back(Snapshot(snapshot, tables));
    SF_RETURN_IF_ERROR(tables.status());
  }
  return out;
}

std::string SerializePollResponse(const model::PollResponse& response) {
  v1::PollResponse out;
  out.set_unchanged(response.unchanged);
  out.set_takes_tables(true);
  out.set_revision(response.desired.revision);
  for (const model::DesiredTracepoint& tracepoint : response.desired.tracepoints) {
    Fill(tracepoint, response.desired.stop ? *out.add_held_back() : *out.add_tracepoints());
  }
  if (response.desired.stop) {
    out.set_stopped(true);
    out.set_stop_message(*response.desired.stop);
  }
  for (const model::Query& query : response.queries) {
    v1::Query& to = *out.add_queries();
    to.set_id(query.id);
    to.set_kind(query.kind);
    to.set_file(query.file);
    to.set_line(query.line);
  }
  return out.SerializeAsString();
}

std::string SerializePublishResponse(const model::PublishResponse& response) {
  v1::PublishResponse out;
  for (uint64_t sequence : response.acked) out.add_acked(sequence);
  return out.SerializeAsString();
}

}  // namespace stillframe::server
