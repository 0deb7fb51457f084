#include "symbolizer/throw_plan.h"

#include <algorithm>
#include <optional>

#include "symbolizer/function_sites.h"

namespace stillframe {
namespace {

// Itanium C++ ABI §2.9.5: type_info is {vptr, name}; __si_class_type_info has its base behind that,
// __vmi_class_type_info flags, a count, and the first of its bases.
constexpr int64_t kNameOffset = 8;
constexpr int64_t kSingleBaseOffset = 16;
constexpr int64_t kFirstBaseOffset = 24;
constexpr int kMaxBases = 8;
constexpr int64_t kVtableHeaderBytes = 16;
// psABI: the first two arguments.
constexpr uint8_t kObject = 5;  // rdi
constexpr uint8_t kType = 4;    // rsi

// Programs in the making: jumps to the end are filled in when it is known.
class Assembler {
 public:
  void Emit(Op op, uint8_t a = 0, int64_t imm = 0) { code_.push_back(MakeInsn(op, imm, a)); }
  void Jump(Op op, std::vector<size_t>& to) {
    to.push_back(code_.size());
    Emit(op);
  }
  void Here(const std::vector<size_t>& from) {
    for (const size_t at : from) code_[at].imm = static_cast<int64_t>(code_.size() - at);
  }
  Program AddTo(PlanUnit& unit) const {
    const Program program{static_cast<uint32_t>(unit.code.size()),
                          static_cast<uint32_t>(code_.size())};
    unit.code.insert(unit.code.end(), code_.begin(), code_.end());
    return program;
  }

 private:
  std::vector<Insn> code_;
};

class ThrowCompiler {
 public:
  ThrowCompiler(const SymbolTable& symbols, PlanUnit& unit)
      : unit_(unit),
        single_(Vtable(symbols, "_ZTVN10__cxxabiv120__si_class_type_infoE")),
        multiple_(Vtable(symbols, "_ZTVN10__cxxabiv121__vmi_class_type_infoE")) {}

  // Leaves control at `matches` when the type or a first base has one of the names, else goes on.
  // The type stays on the stack either way.
  void Match(Assembler& code, const std::vector<StringId>& names, std::vector<size_t>& matches) {
    code.Emit(Op::kRegister, kType);
    std::vector<size_t> end;
    for (int level = 0; level < kMaxBases; ++level) {
      for (const StringId name : names) {
        code.Emit(Op::kDup);
        code.Emit(Op::kAddImm, 0, kNameOffset);
        code.Emit(Op::kLoad, 8);
        code.Emit(Op::kCStringEq, 0, name);
        code.Jump(Op::kJumpIfNonZero, matches);
      }
      if (level + 1 < kMaxBases) GoToBase(code, end);
    }
    code.Here(end);
  }

  StringId Intern(std::string_view text) {
    unit_.strings.emplace_back(text);
    return static_cast<StringId>(unit_.strings.size() - 1);
  }

  // Type info names of internal types begin with '*'.
  std::vector<StringId> InternNames(const std::vector<std::string>& types) {
    std::vector<StringId> names;
    for (const std::string& type : types) {
      names.push_back(Intern(type));
      names.push_back(Intern("*" + type));
    }
    return names;
  }

  Program Condition(const std::vector<std::string>& types) {
    if (types.empty()) return {};
    Assembler code;
    std::vector<size_t> matches;
    Match(code, InternNames(types), matches);
    code.Emit(Op::kConst, 0, 0);
    code.Emit(Op::kReturn);
    code.Here(matches);
    code.Emit(Op::kConst, 0, 1);
    code.Emit(Op::kReturn);
    return code.AddTo(unit_);
  }

  Program TypeName() {
    Assembler code;
    code.Emit(Op::kRegister, kType);
    code.Emit(Op::kAddImm, 0, kNameOffset);
    code.Emit(Op::kLoad, 8);
    code.Emit(Op::kReturn);
    return code.AddTo(unit_);
  }

  // libstdc++: both hold their text in a __cow_string, one pointer behind the vptr.
  Program What() {
    Assembler code;
    std::vector<size_t> matches;
    Match(code, {Intern("St11logic_error"), Intern("St13runtime_error")}, matches);
    code.Emit(Op::kFail, static_cast<uint8_t>(Code::kUnsupportedType));
    code.Here(matches);
    code.Emit(Op::kRegister, kObject);
    code.Emit(Op::kAddImm, 0, 8);
    code.Emit(Op::kLoad, 8);
    code.Emit(Op::kReturn);
    return code.AddTo(unit_);
  }

 private:
  static std::optional<LinkAddress> Vtable(const SymbolTable& symbols, std::string_view name) {
    return symbols.FindObject(name);
  }

  void JumpUnlessVtable(Assembler& code, const std::optional<LinkAddress>& vtable,
                        std::vector<size_t>& otherwise) {
    code.Emit(Op::kDup);
    code.Emit(Op::kLoad, 8);
    code.Emit(vtable ? Op::kModuleAddress : Op::kConst, 0,
              vtable ? static_cast<int64_t>(vtable->value) + kVtableHeaderBytes : 0);
    code.Emit(Op::kEq);
    code.Jump(Op::kJumpIfZero, otherwise);
  }

  void GoToBase(Assembler& code, std::vector<size_t>& none) {
    std::vector<size_t> not_single, done;
    JumpUnlessVtable(code, single_, not_single);
    code.Emit(Op::kAddImm, 0, kSingleBaseOffset);
    code.Emit(Op::kLoad, 8);
    code.Jump(Op::kJump, done);
    code.Here(not_single);
    JumpUnlessVtable(code, multiple_, none);
    code.Emit(Op::kAddImm, 0, kFirstBaseOffset);
    code.Emit(Op::kLoad, 8);
    code.Here(done);
  }

  PlanUnit& unit_;
  std::optional<LinkAddress> single_, multiple_;
};

TypeId AddCString(PlanUnit& unit, ThrowCompiler& compiler) {
  TypeNode character;
  character.kind = TypeKind::kChar;
  character.name = compiler.Intern("const char");
  character.size_bytes = 1;
  unit.types.push_back(character);
  TypeNode pointer;
  pointer.kind = TypeKind::kPointer;
  pointer.flags = kFlagNeedsWalk;
  pointer.name = compiler.Intern("const char *");
  pointer.size_bytes = 8;
  pointer.target = static_cast<TypeId>(unit.types.size() - 1);
  unit.types.push_back(pointer);
  return static_cast<TypeId>(unit.types.size() - 1);
}

void AddWatch(PlanUnit& unit, StringId name, TypeId type, const Program& program) {
  Variable variable;
  variable.name = name;
  variable.type = type;
  variable.location.kind = LocationKind::kValue;
  variable.location.program = program;
  unit.variables.push_back(variable);
}

}  // namespace

Result<ProbePlan> CompileThrow(const ElfFile& module, const SymbolTable& symbols,
                               const std::vector<std::string>& types, const CaptureLimits& limits) {
  const auto entry = symbols.FindByName("__cxa_throw");
  if (!entry) {
    return Status(Code::kFunctionNotFound, "__cxa_throw is not in this module");
  }
  ProbePlan plan;
  plan.build_id = module.build_id();
  plan.limits = limits;
  plan.hides_site_frame = true;
  PlanUnit& unit = plan.unit;
  ThrowCompiler compiler(symbols, unit);
  SitePlan site;
  site.address = SkipLandingPad(module, *entry);
  site.function = compiler.Intern("__cxa_throw");
  site.condition = compiler.Condition(types);
  site.expression_count = 2;
  const TypeId text = AddCString(unit, compiler);
  AddWatch(unit, compiler.Intern(kThrowTypeWatch), text, compiler.TypeName());
  AddWatch(unit, compiler.Intern(kThrowWhatWatch), text, compiler.What());
  VirtualFrame frame;
  frame.function = site.function;
  unit.virtual_frames.push_back(frame);
  FramePlan machine;
  machine.pc = site.address;
  machine.virtual_count = 1;
  unit.frames.push_back(machine);
  plan.sites.push_back(site);
  return plan;
}

std::string PlainTypeInfoName(std::string_view type) {
  if (type.empty() || type.find_first_of("<>() *&") != std::string_view::npos) return "";
  std::string mangled;
  int components = 0;
  bool in_std = false;
  while (!type.empty()) {
    const size_t end = std::min(type.find("::"), type.size());
    const std::string_view part = type.substr(0, end);
    if (part.empty()) return "";
    in_std = in_std || (components == 0 && part == "std");
    mangled += components == 0 && part == "std" ? "St" : std::to_string(part.size());
    if (!(components == 0 && part == "std")) mangled += part;
    ++components;
    type.remove_prefix(std::min(end + 2, type.size()));
  }
  const bool nested = components > (in_std ? 2 : 1);
  return nested ? "N" + mangled + "E" : mangled;
}

std::vector<std::string> TypeInfoNames(const SymbolTable& symbols, std::string_view type) {
  constexpr std::string_view kPrefix = "_ZTS";
  constexpr std::string_view kDemangled = "typeinfo name for ";
  std::vector<std::string> names;
  if (const std::string plain = PlainTypeInfoName(type); !plain.empty()) names.push_back(plain);
  symbols.ForEachObject(kPrefix, [&](const std::string& mangled) {
    std::string demangled = Demangle(mangled);
    if (!demangled.starts_with(kDemangled)) return;
    demangled.erase(0, kDemangled.size());
    const std::string name = mangled.substr(kPrefix.size());
    const bool known = std::find(names.begin(), names.end(), name) != names.end();
    if (demangled == type && !known) names.push_back(name);
  });
  return names;
}

}  // namespace stillframe
