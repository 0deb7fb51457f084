#include "symbolizer/thrown_object.h"

#include <memory>
#include <vector>

#include "symbolizer/expression.h"
#include "symbolizer/expression_check.h"
#include "symbolizer/frame_compiler.h"

namespace stillframe {
namespace {

constexpr std::string_view kObjectName = "$exception";
constexpr uint8_t kObject = 5;  // rdi, __cxa_throw's first argument

// `$exception` and the names of types and enumerators; variables belong to another module than the
// plan.
class ThrownScope : public Scope {
 public:
  ThrownScope(Scope& names, TypeId type, const Program& address)
      : names_(names), type_(type), address_(address) {}

  std::optional<ScopeVariable> Find(std::string_view name) override {
    if (name != kObjectName) return std::nullopt;
    ScopeVariable object;
    object.type = type_;
    object.location.kind = LocationKind::kMemory;
    object.location.reason = Code::kOk;
    object.location.program = address_;
    return object;
  }
  std::optional<EnumConstant> FindEnumerator(std::string_view name) override {
    return names_.FindEnumerator(name);
  }
  std::optional<TypeId> FindType(std::string_view name) override { return names_.FindType(name); }
  bool RedactsName(std::string_view name) override { return names_.RedactsName(name); }
  std::string_view NameList() override { return names_.NameList(); }
  bool AllowsRawMemory() override { return names_.AllowsRawMemory(); }
  std::vector<std::string> VisibleNames() override { return {std::string(kObjectName)}; }

 private:
  Scope& names_;
  TypeId type_;
  Program address_;
};

// The scope of throws of a type, as `debug` has it.
class OpenedScope {
 public:
  OpenedScope(ModuleDebug& debug, const std::string& type, const RedactionPolicy* redaction,
              PlanUnit& unit)
      : status_(Code::kNotFound, "no type '" + type + "' in the debug information") {
    Dwarf_Die* any = nullptr;
    const size_t count = debug.units.unit_count();
    for (size_t i = 0; i < count && any == nullptr; ++i) any = debug.units.unit(i);
    if (any == nullptr) return;
    compiler_ = FrameCompiler::Create(debug.file->dwarf(), redaction, unit, &debug.unit_cache);
    names_ = compiler_->OpenScope(any, LinkAddress(0));
    const std::optional<TypeId> found = names_->FindType(type);
    if (!found) return;
    const Program address{static_cast<uint32_t>(unit.code.size()), 2};
    unit.code.push_back(MakeInsn(Op::kRegister, 0, kObject));
    unit.code.push_back(MakeInsn(Op::kReturn));
    scope_ = std::make_unique<ThrownScope>(*names_, *found, address);
    status_ = Status();
  }
  const Status& status() const { return status_; }
  Scope& scope() const { return *scope_; }  // when the status is OK

 private:
  Status status_;
  std::unique_ptr<FrameCompiler> compiler_;
  std::unique_ptr<Scope> names_;
  std::unique_ptr<ThrownScope> scope_;
};

// Once the type matches, the condition decides: it takes the place of the "yes".
Program Append(PlanUnit& unit, const Program& match, const Program& condition) {
  const std::vector<Insn> code = unit.code;
  const Program both{static_cast<uint32_t>(code.size()),
                     match.empty() ? condition.count : match.count - 2 + condition.count};
  const auto copy = [&](const Program& from, uint32_t count) {
    unit.code.insert(unit.code.end(), code.begin() + from.first, code.begin() + from.first + count);
  };
  if (!match.empty()) copy(match, match.count - 2);
  copy(condition, condition.count);
  return both;
}

}  // namespace

Status AddThrownObject(ModuleDebug& debug, const ThrownRequest& request,
                       const RedactionPolicy* redaction, ProbePlan& plan) {
  PlanUnit& unit = plan.unit;
  const size_t types = unit.types.size();
  const OpenedScope opened(debug, request.type, redaction, unit);
  SF_RETURN_IF_ERROR(opened.status());
  Scope& scope = opened.scope();
  SitePlan& site = plan.sites[0];
  if (!request.condition.empty()) {
    auto condition = CompileCondition(request.condition, scope, unit, request.items);
    if (!condition.ok()) return condition.status().WithContext("condition");
    site.condition = Append(unit, site.condition, *condition);
  }
  const std::vector<Variable> own(
      unit.variables.begin() + site.first_expression,
      unit.variables.begin() + site.first_expression + site.expression_count);
  std::vector<Variable> watches;
  const auto compile = [&](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      auto watch = CompileWatch(text, scope, unit, request.items);
      if (!watch.ok()) return watch.status().WithContext("expression '" + text + "'");
      watches.push_back(*watch);
    }
    return Status();
  };
  SF_RETURN_IF_ERROR(compile(request.leading));
  watches.insert(watches.end(), own.begin(), own.end());
  SF_RETURN_IF_ERROR(compile(request.expressions));
  site.first_expression = static_cast<uint32_t>(unit.variables.size());
  site.expression_count = static_cast<uint32_t>(watches.size());
  unit.variables.insert(unit.variables.end(), watches.begin(), watches.end());
  // Their vtables lie in the type's module, and addresses in the plan are its own module's.
  for (size_t i = types; i < unit.types.size(); ++i) unit.types[i].derived_count = 0;
  return Status();
}

Result<std::vector<CheckedExpression>> CheckThrownObject(ModuleDebug& debug,
                                                         const std::string& type,
                                                         std::string_view text,
                                                         const RedactionPolicy* redaction) {
  PlanUnit unit;
  const OpenedScope opened(debug, type, redaction, unit);
  SF_RETURN_IF_ERROR(opened.status());
  return std::vector<CheckedExpression>{CheckExpression(text, opened.scope(), unit)};
}

}  // namespace stillframe
