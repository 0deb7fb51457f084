#include "agent/decode/snapshot_builder.h"

#include <algorithm>

#include "agent/decode/location_reader.h"
#include "agent/decode/trace_text.h"
#include "agent/decode/value_formatter.h"

namespace stillframe::decode {
namespace {

// Shows one unit's variables in one machine frame.
class FrameReader {
 public:
  FrameReader(const RecordView& record, uint32_t index, const PlanUnit& unit, uint64_t load_bias,
              FormatContext& context)
      : unit_(unit), reader_(record, index, unit, load_bias), formatter_(unit, context) {}

  model::Value Show(const Variable& variable) {
    const TypeNode& type = unit_.types[variable.type];
    std::string name = unit_.strings[variable.name];
    std::string type_name = unit_.strings[type.name];
    if ((variable.flags & kVariableRedacted) != 0) {
      return {std::move(name),
              std::move(type_name),
              "",
              false,
              model::ValueStatus::kRedacted,
              "REDACTED",
              {}};
    }
    auto object = reader_.Resolve(variable.location, type.size_bytes);
    if (!object.ok()) {
      return Unavailable(std::move(name), std::move(type_name), object.status().code());
    }
    model::Value value = formatter_.Format(std::move(name), variable.type, *object, 0);
    if (variable.recovered != 0 && value.status == model::ValueStatus::kExact) {
      value.status = model::ValueStatus::kRecovered;
      value.reason = unit_.strings[variable.recovered];
    }
    return value;
  }

 private:
  const PlanUnit& unit_;
  LocationReader reader_;
  ValueFormatter formatter_;
};

// Appends the source-level frames of one machine frame.
void AppendFrames(const FrameMeaning& meaning, const RecordView& record, uint32_t index,
                  bool with_variables, FormatContext& context, model::Snapshot& out) {
  const FrameRecord& machine = record.frames()[index];
  model::Frame base;
  base.module = meaning.module;
  base.build_id = meaning.build_id;
  base.pc = machine.pc - meaning.load_bias;
  const PlanUnit* unit = meaning.unit;
  if (unit == nullptr || meaning.frame >= unit->frames.size()) {
    base.function = meaning.function;
    base.variables_reason = CodeName(Code::kNoDebugInfo);
    out.frames.push_back(std::move(base));
    return;
  }
  const FramePlan& plan = unit->frames[meaning.frame];
  FrameReader reader(record, index, *unit, meaning.load_bias, context);
  for (uint32_t v = 0; v < plan.virtual_count; ++v) {
    const VirtualFrame& source = unit->virtual_frames[plan.first_virtual + v];
    model::Frame frame = base;
    frame.function = unit->strings[source.function];
    frame.file = unit->strings[source.file];
    frame.line = source.line;
    frame.inlined = source.inlined != 0;
    if (frame.file.empty()) {
      frame.variables_reason = CodeName(Code::kNoDebugInfo);
    } else if (!with_variables) {
      frame.variables_reason = CodeName(Code::kLimit);
    } else {
      for (uint32_t i = 0; i < source.variable_count; ++i) {
        frame.variables.push_back(reader.Show(unit->variables[source.first_variable + i]));
      }
    }
    out.frames.push_back(std::move(frame));
  }
}

void AppendExpressions(const BuildInput& input, const SitePlan& site, const RecordView& record,
                       FormatContext& context, model::Snapshot& out) {
  if (site.expression_count == 0) return;
  const PlanUnit& unit = input.plan->unit;
  FrameReader reader(record, 0, unit, input.load_bias, context);
  for (uint32_t i = 0; i < site.expression_count; ++i) {
    out.expressions.push_back(reader.Show(unit.variables[site.first_expression + i]));
  }
}

}  // namespace

Result<model::Snapshot> BuildSnapshot(const BuildInput& input) {
  SF_ASSIGN_OR_RETURN(const RecordView record, RecordView::Parse(input.record));
  const RecordHeader& header = record.header();
  if (record.frames().empty() || header.site_index >= input.plan->sites.size()) {
    return Status(Code::kCorrupt, "record: no frame, or a site that the plan does not have");
  }
  const SitePlan& site = input.plan->sites[header.site_index];
  FormatContext context;
  context.record = &record;
  context.limits = input.limits;
  context.symbol_name = input.symbol_name;
  model::Snapshot snapshot;
  snapshot.thread_id = header.thread_id;
  snapshot.truncated = record.truncated();
  snapshot.trace = TraceText(header.trace);
  // Watches first: when values run out they are what was asked for.
  AppendExpressions(input, site, record, context, snapshot);
  for (uint32_t i = 0; i < record.frames().size(); ++i) {
    FrameMeaning meaning;
    if (i == 0) {
      const std::string& path = input.plan->module_path;
      meaning = {&input.plan->unit,    site.frame,
                 input.load_bias,      path.substr(path.rfind('/') + 1),
                 input.plan->build_id, ""};
    } else if (input.resolve_frame) {
      const FrameRecord& frame = record.frames()[i];
      meaning = input.resolve_frame(frame.pc, frame.pc_is_exact != 0);
    }
    AppendFrames(meaning, record, i, i < input.limits.local_frames, context, snapshot);
  }
  return snapshot;
}

}  // namespace stillframe::decode
