#include "symbolizer/frame_compiler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "symbolizer/array_bounds.h"
#include "symbolizer/call_site_reader.h"
#include "symbolizer/dwarf_util.h"
#include "symbolizer/frame_compiler_parts.h"
#include "symbolizer/frame_compiler_scope.h"
#include "symbolizer/frame_compiler_tables.h"
#include "symbolizer/inline_chain_lines.h"
#include "symbolizer/location_compiler.h"
#include "symbolizer/scope_reader.h"
#include "symbolizer/split_units.h"
#include "symbolizer/type_builder.h"

namespace stillframe {
namespace {

using dwarf::FrameParts;
using dwarf::LocalVariable;
using dwarf::LocationContext;
using dwarf::ScopeChain;

// What tells where the function is declared: it itself, or the closure's type (GCC does not say it
// of a lambda's operator(); that of a destructor which nobody wrote is declared nowhere).
Dwarf_Die DeclarationOf(const Dwarf_Die& function) {
  const Dwarf_Die origin = dwarf::Origin(function);
  if (!dwarf::DeclFile(origin).empty() || dwarf::Name(origin) != "operator()") return origin;
  std::optional<Dwarf_Die> type = dwarf::Reference(origin, DW_AT_object_pointer);
  for (int depth = 0; type && depth < 5 && !dwarf::IsStructTag(dwarf::Tag(*type)); ++depth) {
    type = dwarf::TypeOf(*type);  // of the parameter: T* const, T*, const T, T
  }
  return type && dwarf::IsStructTag(dwarf::Tag(*type)) ? *type : origin;
}

// Index of the function of the chain in which the requested line stands. `sources` describes the
// same chain. In this order: a function whose call of the next inner one is on that line; the
// innermost one, if it is written in that file at all; the innermost one that is; the innermost one
// that does not begin at the pc: what does comes behind a statement that left no code.
size_t FunctionOfLine(const ScopeChain& chain, const std::vector<SourceFrame>& sources,
                      const RequestedLine& requested, LinkAddress pc) {
  if (requested.function != nullptr) {
    const auto named = [&](const dwarf::FunctionScope& scope) {
      return scope.function.addr == requested.function;
    };
    const auto found = std::find_if(chain.functions.begin(), chain.functions.end(), named);
    return found == chain.functions.end() ? 0
                                          : static_cast<size_t>(found - chain.functions.begin());
  }
  const auto declared_before = [&](size_t i) {
    const Dwarf_Die declared = DeclarationOf(chain.functions[i].function);
    const std::optional<Dwarf_Die> unit = dwarf::UnitOf(declared);
    return unit && dwarf::AbsolutePath(*unit, dwarf::DeclFile(declared)) == requested.file &&
           static_cast<uint32_t>(dwarf::Line(declared)) <= requested.line;
  };
  const size_t count = std::min(chain.functions.size(), sources.size());
  for (size_t i = 1; i < count; ++i) {
    if (sources[i].line == requested.line && sources[i].file == requested.file) return i;
  }
  for (size_t i = 0; i < count; ++i) {
    if (declared_before(i)) return i;
  }
  size_t inner = 0;
  while (inner + 1 < count && dwarf::BeginsAt(chain.functions[inner], pc)) ++inner;
  return inner;
}

// Takes away what lies inside the requested line's function.
void Trim(ScopeChain& chain, std::vector<SourceFrame>& sources, const RequestedLine& requested,
          LinkAddress pc) {
  if ((requested.file.empty() && requested.function == nullptr) || sources.empty()) return;
  const auto inner = static_cast<std::ptrdiff_t>(FunctionOfLine(chain, sources, requested, pc));
  // The line table tells of a function's beginning, unless code of another is inlined there.
  if (requested.function != nullptr && inner == 0) return;
  chain.functions.erase(chain.functions.begin(), chain.functions.begin() + inner);
  sources.erase(sources.begin(), sources.begin() + inner);
  if (requested.returning) return;
  sources[0].file = requested.file;
  sources[0].line = requested.line;
}

class ScopeImpl : public Scope {
 public:
  ScopeImpl(FrameParts& parts, const Dwarf_Die& unit, LinkAddress pc, ScopeChain chain,
            const RequestedLine& requested)
      : parts_(parts), unit_(unit), chain_(std::move(chain)) {
    context_.pc = pc;
    context_.lookup_pc = pc;
    context_.view = requested.view;
    if (chain_.functions.empty()) return;
    context_.subprogram = chain_.subprogram();
    std::vector<SourceFrame> sources = dwarf::DescribeChain(unit_, chain_, pc, parts_.namer);
    Trim(chain_, sources, requested, pc);
    const auto& function = chain_.functions.front();
    if (requested.returning && chain_.functions.size() == 1) returning_ = requested.returning;
    locals_ = dwarf::VisibleLocals(function, sources[0].file, sources[0].line);
    enclosing_ = parts_.namer.ScopeName(function.function);
  }

  std::optional<ScopeVariable> Find(std::string_view name) override {
    if (name.starts_with('$')) return FindResult(name);
    if (auto local = FindLocal(name, false)) return local;
    if (IsMemberOfThis(name)) return std::nullopt;
    if (const auto global = parts_.globals.FindVariable(unit_, enclosing_, name)) {
      return FindGlobal(*global);
    }
    // Optimized code may stand a little before the line that declares what is asked for.
    return FindLocal(name, true);
  }

  std::optional<EnumConstant> FindEnumerator(std::string_view name) override {
    const auto hit = parts_.globals.FindEnumerator(unit_, enclosing_, name);
    if (!hit) return std::nullopt;
    const TypeId type = parts_.types.Type(hit->enumeration);
    parts_.types.Finish();
    const TypeNode& node = parts_.types.Node(type);
    const TypeNode base = node;
    if (base.kind != TypeKind::kEnum) return std::nullopt;
    for (uint32_t i = 0; i < base.member_count; ++i) {
      const Enumerator& e = parts_.tables.unit().enumerators[base.first_member + i];
      if (parts_.tables.String(e.name) == hit->enumerator) return EnumConstant{type, e.value};
    }
    return std::nullopt;
  }

  std::optional<TypeId> FindType(std::string_view name) override {
    const auto found = parts_.globals.FindType(unit_, enclosing_, name);
    if (!found) return std::nullopt;
    const TypeId type = parts_.types.Type(*found);
    parts_.types.Finish();
    return type;
  }

  Result<std::vector<Program>> ExtentsOf(TypeId array) override {
    dwarf::Extents extents = dwarf::CompileExtents(array, context_, parts_.types, parts_.tables);
    if (extents.code != Code::kOk) return Status(extents.code, "its size is not known here");
    return std::move(extents.programs);
  }

  Status AddExtents(Variable& variable) override {
    const bool was_available = variable.location.kind != LocationKind::kUnavailable;
    parts_.AddExtents(variable, context_);
    if (!was_available || variable.location.kind != LocationKind::kUnavailable) return Status();
    return Status(variable.location.reason, "its size is not known here");
  }

  bool RedactsName(std::string_view name) override {
    return parts_.types.RedactsVariable(name, kVoidType);
  }

  std::string_view NameList() override {
    const RedactionPolicy* const policy = parts_.types.redaction();
    return policy == nullptr ? std::string_view() : policy->NameList();
  }

  bool AllowsRawMemory() override {
    const RedactionPolicy* const policy = parts_.types.redaction();
    return policy == nullptr || policy->AllowsRawMemory();
  }

  std::vector<std::string> VisibleNames() override {
    constexpr size_t kMaxGlobals = 1'000;
    std::vector<std::string> names;
    for (const LocalVariable& local : locals_) {
      if (!local.later) names.push_back(local.name);
    }
    if (const dwarf::UnitIndex* index = parts_.units.For(unit_)) {
      for (const std::string_view name : index->VariableNames(kMaxGlobals)) {
        names.emplace_back(name);
      }
    }
    return names;
  }

 private:
  std::optional<ScopeVariable> FindLocal(std::string_view name, bool later) {
    for (const LocalVariable& local : locals_) {
      if (local.name != name || local.later != later) continue;
      ScopeVariable found = Make(local.die, name, local.flags, context_);
      const bool parameter = (local.flags & kVariableParameter) != 0;
      if (returning_) parts_.TakeReleased(*returning_, parameter, found.location);
      found.key = dwarf::KeyOf(locals_, local);
      return found;
    }
    return std::nullopt;
  }

  std::optional<ScopeVariable> FindResult(std::string_view name) {
    if (name != kResultName || !returning_) return std::nullopt;
    const Dwarf_Die& function = chain_.functions.front().function;
    if (!dwarf::TypeOf(function)) return std::nullopt;
    ScopeVariable out;
    bool redacted = false;
    std::tie(out.type, out.location, redacted) = parts_.DescribeResult(function, *returning_);
    if (redacted) out.flags |= kVariableRedacted;
    return out;
  }

  std::optional<ScopeVariable> FindGlobal(const Dwarf_Die& die) {
    LocationContext context = context_;
    context.subprogram.reset();
    return Make(die, dwarf::Name(die), 0, context);
  }

  ScopeVariable Make(const Dwarf_Die& die, std::string_view name, uint8_t flags,
                     const LocationContext& context) {
    ScopeVariable out;
    std::tie(out.type, out.location) = parts_.Describe(die, context);
    if (HasEntryValue(parts_.tables.unit(), out.location)) out.recovered = kByEntryValue;
    parts_.types.Finish();
    out.flags = flags;
    if (parts_.types.RedactsVariable(name, out.type)) out.flags |= kVariableRedacted;
    return out;
  }

  // Members hide names outside the class (C++ [basic.lookup.unqual]); the caller finds them
  // through `this`.
  bool IsMemberOfThis(std::string_view name) {
    const auto self = FindLocal("this", false);
    if (!self) return false;
    const TypeNode& pointer = parts_.types.Node(self->type);
    return pointer.kind == TypeKind::kPointer && HasMember(pointer.target, name, 0);
  }

  bool HasMember(TypeId type, std::string_view name, int depth) {
    if (depth > 16) return false;
    for (const Member& member : parts_.types.Members(parts_.types.Node(type))) {
      const bool nested = (member.flags & (kMemberBase | kMemberAnonymous)) != 0;
      if (!nested && parts_.tables.String(member.name) == name) return true;
      if (nested && HasMember(member.type, name, depth + 1)) return true;
    }
    return false;
  }

  FrameParts& parts_;
  Dwarf_Die unit_;
  ScopeChain chain_;
  LocationContext context_;
  std::vector<LocalVariable> locals_;
  std::optional<Returning> returning_;
  std::string enclosing_;
};

class FrameCompilerImpl : public FrameCompiler {
 public:
  FrameCompilerImpl(Dwarf* dwarf, const RedactionPolicy* redaction, PlanUnit& unit,
                    dwarf::UnitCache* shared_units)
      : parts_(dwarf, redaction, unit, shared_units), unit_(unit) {}

  Result<uint32_t> AddFrame(Dwarf_Die* cu, LinkAddress pc, LinkAddress lookup_pc, bool innermost,
                            const RequestedLine& requested) override {
    if (cu == nullptr) return Status(Code::kInvalidArgument, "no unit for the frame");
    ScopeChain chain = ChainAt(*cu, lookup_pc);
    if (chain.functions.empty()) {
      if (parts_.units.split_units() != nullptr) return parts_.units.split_units()->WhyNone(*cu);
      return Status(Code::kNoDebugInfo, "no function in the debug information covers this address");
    }
    std::vector<SourceFrame> sources = dwarf::DescribeChain(*cu, chain, lookup_pc, parts_.namer);
    Trim(chain, sources, requested, lookup_pc);
    const LocationContext context{pc, lookup_pc, innermost, chain.subprogram(), requested.view};
    FramePlan frame;
    frame.pc = pc;
    Dwarf_Die innermost_die = chain.functions.front().function;
    frame.copy = dwarf_dieoffset(&innermost_die);
    frame.first_virtual = static_cast<uint32_t>(unit_.virtual_frames.size());
    frame.virtual_count = static_cast<uint32_t>(sources.size());
    for (size_t i = 0; i < sources.size(); ++i) {
      const bool is_left = requested.returning && i == 0 && sources.size() == 1;
      AddVirtual(chain.functions[i], sources[i], context,
                 is_left ? requested.returning : std::nullopt);
    }
    frame.function_entry = dwarf::FunctionEntryOf(chain.subprogram());
    frame.function_name = dwarf::ExternalNameHash(chain.subprogram());
    if (lookup_pc != pc) {
      const auto site = dwarf::FindCallSite(chain.subprogram(), pc);
      if (site) dwarf::AddCallParameters(*site, context, parts_.tables, frame);
    }
    frame.uses_entry_values = UsesEntryValues(frame) ? 1 : 0;
    const dwarf::UnitIndex* const unit_index = parts_.units.For(*cu);
    frame.has_lines_only = unit_index != nullptr && !unit_index->describes_values() ? 1 : 0;
    parts_.types.Finish();
    MarkRedacted(frame);
    for (const uint32_t index : implied_) ShowImplied(unit_.variables[index]);
    implied_.clear();
    unit_.frames.push_back(frame);
    return static_cast<uint32_t>(unit_.frames.size() - 1);
  }

  std::unique_ptr<Scope> OpenScope(Dwarf_Die* cu, LinkAddress pc,
                                   const RequestedLine& requested) override {
    const Dwarf_Die unit = cu == nullptr ? Dwarf_Die{} : *cu;
    ScopeChain chain = cu == nullptr ? ScopeChain{} : ChainAt(unit, pc);
    return std::make_unique<ScopeImpl>(parts_, unit, pc, std::move(chain), requested);
  }

 private:
  ScopeChain ChainAt(const Dwarf_Die& cu, LinkAddress pc) {
    const dwarf::UnitIndex* index = parts_.units.For(cu);
    const std::optional<Dwarf_Die> function =
        index == nullptr ? std::nullopt : index->FunctionAt(pc);
    return function ? dwarf::ReadScopes(*function, pc) : ScopeChain{};
  }

  void AddVirtual(const dwarf::FunctionScope& scope, const SourceFrame& source,
                  const LocationContext& context, const std::optional<Returning>& returning) {
    VirtualFrame frame;
    frame.function = parts_.tables.Intern(source.function);
    frame.file = parts_.tables.Intern(source.file);
    frame.line = source.line;
    frame.inlined = source.inlined ? 1 : 0;
    frame.first_variable = static_cast<uint32_t>(unit_.variables.size());
    if (returning) AddResult(scope.function, *returning);
    for (const LocalVariable& local : dwarf::VisibleLocals(scope, source.file, source.line)) {
      const bool artificial = (local.flags & kVariableArtificial) != 0;
      if (local.later || (artificial && dwarf::IsCompilersOwn(local.name))) continue;
      if (returning && (local.flags & kVariableParameter) == 0) continue;  // destroyed
      AddVariable(local, context);
      if (returning) parts_.TakeReleased(*returning, true, unit_.variables.back().location);
    }
    frame.variable_count = static_cast<uint32_t>(unit_.variables.size()) - frame.first_variable;
    unit_.virtual_frames.push_back(frame);
  }

  void AddResult(const Dwarf_Die& function, const Returning& returning) {
    if (!dwarf::TypeOf(function)) return;  // void
    Variable variable;
    variable.name = parts_.tables.Intern(kResultName);
    bool redacted = false;
    std::tie(variable.type, variable.location, redacted) =
        parts_.DescribeResult(function, returning);
    if (redacted) variable.flags |= kVariableRedacted;
    unit_.variables.push_back(variable);
  }

  void AddVariable(const LocalVariable& local, const LocationContext& context) {
    Variable variable;
    variable.name = parts_.tables.Intern(local.name);
    std::tie(variable.type, variable.location) = parts_.Describe(local.die, context);
    const auto implied = parts_.DescribeImplied(local.die, variable.type, context);
    if (implied) {
      variable.location = *implied;
      implied_.push_back(static_cast<uint32_t>(unit_.variables.size()));
    }
    parts_.AddExtents(variable, context);
    if (HasEntryValue(unit_, variable)) {
      variable.recovered = parts_.tables.Intern(kByEntryValue);
    }
    variable.flags |= local.flags;
    unit_.variables.push_back(variable);
  }

  // The variable's location is that of what it points to: under the pointer's type it is shown as a
  // reference is, or with its one member "*name", as GDB shows a pointer without a value.
  void ShowImplied(Variable& variable) {
    if (variable.location.kind == LocationKind::kUnavailable) return;
    const TypeNode pointer = unit_.types[variable.type];
    TypeNode shown = unit_.types[pointer.target];
    const bool spliced = shown.kind == TypeKind::kStruct || shown.kind == TypeKind::kUnion;
    if (pointer.kind == TypeKind::kPointer && !(spliced && shown.view == 0)) {
      Member member;
      member.name = parts_.tables.Intern("*" + parts_.tables.String(variable.name));
      member.type = pointer.target;
      const uint32_t size_bytes = shown.size_bytes;
      const uint8_t flags = shown.flags & (kFlagNeedsWalk | kFlagRedacted);
      shown = TypeNode{};
      shown.kind = TypeKind::kStruct;
      shown.flags = flags;
      shown.size_bytes = size_bytes;
      shown.first_member = static_cast<uint32_t>(unit_.members.size());
      shown.member_count = 1;
      unit_.members.push_back(member);
    }
    shown.name = pointer.name;
    variable.type = static_cast<TypeId>(unit_.types.size());
    unit_.types.push_back(shown);
    if (variable.recovered == 0) variable.recovered = parts_.tables.Intern("implicit pointer");
  }

  bool UsesEntryValues(const FramePlan& frame) const {
    for (uint32_t i = 0; i < frame.virtual_count; ++i) {
      const VirtualFrame& source = unit_.virtual_frames[frame.first_virtual + i];
      for (uint32_t j = 0; j < source.variable_count; ++j) {
        if (HasEntryValue(unit_, unit_.variables[source.first_variable + j])) return true;
      }
    }
    for (uint32_t i = 0; i < frame.parameter_count; ++i) {
      if (HasEntryValue(unit_, unit_.call_parameters[frame.first_parameter + i].program)) {
        return true;
      }
    }
    return HasEntryValue(unit_, frame.callee);
  }

  // After Finish(), when the types are final.
  void MarkRedacted(const FramePlan& frame) {
    for (uint32_t i = 0; i < frame.virtual_count; ++i) {
      const VirtualFrame& source = unit_.virtual_frames[frame.first_virtual + i];
      for (uint32_t j = 0; j < source.variable_count; ++j) {
        Variable& variable = unit_.variables[source.first_variable + j];
        if (parts_.types.RedactsVariable(parts_.tables.String(variable.name), variable.type)) {
          variable.flags |= kVariableRedacted;
        }
      }
    }
  }

  FrameParts parts_;
  PlanUnit& unit_;
  std::vector<uint32_t> implied_;  // variables of the frame being added
};

}  // namespace

std::unique_ptr<FrameCompiler> FrameCompiler::Create(Dwarf* dwarf, const RedactionPolicy* redaction,
                                                     PlanUnit& unit,
                                                     dwarf::UnitCache* shared_units) {
  return std::make_unique<FrameCompilerImpl>(dwarf, redaction, unit, shared_units);
}

}  // namespace stillframe
