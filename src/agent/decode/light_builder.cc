#include "agent/decode/light_builder.h"

#include <string.h>  // explicit_bzero

#include <algorithm>
#include <cstring>
#include <vector>

#include "agent/decode/record_view.h"
#include "agent/decode/trace_text.h"
#include "agent/decode/value_formatter.h"

namespace stillframe::decode {
namespace {

constexpr uint64_t kTextAddress = 0x1000;  // where the text of a field is said to be

// An ordinary record that holds nothing but a text, for the formatter to find it in.
std::vector<uint8_t> RecordOfText(std::span<const uint8_t> text, uint64_t address,
                                  ChunkStatus status) {
  RecordHeader header{};
  FrameRecord frame{};
  const uint32_t chunk_bytes = status == kChunkOk ? static_cast<uint32_t>(text.size()) : 1;
  const ChunkHeader chunk{address, chunk_bytes, status};
  const size_t padded = (text.size() + 7) & ~size_t{7};
  std::vector<uint8_t> bytes(sizeof header + sizeof frame + sizeof chunk + padded);
  header.magic = kRecordMagic;
  header.size_bytes = static_cast<uint32_t>(bytes.size());
  header.frame_count = 1;
  header.chunk_count = 1;
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &frame, sizeof frame);
  std::memcpy(bytes.data() + sizeof header + sizeof frame, &chunk, sizeof chunk);
  if (!text.empty()) {
    std::memcpy(bytes.data() + sizeof header + sizeof frame + sizeof chunk, text.data(),
                text.size());
  }
  return bytes;
}

// A text may turn out to be a secret: nothing of it stays behind in our heap.
class WipedBytes {
 public:
  explicit WipedBytes(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
  WipedBytes(const WipedBytes&) = delete;
  WipedBytes& operator=(const WipedBytes&) = delete;
  ~WipedBytes() { explicit_bzero(bytes_.data(), bytes_.size()); }
  std::span<const uint8_t> span() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

class LightReader {
 public:
  LightReader(const LightInput& input, const LightSite& site)
      : input_(input), unit_(input.plan->unit), text_at_(site.fixed_bytes) {}

  Result<model::Value> Show(const Variable& variable, const LightField& field) {
    const TypeNode& declared = unit_.types[variable.type];
    // Shown as what it refers to, under the type that it was declared with.
    const TypeId type = declared.kind == TypeKind::kReference ? declared.target : variable.type;
    std::string name = unit_.strings[variable.name];
    if (field.offset > input_.record.size() ||
        input_.record.size() - field.offset < sizeof(LightValue)) {
      return Status(Code::kCorrupt, "light record: a field lies behind its end");
    }
    LightValue value;
    std::memcpy(&value, input_.record.data() + field.offset, sizeof value);
    const std::string& type_name = unit_.strings[declared.name];
    const Code code = static_cast<Code>(value.code & 0xff);
    if (code == Code::kRedacted) {
      return model::Value{std::move(name), type_name, "", false, model::ValueStatus::kRedacted,
                          "REDACTED",      {}};
    }
    if (value.code != 0) return Unavailable(std::move(name), type_name, code);
    Result<model::Value> shown = ShowKind(std::move(name), type, field, value);
    if (shown.ok()) shown->type = type_name;
    return shown;
  }

 private:
  CaptureLimits plan_limits() const { return input_.plan->limits; }

  Result<model::Value> ShowKind(std::string name, TypeId type, const LightField& field,
                                const LightValue& value) {
    if (field.kind == LightKind::kText) return ShowText(std::move(name), type, field, value);
    if (field.kind == LightKind::kCText) return ShowCText(std::move(name), type, field, value);
    if (field.kind == LightKind::kTrace) return ShowTrace(std::move(name), type);
    return ShowScalar(std::move(name), type, value);
  }

  // The next text in the record.
  Result<std::span<const uint8_t>> TakeText(const LightField& field, const LightValue& value) {
    const size_t begin = text_at_;
    if (value.text_bytes > field.text_capacity || begin > input_.record.size() ||
        value.text_bytes > input_.record.size() - begin) {
      return Status(Code::kCorrupt, "light record: a text lies behind its end");
    }
    text_at_ += (value.text_bytes + 7) & ~size_t{7};
    return input_.record.subspan(begin, value.text_bytes);
  }

  Result<model::Value> ShowTrace(std::string name, TypeId type) {
    TraceContextRecord trace;
    std::memcpy(&trace, input_.record.data() + sizeof(LightHeader), sizeof trace);
    const std::string digits = TraceText(trace).trace_id;
    std::vector<uint8_t> bytes(digits.begin(), digits.end());
    bytes.resize(unit_.types[type].size_bytes);
    return Format(std::move(name), type, std::move(bytes), {}, plan_limits());
  }

  Result<model::Value> ShowCText(std::string name, TypeId type, const LightField& field,
                                 const LightValue& value) {
    SF_ASSIGN_OR_RETURN(const auto text, TakeText(field, value));
    std::vector<uint8_t> pointer(sizeof value.value);
    std::memcpy(pointer.data(), &value.value, sizeof value.value);
    const ChunkStatus status = text.empty() ? kChunkUnreadable : kChunkOk;
    return Format(std::move(name), type, std::move(pointer), text, plan_limits(), value.value,
                  status);
  }

  Result<model::Value> ShowScalar(std::string name, TypeId type, const LightValue& value) {
    std::vector<uint8_t> bytes(sizeof value.value);
    std::memcpy(bytes.data(), &value.value, sizeof value.value);
    bytes.resize(std::min<size_t>(unit_.types[type].size_bytes, bytes.size()));
    return Format(std::move(name), type, std::move(bytes), {}, plan_limits());
  }

  Result<model::Value> ShowText(std::string name, TypeId type, const LightField& field,
                                const LightValue& value) {
    SF_ASSIGN_OR_RETURN(const auto text, TakeText(field, value));
    std::vector<uint8_t> object(unit_.types[type].size_bytes);
    if (object.size() < 8 || field.pointer_offset > object.size() - 8 ||
        field.size_offset > object.size() - 8) {
      return Status(Code::kCorrupt, "light record: not a text's type");
    }
    std::memcpy(object.data() + field.pointer_offset, &kTextAddress, 8);
    std::memcpy(object.data() + field.size_offset, &value.value, 8);
    CaptureLimits limits = plan_limits();
    limits.string_bytes = std::min(limits.string_bytes, value.text_bytes);
    return Format(std::move(name), type, std::move(object), text, limits);
  }

  Result<model::Value> Format(std::string name, TypeId type, std::vector<uint8_t> object,
                              std::span<const uint8_t> text, const CaptureLimits& limits,
                              uint64_t text_address = kTextAddress, ChunkStatus status = kChunkOk) {
    const WipedBytes bytes(RecordOfText(text, text_address, status));
    SF_ASSIGN_OR_RETURN(const RecordView record, RecordView::Parse(bytes.span()));
    FormatContext context;
    context.record = &record;
    context.limits = limits;
    context.symbol_name = input_.symbol_name;
    context.redaction = input_.redaction;
    std::vector<Code> reasons(object.size(), Code::kOk);
    ValueFormatter formatter(unit_, context);
    return formatter.Format(std::move(name), type,
                            Object::FromBytes(std::move(object), std::move(reasons)), 0);
  }

  const LightInput& input_;
  const PlanUnit& unit_;
  size_t text_at_;  // of the next text
};

model::Frame SiteFrame(const ProbePlan& plan, const SitePlan& site) {
  model::Frame frame;
  const std::string& path = plan.module_path;
  frame.module = path.substr(path.rfind('/') + 1);
  frame.build_id = plan.build_id;
  frame.pc = site.address.value;
  const PlanUnit& unit = plan.unit;
  if (site.frame >= unit.frames.size() || unit.frames[site.frame].virtual_count == 0) return frame;
  const VirtualFrame& source = unit.virtual_frames[unit.frames[site.frame].first_virtual];
  frame.function = unit.strings[source.function];
  frame.file = unit.strings[source.file];
  frame.line = source.line;
  frame.inlined = source.inlined != 0;
  return frame;
}

}  // namespace

Result<LightHeader> ReadLightHeader(std::span<const uint8_t> record) {
  LightHeader header{};
  if (record.size() < sizeof header + sizeof(TraceContextRecord)) {
    return Status(Code::kCorrupt, "light record: shorter than its head");
  }
  std::memcpy(&header, record.data(), sizeof header);
  return header;
}

Result<std::optional<uint64_t>> ReadSpanTicks(const LightInput& input, const LightHeader& header) {
  if (header.site_index >= input.sites.size()) {
    return Status(Code::kCorrupt, "light record: a site that the plan does not have");
  }
  const uint32_t offset = input.sites[header.site_index].span_offset;
  if (offset == 0) return std::optional<uint64_t>();
  LightValue value;
  if (offset > input.record.size() || input.record.size() - offset < sizeof value) {
    return Status(Code::kCorrupt, "light record: shorter than a span's");
  }
  std::memcpy(&value, input.record.data() + offset, sizeof value);
  return std::optional(value.value);
}

Result<model::Snapshot> BuildLightSnapshot(const LightInput& input) {
  SF_ASSIGN_OR_RETURN(const LightHeader header, ReadLightHeader(input.record));
  const ProbePlan& plan = *input.plan;
  if (header.site_index >= plan.sites.size() || header.site_index >= input.sites.size()) {
    return Status(Code::kCorrupt, "light record: a site that the plan does not have");
  }
  const SitePlan& site = plan.sites[header.site_index];
  const LightSite& light = input.sites[header.site_index];
  TraceContextRecord trace;
  std::memcpy(&trace, input.record.data() + sizeof header, sizeof trace);
  model::Snapshot snapshot;
  snapshot.thread_id = header.thread_id;
  snapshot.trace = TraceText(trace);
  LightReader reader(input, light);
  for (uint32_t i = 0; i < std::min(light.field_count, site.expression_count); ++i) {
    const Variable& variable = plan.unit.variables[site.first_expression + i];
    SF_ASSIGN_OR_RETURN(auto value, reader.Show(variable, light.fields[i]));
    snapshot.expressions.push_back(std::move(value));
  }
  snapshot.frames.push_back(SiteFrame(plan, site));
  return snapshot;
}

}  // namespace stillframe::decode
