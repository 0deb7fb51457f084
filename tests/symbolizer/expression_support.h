// A scope made by hand over variables of the test itself, so that the compiler of the test is the
// oracle: the same text is compiled twice, and both results must agree.
#ifndef STILLFRAME_TESTS_SYMBOLIZER_EXPRESSION_SUPPORT_H_
#define STILLFRAME_TESTS_SYMBOLIZER_EXPRESSION_SUPPORT_H_

#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/hit/interpreter.h"
#include "plan/verifier.h"
#include "symbolizer/expression.h"

namespace stillframe::expression_test {

inline bool ReadSelf(void*, uint64_t address, void* out, uint32_t size_bytes) {
  iovec local{out, size_bytes};
  iovec remote{reinterpret_cast<void*>(address), size_bytes};  // NOLINT: an address of ours
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size_bytes);
}

// Makes types and members in a unit.
class World : public Scope {
 public:
  PlanUnit unit;
  std::map<std::string, ScopeVariable> variables;
  std::map<std::string, EnumConstant> enumerators;
  uint64_t registers[kRegisterCount] = {};
  uint8_t xmm[kXmmCount][16] = {};

  std::optional<ScopeVariable> Find(std::string_view name) override {
    const auto found = variables.find(std::string(name));
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<EnumConstant> FindEnumerator(std::string_view name) override {
    const auto found = enumerators.find(std::string(name));
    return found == enumerators.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<std::string> VisibleNames() override {
    std::vector<std::string> names;
    for (const auto& [name, variable] : variables) names.push_back(name);
    return names;
  }

  StringId String(const std::string& text) {
    for (size_t i = 0; i < unit.strings.size(); ++i) {
      if (unit.strings[i] == text) return static_cast<StringId>(i);
    }
    unit.strings.push_back(text);
    return static_cast<StringId>(unit.strings.size() - 1);
  }

  TypeId Type(TypeKind kind, const std::string& name, size_t size, TypeId target = kVoidType,
              uint8_t flags = 0, uint64_t count = 0) {
    TypeNode node;
    node.kind = kind;
    node.name = String(name);
    node.size_bytes = static_cast<uint32_t>(size);
    node.target = target;
    node.flags = flags;
    node.count = count;
    unit.types.push_back(node);
    return static_cast<TypeId>(unit.types.size() - 1);
  }
  TypeId Pointer(TypeId target) {
    return Type(TypeKind::kPointer, unit.strings[unit.types[target].name] + " *", 8, target);
  }
  TypeId Reference(TypeId target) {
    return Type(TypeKind::kReference, unit.strings[unit.types[target].name] + " &", 8, target);
  }
  TypeId Enum(const std::string& name, size_t size, uint8_t flags, TypeId underlying,
              const std::vector<std::pair<std::string, int64_t>>& values) {
    const TypeId id = Type(TypeKind::kEnum, name, size, underlying, flags);
    unit.types[id].first_member = static_cast<uint32_t>(unit.enumerators.size());
    unit.types[id].member_count = static_cast<uint32_t>(values.size());
    for (const auto& [enumerator, value] : values) {
      Enumerator entry;
      entry.name = String(enumerator);
      entry.value = value;
      unit.enumerators.push_back(entry);
      enumerators[(flags & kFlagScopedEnum) != 0 ? name + "::" + enumerator : enumerator] = {id,
                                                                                             value};
    }
    return id;
  }

  Member Field(const std::string& name, TypeId type, size_t offset, uint8_t flags = 0,
               uint8_t bit_offset = 0, uint8_t bit_size = 0) {
    Member member;
    member.name = String(name);
    member.type = type;
    member.offset_bytes = static_cast<uint32_t>(offset);
    member.flags = flags;
    member.bit_offset = bit_offset;
    member.bit_size = bit_size;
    return member;
  }
  void SetMembers(TypeId type, const std::vector<Member>& members) {
    unit.types[type].first_member = static_cast<uint32_t>(unit.members.size());
    unit.types[type].member_count = static_cast<uint32_t>(members.size());
    unit.members.insert(unit.members.end(), members.begin(), members.end());
  }
  TypeId Viewed(const std::string& name, size_t size, const View& view) {
    const TypeId id = Type(TypeKind::kStruct, name, size);
    unit.views.push_back(view);
    unit.types[id].view = static_cast<uint32_t>(unit.views.size() - 1);
    return id;
  }
  static View MakeView(ViewKind kind, uint32_t a, uint32_t b, TypeId element, uint64_t count = 0) {
    View view;
    view.kind = kind;
    view.a = a;
    view.b = b;
    view.element = element;
    view.count = count;
    return view;
  }

  Program Code(const std::vector<Insn>& insns) {
    const Program program{static_cast<uint32_t>(unit.code.size()),
                          static_cast<uint32_t>(insns.size())};
    unit.code.insert(unit.code.end(), insns.begin(), insns.end());
    return program;
  }
  static Insn I(Op op, uint8_t a = 0, uint8_t b = 0, int64_t imm = 0) {
    return MakeInsn(op, imm, a, b);
  }

  ScopeVariable& InMemory(const std::string& name, TypeId type, const void* object) {
    ScopeVariable& variable = variables[name];
    variable.type = type;
    variable.location.kind = LocationKind::kMemory;
    const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(object));
    variable.location.program = Code({I(Op::kConst, 0, 0, address), I(Op::kReturn)});
    return variable;
  }
  ScopeVariable& InRegister(const std::string& name, TypeId type, uint8_t reg) {
    ScopeVariable& variable = variables[name];
    variable.type = type;
    variable.location.kind = LocationKind::kValue;
    variable.location.program = Code({I(Op::kRegister, reg), I(Op::kReturn)});
    return variable;
  }

  hit::EvalResult Run(const Program& program) {
    // What follows relies on it, as the hit path does.
    EXPECT_EQ(VerifyProgram(unit.code, program, unit.strings.size()).ToString(), "OK");
    std::vector<hit::StringRef> strings;
    for (const std::string& text : unit.strings) strings.push_back({text.data(), text.size()});
    hit::FrameContext frame{};
    frame.registers = registers;
    frame.valid_registers = 0xffff;
    frame.xmm = xmm;
    const hit::MemoryReader memory{&ReadSelf, nullptr};
    return hit::Evaluate(&unit.code[program.first], program.count, frame, memory, strings.data());
  }

  // "true", "false", or the status of compiling or running the condition.
  std::string Condition(std::string_view text) {
    const Result<Program> program = CompileCondition(text, *this, unit);
    if (!program.ok()) return program.status().ToString();
    const hit::EvalResult result = Run(*program);
    if (result.error != Code::kOk) return "runtime " + std::string(CodeName(result.error));
    EXPECT_LE(result.value, 1u) << text;
    return result.value != 0 ? "true" : "false";
  }

  // The bytes of a scalar watch.
  std::optional<uint64_t> Watch(std::string_view text, std::string* type, std::string* error) {
    const Result<Variable> variable = CompileWatch(text, *this, unit);
    if (!variable.ok()) {
      *error = variable.status().ToString();
      return std::nullopt;
    }
    EXPECT_EQ(VerifyUnit(unit).ToString(), "OK") << text;
    const TypeNode& node = unit.types[variable->type];
    *type = unit.strings[node.name];
    const Location& location = variable->location;
    EXPECT_TRUE(location.kind == LocationKind::kMemory || location.kind == LocationKind::kValue)
        << text;
    hit::EvalResult result = Run(location.program);
    if (result.error != Code::kOk) {
      *error = "runtime " + std::string(CodeName(result.error));
      return std::nullopt;
    }
    if (location.kind == LocationKind::kValue) return result.value;
    uint64_t bytes = 0;
    if (!ReadSelf(nullptr, result.value, &bytes, node.size_bytes)) *error = "unreadable";
    return bytes;
  }
};

template <typename T>
std::string NameOfType() {
  using U = std::remove_cvref_t<T>;
  if (std::is_same_v<U, bool>) return "bool";
  if (std::is_same_v<U, char>) return "char";
  if (std::is_same_v<U, int>) return "int";
  if (std::is_same_v<U, unsigned>) return "unsigned int";
  if (std::is_same_v<U, long>) return "long";
  if (std::is_same_v<U, unsigned long>) return "unsigned long";
  if (std::is_same_v<U, long long>) return "long long";
  if (std::is_same_v<U, unsigned long long>) return "unsigned long long";
  if (std::is_same_v<U, float>) return "float";
  if (std::is_same_v<U, double>) return "double";
  return "";  // not checked
}

// The watch of `text` has the value and the type that the compiler gave to the same tokens.
template <typename T>
void ExpectSame(World& world, const char* text, const T& expected) {
  std::string type, error;
  const std::optional<uint64_t> bytes = world.Watch(text, &type, &error);
  ASSERT_TRUE(bytes && error.empty()) << text << ": " << error;
  T actual{};
  std::memcpy(&actual, &*bytes, sizeof(T));
  EXPECT_EQ(std::memcmp(&actual, &expected, sizeof(T)), 0)
      << text << ": " << +actual << " instead of " << +expected;
  if (!NameOfType<T>().empty()) {
    EXPECT_EQ(type, NameOfType<T>()) << text;
  }
  EXPECT_EQ(world.Condition(text), expected ? "true" : "false") << text;
}

// NOLINTNEXTLINE: the text is the point
#define SF_SAME(world, ...) ExpectSame((world), #__VA_ARGS__, (__VA_ARGS__))

}  // namespace stillframe::expression_test

#endif  // STILLFRAME_TESTS_SYMBOLIZER_EXPRESSION_SUPPORT_H_
