#include "agent/decode/snapshot_builder.h"

#include <algorithm>

#include "agent/decode/location_reader.h"
#include "agent/decode/trace_text.h"
#include "agent/decode/value_formatter.h"
#include "plan/entry_key.h"

namespace stillframe::decode {
namespace {

// Shows one unit's variables in one machine frame.
class FrameReader {
 public:
  FrameReader(const RecordView& record, uint32_t index, const PlanUnit& unit, uint64_t load_bias,
              uint64_t tls_module, const hit::EntryValues& entry, FormatContext& context)
      : unit_(unit),
        stashed_(entry.stashed),
        context_(context),
        reader_(record, index, unit, load_bias, tls_module, &entry),
        formatter_(unit, context, load_bias) {}

  model::Value Show(const Variable& variable) {
    const TypeNode& type = unit_.types[variable.type];
    std::string name = unit_.strings[variable.name];
    std::string type_name = unit_.strings[type.name];
    if ((variable.flags & kVariableRedacted) != 0) return Hidden(variable);
    auto object = reader_.Resolve(variable.location, type.size_bytes);
    if (object.status().code() == Code::kRedacted) return Hidden(variable);
    if (!object.ok()) {
      return Unavailable(std::move(name), std::move(type_name), object.status().code());
    }
    if (variable.extent_count != 0) return ShowCounted(std::move(name), variable, *object);
    model::Value value = variable.filter.empty()
                             ? formatter_.Format(std::move(name), variable.type, *object, 0)
                             : Filtered(std::move(name), variable, *object);
    return Labelled(std::move(value), variable);
  }

  // The index-th variable of a source-level frame, which another one may tell to be a secret.
  model::Value ShowLocal(const VirtualFrame& frame, uint32_t index) {
    const Variable& variable = unit_.variables[frame.first_variable + index];
    const Variable* const key = KeyVariableOf(unit_, frame, index);
    return key != nullptr && IsSecretKey(*key) ? Hidden(variable) : Show(variable);
  }

 private:
  model::Value Hidden(const Variable& variable) const {
    return {unit_.strings[variable.name],
            unit_.strings[unit_.types[variable.type].name],
            "",
            false,
            model::ValueStatus::kRedacted,
            "REDACTED",
            {}};
  }

  bool IsSecretKey(const Variable& key) {
    const CaptureLimits limits = context_.limits;
    const uint32_t values_left = context_.values_left;
    context_.limits.string_bytes = std::max(limits.string_bytes, kCheckedTextBytes);
    const model::Value shown = Show(key);
    context_.limits = limits;
    context_.values_left = values_left;
    // Of a name that is not known the worst is believed.
    const bool unknown =
        !shown.has_value && shown.children.empty() && shown.status != model::ValueStatus::kRedacted;
    return unknown ? MayName(unit_, key.type) : formatter_.NamesSecret(shown);
  }

  model::Value ShowCounted(std::string name, const Variable& variable, const Object& object) {
    std::vector<uint64_t> counts;
    for (uint32_t i = 0; i < variable.extent_count; ++i) {
      const auto count = reader_.Run(unit_.extents[variable.first_extent + i]);
      if (!count.ok()) {
        return formatter_.FormatUncounted(std::move(name), variable.type, object,
                                          count.status().code());
      }
      counts.push_back(*count);
    }
    return Labelled(formatter_.FormatCounted(std::move(name), variable.type, object, counts),
                    variable);
  }

  model::Value Labelled(model::Value value, const Variable& variable) const {
    if (variable.recovered != 0 && value.status == model::ValueStatus::kExact) {
      value.status = model::ValueStatus::kRecovered;
      value.reason = unit_.strings[variable.recovered];
      if (value.reason == kByEntryValue && UsesStash(variable)) value.reason = "stashed at entry";
    }
    return value;
  }

  bool UsesStash(const Program& program) const {
    for (uint64_t i = program.first; i < uint64_t{program.first} + program.count; ++i) {
      if (i >= unit_.code.size()) return false;
      const Insn& insn = unit_.code[i];
      if (insn.op == Op::kEntryValue && (stashed_ >> insn.a & 1) != 0) return true;
    }
    return false;
  }

  bool UsesStash(const Variable& variable) const {
    const Location& location = variable.location;
    for (uint64_t i = 0; i < location.piece_count; ++i) {
      const uint64_t piece = location.first_piece + i;
      if (piece < unit_.pieces.size() && UsesStash(unit_.pieces[piece].program)) return true;
    }
    for (uint64_t i = 0; i < variable.extent_count; ++i) {
      if (UsesStash(unit_.extents[variable.first_extent + i])) return true;
    }
    return UsesStash(location.program) || UsesStash(variable.filter);
  }

  model::Value Filtered(std::string name, const Variable& variable, const Object& object) {
    const auto wanted = [&](uint64_t address) {
      const auto holds = reader_.RunFilter(variable.filter, address);
      if (!holds.ok()) return holds.status().code();
      return *holds != 0 ? Code::kOk : Code::kNotFound;
    };
    return formatter_.FormatFiltered(std::move(name), variable.type, object, wanted);
  }

  const PlanUnit& unit_;
  const uint32_t stashed_;  // entry cells that only a probe at the entry knew
  FormatContext& context_;
  LocationReader reader_;
  ValueFormatter formatter_;
};

const FramePlan* PlanOf(const FrameMeaning& meaning) {
  if (meaning.unit == nullptr || meaning.frame >= meaning.unit->frames.size()) return nullptr;
  return &meaning.unit->frames[meaning.frame];
}

// What frame `index` + 1 passes to frame `index`; see hit/capture.cc, which did the same. Here the
// plans are complete: the hit may not have had those of callers that it met first.
hit::EntryValues ReadEntryValues(const RecordView& record, const std::vector<FrameMeaning>& frames,
                                 uint32_t index, const hit::EntryValues& of_caller) {
  hit::EntryValues out{};
  const FramePlan* const callee = PlanOf(frames[index]);
  if (callee != nullptr && callee->may_tail_call_itself != 0) {
    out.absent = Code::kTailCallAmbiguous;
  }
  const FramePlan* const caller = index + 1 < frames.size() ? PlanOf(frames[index + 1]) : nullptr;
  if (callee == nullptr || caller == nullptr || callee->uses_entry_values == 0 ||
      callee->may_tail_call_itself != 0 || record.frames()[index + 1].pc_is_exact != 0) {
    return out;
  }
  const FrameMeaning& from = frames[index + 1];
  const LocationReader reader(record, index + 1, *from.unit, from.load_bias, from.tls_module,
                              &of_caller);
  if (caller->callee.empty()) {
    if (!CallsFunction(*caller, from.load_bias, *callee, frames[index].load_bias)) return out;
  } else {
    const auto target = reader.Run(caller->callee);
    const uint64_t entry = callee->function_entry.value + frames[index].load_bias;
    if (!target.ok() || *target != entry) return out;
  }
  for (uint32_t i = 0; i < caller->parameter_count; ++i) {
    const CallParameter& parameter = from.unit->call_parameters[caller->first_parameter + i];
    const auto value = reader.Run(parameter.program);
    if (!value.ok()) continue;
    out.cells[parameter.cell] = *value;
    out.valid |= 1u << parameter.cell;
  }
  return out;
}

// The same with what a probe at the function's entry stashed, which is certain.
hit::EntryValues AddStashed(const RecordView& record, uint32_t index, hit::EntryValues out) {
  const StashedValues* const values = record.stashed(index);
  if (values == nullptr) return out;
  const auto absent = static_cast<Code>(values->absent);
  const bool is_reason = absent == Code::kEntryNotStashed || absent == Code::kEntryNotProbed ||
                         absent == Code::kOverBudget;
  if (values->valid == 0 && is_reason) out.absent = absent;
  for (uint32_t i = 0; i < kStashCells; ++i) {
    if ((values->valid >> i & 1) == 0) continue;
    const bool same = (out.valid >> i & 1) != 0 && out.cells[i] == values->cells[i];
    if (!same) out.stashed |= 1u << i;  // the caller does not tell
    out.cells[i] = values->cells[i];
    out.valid |= 1u << i;
  }
  return out;
}

// From the outermost in: what a frame passes on may be what it was given itself.
std::vector<hit::EntryValues> AllEntryValues(const RecordView& record,
                                             const std::vector<FrameMeaning>& frames) {
  std::vector<hit::EntryValues> entries(frames.size() + 1);
  for (auto i = static_cast<uint32_t>(frames.size()); i-- != 0;) {
    entries[i] = AddStashed(record, i, ReadEntryValues(record, frames, i, entries[i + 1]));
  }
  return entries;
}

// Appends the source-level frames of one machine frame.
void AppendFrames(const FrameMeaning& meaning, const RecordView& record, uint32_t index,
                  bool with_variables, const hit::EntryValues& entry, FormatContext& context,
                  model::Snapshot& out) {
  const FrameRecord& machine = record.frames()[index];
  model::Frame base;
  base.module = meaning.module;
  base.build_id = meaning.build_id;
  base.pc = machine.pc - meaning.load_bias;
  const PlanUnit* unit = meaning.unit;
  // Only a signal leaves a caller at the very instruction that is next: this frame is the kernel's
  // return from the handler, which has no name or an internal one. Named as GDB does.
  const bool is_signal_return =
      index + 1 < record.frames().size() && record.frames()[index + 1].pc_is_exact != 0;
  const std::string fallback = is_signal_return ? "<signal handler called>" : "";
  if (unit == nullptr || meaning.frame >= unit->frames.size()) {
    base.function = is_signal_return ? fallback : meaning.function;
    base.variables_reason = CodeName(Code::kNoDebugInfo);
    out.frames.push_back(std::move(base));
    return;
  }
  const FramePlan& plan = unit->frames[meaning.frame];
  FrameReader reader(record, index, *unit, meaning.load_bias, meaning.tls_module, entry, context);
  for (uint32_t v = 0; v < plan.virtual_count; ++v) {
    const VirtualFrame& source = unit->virtual_frames[plan.first_virtual + v];
    model::Frame frame = base;
    frame.function = unit->strings[source.function];
    if (frame.function.empty()) frame.function = fallback;
    frame.file = unit->strings[source.file];
    frame.line = source.line;
    frame.inlined = source.inlined != 0;
    const bool lines_only = plan.has_lines_only != 0 && source.variable_count == 0;
    if (frame.file.empty() || lines_only) {
      frame.variables_reason = CodeName(Code::kNoDebugInfo);
    } else if (!with_variables) {
      frame.variables_reason = CodeName(Code::kLimit);
    } else {
      for (uint32_t i = 0; i < source.variable_count; ++i) {
        frame.variables.push_back(reader.ShowLocal(source, i));
      }
    }
    out.frames.push_back(std::move(frame));
  }
}

// Between frame `index` and its caller: what the call names is not what runs.
void AppendEnded(const BuildInput& input, const RecordView& record,
                 const std::vector<FrameMeaning>& frames, uint32_t index, model::Snapshot& out) {
  const FramePlan* const callee = PlanOf(frames[index]);
  const FramePlan* const caller = index + 1 < frames.size() ? PlanOf(frames[index + 1]) : nullptr;
  if (callee == nullptr || caller == nullptr || callee->function_entry.value == 0 ||
      caller->callee_entry.value == 0 || record.frames()[index + 1].pc_is_exact != 0) {
    return;
  }
  const uint64_t running = callee->function_entry.value + frames[index].load_bias;
  const uint64_t called = caller->callee_entry.value + frames[index + 1].load_bias;
  if (called == running) return;
  for (model::Frame& frame : input.ended_between(called, running)) {
    frame.module = frames[index].module;
    frame.build_id = frames[index].build_id;
    frame.variables_reason = CodeName(Code::kTailCall);
    out.frames.push_back(std::move(frame));
  }
}

void AppendExpressions(const BuildInput& input, const SitePlan& site, const RecordView& record,
                       const hit::EntryValues& entry, FormatContext& context,
                       model::Snapshot& out) {
  if (site.expression_count == 0) return;
  const PlanUnit& unit = input.plan->unit;
  FrameReader reader(record, 0, unit, input.load_bias, input.tls_module, entry, context);
  for (uint32_t i = 0; i < site.expression_count; ++i) {
    out.expressions.push_back(reader.Show(unit.variables[site.first_expression + i]));
  }
}

}  // namespace

Result<model::Snapshot> BuildSnapshot(const BuildInput& input) {
  SF_ASSIGN_OR_RETURN(RecordView record, RecordView::Parse(input.record));
  if (input.live) record.ReadLive();
  const RecordHeader& header = record.header();
  if (record.frames().empty() || header.site_index >= input.plan->sites.size()) {
    return Status(Code::kCorrupt, "record: no frame, or a site that the plan does not have");
  }
  const SitePlan& site = input.plan->sites[header.site_index];
  FormatContext context;
  context.record = &record;
  context.limits = input.limits;
  context.symbol_name = input.symbol_name;
  context.redaction = input.redaction;
  model::Snapshot snapshot;
  snapshot.thread_id = header.thread_id;
  snapshot.truncated = record.truncated();
  snapshot.trace = TraceText(header.trace);
  std::vector<FrameMeaning> frames(record.frames().size());
  const std::string& path = input.plan->module_path;
  frames[0] = {&input.plan->unit,
               site.frame,
               input.load_bias,
               input.tls_module,
               path.substr(path.rfind('/') + 1),
               input.plan->build_id,
               ""};
  for (size_t i = 1; i < frames.size() && input.resolve_frame; ++i) {
    const FrameRecord& frame = record.frames()[i];
    frames[i] = input.resolve_frame(frame.pc, frame.pc_is_exact != 0);
  }
  const std::vector<hit::EntryValues> entries = AllEntryValues(record, frames);
  const auto show = [&] {
    // Watches first: when values run out they are what was asked for.
    AppendExpressions(input, site, record, entries[0], context, snapshot);
    for (uint32_t i = input.plan->hides_site_frame && frames.size() > 1 ? 1 : 0; i < frames.size();
         ++i) {
      AppendFrames(frames[i], record, i, i < input.limits.local_frames, entries[i], context,
                   snapshot);
      if (input.ended_between) AppendEnded(input, record, frames, i, snapshot);
    }
  };
  show();
  if (context.containers.asked() && !context.containers.empty()) {
    // Once more, as the containers are known to which the iterators may belong.
    context.containers.Close();
    context.values_left = FormatContext().values_left;
    snapshot.expressions.clear();
    snapshot.frames.clear();
    show();
  }
  return snapshot;
}

}  // namespace stillframe::decode
