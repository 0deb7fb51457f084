#include "symbolizer/throw_plan.h"

#include <algorithm>
#include <cstring>
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
constexpr int64_t kFirstOffsetFlags = 32;
constexpr int64_t kVtableHeaderBytes = 16;
// libstdc++'s unwind-cxx.h: what __cxa_get_globals gives begins with the exceptions that are being
// handled, the last first. An exception's header ends where the object begins; one that only refers
// to another's object says so in the last byte of its class.
constexpr int64_t kHeaderBytes = 112;
constexpr int64_t kClassOffset = 80;
constexpr int64_t kDependent = 1;
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
  ThrowCompiler(const SymbolTable& symbols, PlanUnit& unit,
                std::optional<int64_t> handled = std::nullopt)
      : unit_(unit),
        single_(Vtable(symbols, "_ZTVN10__cxxabiv120__si_class_type_infoE")),
        multiple_(Vtable(symbols, "_ZTVN10__cxxabiv121__vmi_class_type_infoE")),
        handled_(handled) {}

  // Leaves control at `matches` when the type or a first base has one of the names, else goes on.
  // The type stays on the stack either way.
  void Match(Assembler& code, const std::vector<StringId>& names, bool as_is,
             std::vector<size_t>& matches) {
    PushType(code);
    std::vector<size_t> end;
    for (int level = 0; level < kMaxBases; ++level) {
      for (const StringId name : names) {
        code.Emit(Op::kDup);
        code.Emit(Op::kAddImm, 0, kNameOffset);
        code.Emit(Op::kLoad, 8);
        code.Emit(Op::kCStringEq, 0, name);
        code.Jump(Op::kJumpIfNonZero, matches);
      }
      if (level + 1 < kMaxBases) GoToBase(code, as_is, end);
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

  Program Condition(const std::vector<std::string>& types, bool as_is) {
    if (types.empty()) return {};
    Assembler code;
    std::vector<size_t> matches;
    Match(code, InternNames(types), as_is, matches);
    code.Emit(Op::kConst, 0, 0);
    code.Emit(Op::kReturn);
    code.Here(matches);
    code.Emit(Op::kConst, 0, 1);
    code.Emit(Op::kReturn);
    return code.AddTo(unit_);
  }

  Program TypeName() {
    Assembler code;
    PushType(code);
    code.Emit(Op::kAddImm, 0, kNameOffset);
    code.Emit(Op::kLoad, 8);
    code.Emit(Op::kReturn);
    return code.AddTo(unit_);
  }

  // libstdc++: both hold their text in a __cow_string, one pointer behind the vptr.
  Program What() {
    Assembler code;
    std::vector<size_t> matches;
    Match(code, {Intern("St11logic_error"), Intern("St13runtime_error")}, true, matches);
    code.Emit(Op::kFail, static_cast<uint8_t>(Code::kUnsupportedType));
    code.Here(matches);
    PushObject(code);
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

  void GoToBase(Assembler& code, bool as_is, std::vector<size_t>& none) {
    std::vector<size_t> not_single, done;
    JumpUnlessVtable(code, single_, not_single);
    code.Emit(Op::kAddImm, 0, kSingleBaseOffset);
    code.Emit(Op::kLoad, 8);
    code.Jump(Op::kJump, done);
    code.Here(not_single);
    JumpUnlessVtable(code, multiple_, none);
    if (as_is) {  // the offset's and the flags' word is public (2) and nothing else
      std::vector<size_t> at_front;
      code.Emit(Op::kDup);
      code.Emit(Op::kAddImm, 0, kFirstOffsetFlags);
      code.Emit(Op::kLoad, 8);
      code.Emit(Op::kConst, 0, ~int64_t{2});
      code.Emit(Op::kAnd);
      code.Jump(Op::kJumpIfZero, at_front);
      code.Emit(Op::kFail, static_cast<uint8_t>(Code::kUnsupportedLocation));
      code.Here(at_front);
    }
    code.Emit(Op::kAddImm, 0, kFirstBaseOffset);
    code.Emit(Op::kLoad, 8);
    code.Here(done);
  }

  // The thrown object's address.
  void PushObject(Assembler& code) const {
    if (!handled_) return code.Emit(Op::kRegister, kObject);
    std::vector<size_t> there, dependent, done;
    code.Emit(Op::kThreadLocal, 0, *handled_);
    code.Emit(Op::kLoad, 8);
    code.Emit(Op::kDup);
    code.Jump(Op::kJumpIfNonZero, there);
    code.Emit(Op::kFail, static_cast<uint8_t>(Code::kNotFound));
    code.Here(there);
    code.Emit(Op::kDup);
    code.Emit(Op::kAddImm, 0, kClassOffset);
    code.Emit(Op::kLoad, 1);
    code.Emit(Op::kConst, 0, kDependent);
    code.Emit(Op::kEq);
    code.Jump(Op::kJumpIfNonZero, dependent);
    code.Emit(Op::kAddImm, 0, kHeaderBytes);
    code.Jump(Op::kJump, done);
    code.Here(dependent);
    code.Emit(Op::kLoad, 8);
    code.Here(done);
  }

  void PushType(Assembler& code) const {
    if (!handled_) return code.Emit(Op::kRegister, kType);
    PushObject(code);
    code.Emit(Op::kAddImm, 0, -kHeaderBytes);
    code.Emit(Op::kLoad, 8);
  }

  PlanUnit& unit_;
  std::optional<LinkAddress> single_, multiple_;
  std::optional<int64_t>
      handled_;  // where the thread keeps what is handled; else it is thrown here
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

// One site in the runtime, without variables of its own.
ProbePlan RuntimePlan(const ElfFile& module, LinkAddress entry, const CaptureLimits& limits,
                      std::string_view name) {
  ProbePlan plan;
  plan.build_id = module.build_id();
  plan.limits = limits;
  plan.hides_site_frame = true;
  PlanUnit& unit = plan.unit;
  SitePlan site;
  site.address = SkipLandingPad(module, entry);
  site.function = static_cast<StringId>(unit.strings.size());
  unit.strings.emplace_back(name);
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

void AddWatches(ProbePlan& plan, ThrowCompiler& compiler) {
  PlanUnit& unit = plan.unit;
  plan.sites[0].expression_count = 2;
  const TypeId text = AddCString(unit, compiler);
  AddWatch(unit, compiler.Intern(kThrowTypeWatch), text, compiler.TypeName());
  AddWatch(unit, compiler.Intern(kThrowWhatWatch), text, compiler.What());
}

int32_t Word(const std::vector<uint8_t>& code, size_t at) {
  int32_t word = 0;
  std::memcpy(&word, code.data() + at, sizeof word);
  return word;
}

// std::terminate gets the handler and calls what calls it; so does everything else that terminates.
// Its own address when that cannot be seen.
LinkAddress TerminateSite(const SymbolTable& symbols, const CodeReader& read_code,
                          LinkAddress terminate) {
  constexpr uint32_t kBytes = 40;
  constexpr uint8_t kCall = 0xe8;
  constexpr int64_t kFar = 64 << 10;
  const std::vector<uint8_t> code = read_code(terminate, kBytes);
  for (size_t at = 0; at + 5 <= code.size(); ++at) {
    if (code[at] != kCall) continue;
    const LinkAddress target =
        terminate + at + 5 + static_cast<uint64_t>(int64_t{Word(code, at + 1)});
    const int64_t distance = target - terminate;
    if (distance > -kFar && distance < kFar && symbols.PltName(target).empty() &&
        !read_code(target, 1).empty()) {
      return target;
    }
  }
  return terminate;
}

// The runtime's thread-local globals, from the module's block: __cxa_get_globals calls
// __tls_get_addr for that and adds the offset ("48 05 imm32", add rax). nullopt: it does otherwise.
std::optional<int64_t> GlobalsOffset(const SymbolTable& symbols, const CodeReader& read_code) {
  constexpr uint32_t kBytes = 40;
  const auto entry = symbols.FindByName("__cxa_get_globals");
  if (!entry) return std::nullopt;
  const std::vector<uint8_t> code = read_code(*entry, kBytes);
  bool called = false;
  for (size_t at = 0; at + 7 <= code.size(); ++at) {
    if (code[at] == 0xe8 && !called) {
      const LinkAddress target =
          *entry + at + 5 + static_cast<uint64_t>(int64_t{Word(code, at + 1)});
      called = symbols.PltName(target) == "__tls_get_addr";
      if (called) at += 4;
    } else if (called && code[at] == 0x48 && code[at + 1] == 0x05) {
      return code[at + 6] == 0xc3 ? std::optional<int64_t>(Word(code, at + 2)) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<ProbePlan> CompileThrow(const ElfFile& module, const SymbolTable& symbols,
                               const std::vector<std::string>& types, bool as_is,
                               const CaptureLimits& limits) {
  const auto entry = symbols.FindByName("__cxa_throw");
  if (!entry) {
    return Status(Code::kFunctionNotFound, "__cxa_throw is not in this module");
  }
  ProbePlan plan = RuntimePlan(module, *entry, limits, "__cxa_throw");
  ThrowCompiler compiler(symbols, plan.unit);
  plan.sites[0].condition = compiler.Condition(types, as_is);
  AddWatches(plan, compiler);
  return plan;
}

Result<ProbePlan> CompileTerminate(const ElfFile& module, const SymbolTable& symbols,
                                   const CodeReader& read_code, const CaptureLimits& limits) {
  const auto terminate = symbols.FindByName("_ZSt9terminatev");
  if (!terminate) {
    return Status(Code::kFunctionNotFound, "std::terminate is not in this module");
  }
  ProbePlan plan =
      RuntimePlan(module, TerminateSite(symbols, read_code, *terminate), limits, "std::terminate");
  plan.last_words = true;
  if (const auto globals = GlobalsOffset(symbols, read_code)) {
    ThrowCompiler compiler(symbols, plan.unit, globals);
    AddWatches(plan, compiler);
  }
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
