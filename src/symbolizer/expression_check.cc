#include "symbolizer/expression_check.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "symbolizer/expression.h"
#include "symbolizer/expression_parser.h"
#include "symbolizer/frame_compiler.h"

namespace stillframe {
namespace {

// Remembers what is asked for.
class RecordingScope : public Scope {
 public:
  RecordingScope(Scope& scope, const PlanUnit& unit) : scope_(scope), unit_(unit) {}

  std::optional<ScopeVariable> Find(std::string_view name) override {
    std::optional<ScopeVariable> found = scope_.Find(name);
    if (found) {
      Remember(std::string(name), *found);
    } else {
      missed_.emplace(name);
    }
    return found;
  }
  std::optional<EnumConstant> FindEnumerator(std::string_view name) override {
    missed_.erase(std::string(name));  // so it is no member of `this` either
    return scope_.FindEnumerator(name);
  }
  std::optional<TypeId> FindType(std::string_view name) override { return scope_.FindType(name); }
  bool RedactsName(std::string_view name) override { return scope_.RedactsName(name); }
  std::string_view NameList() override { return scope_.NameList(); }
  bool AllowsRawMemory() override { return scope_.AllowsRawMemory(); }
  std::vector<std::string> VisibleNames() override { return scope_.VisibleNames(); }

  // Without a trace when there is no such variable.
  void AskFor(std::string_view name) {
    if (const auto found = scope_.Find(name)) Remember(std::string(name), *found);
  }

  // The compiler asks for `this` whenever it does not know a name.
  std::vector<NeededVariable> Take(bool names_this) {
    if (!names_this && missed_.empty()) {
      std::erase_if(variables_, [](const NeededVariable& one) { return one.name == "this"; });
    }
    return std::move(variables_);
  }

 private:
  void Remember(const std::string& name, const ScopeVariable& found) {
    const auto same = [&](const NeededVariable& one) { return one.name == name; };
    if (std::any_of(variables_.begin(), variables_.end(), same)) return;
    NeededVariable needed;
    needed.name = name;
    needed.type = unit_.strings[unit_.types[found.type].name];
    needed.recovered = found.recovered;
    if ((found.flags & kVariableRedacted) != 0) {
      needed.reason = Code::kRedacted;
    } else if (found.location.kind == LocationKind::kUnavailable) {
      needed.reason =
          found.location.reason == Code::kOk ? Code::kOptimizedOut : found.location.reason;
    }
    variables_.push_back(std::move(needed));
  }

  Scope& scope_;
  const PlanUnit& unit_;
  std::vector<NeededVariable> variables_;
  std::set<std::string> missed_;
};

// The compiler stops at the first fault; the reader wants to know of every variable.
// `elements`: names that are the ranges' own.
void AskForNames(const expression::Node& node, RecordingScope& scope, bool& names_this,
                 std::set<std::string> elements) {
  if (node.kind == expression::NodeKind::kRange) elements.insert(node.type);
  if (node.kind == expression::NodeKind::kName && !elements.contains(node.text) &&
      !node.text.starts_with('$')) {
    names_this |= node.text == "this";
    scope.AskFor(node.text);
  }
  for (const auto& child : node.child) {
    if (child != nullptr) AskForNames(*child, scope, names_this, elements);
  }
}

}  // namespace

CheckedExpression CheckExpression(std::string_view text, Scope& scope, PlanUnit& unit) {
  CheckedExpression out;
  RecordingScope recording(scope, unit);
  const Result<Variable> watch = CompileWatch(text, recording, unit);
  out.status = watch.status();
  out.as_condition = watch.status();
  if (watch.ok()) {
    out.type = unit.strings[unit.types[watch->type].name];
    out.as_condition = CompileCondition(text, recording, unit).status();
  }
  bool names_this = false;
  const auto tree = expression::Parse(text);
  if (tree.ok()) AskForNames(**tree, recording, names_this, {});
  out.variables = recording.Take(names_this);
  return out;
}

namespace {

std::string FunctionAt(FrameCompiler& frames, const LineSite& site, const RequestedLine& requested,
                       const PlanUnit& unit) {
  const auto index = frames.AddFrame(site.unit, site.address, site.address, true, requested);
  if (!index.ok() || unit.frames[*index].virtual_count == 0) return "";
  return unit.strings[unit.virtual_frames[unit.frames[*index].first_virtual].function];
}

}  // namespace

std::vector<CheckedExpression> CheckSites(ModuleDebug& debug, const std::vector<LineSite>& sites,
                                          std::string_view text, const RedactionPolicy* redaction) {
  PlanUnit unit;
  const std::unique_ptr<FrameCompiler> frames =
      FrameCompiler::Create(debug.file->dwarf(), redaction, unit, &debug.unit_cache);
  std::vector<CheckedExpression> out;
  for (const LineSite& site : sites) {
    const RequestedLine requested{site.file, site.line, site.function, site.returning, site.view};
    const std::unique_ptr<Scope> scope = frames->OpenScope(site.unit, site.address, requested);
    CheckedExpression checked;
    if (scope == nullptr) {
      checked.status = Status(Code::kNotInScope, "no function covers this address");
    } else {
      checked = CheckExpression(text, *scope, unit);
    }
    checked.address = site.address;
    checked.function = FunctionAt(*frames, site, requested, unit);
    out.push_back(std::move(checked));
  }
  return out;
}

}  // namespace stillframe
