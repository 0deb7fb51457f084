// The expression compiler: what it makes of any text passes the verifier and runs within its
// bounds.
#include "agent/hit/interpreter.h"
#include "plan/verifier.h"
#include "symbolizer/expression.h"
#include "tests/fuzz/fuzz.h"
#include "tests/symbolizer/expression_support.h"

namespace stillframe {
namespace {

using expression_test::World;

// Scalars of every kind, a pointer chain, a class, an enumeration and containers.
struct Objects {
  int32_t i = -3;
  uint64_t u = 7;
  double d = 1.5;
  uint8_t bytes[64] = {1, 2, 3};
  const void* pointer = bytes;
};

World& MakeWorld(const Objects& objects) {
  static World world;
  const TypeId int_type = world.Type(TypeKind::kSigned, "int", 4);
  const TypeId char_type = world.Type(TypeKind::kChar, "char", 1);
  const TypeId long_type = world.Type(TypeKind::kUnsigned, "unsigned long", 8);
  const TypeId double_type = world.Type(TypeKind::kFloat, "double", 8);
  const TypeId tier = world.Enum("Tier", 4, kFlagScopedEnum, int_type, {{"kGold", 1}});
  const TypeId node = world.Type(TypeKind::kStruct, "Node", 40);
  world.SetMembers(node,
                   {world.Field("id", int_type, 0), world.Field("next", world.Pointer(node), 8),
                    world.Field("tier", tier, 16), world.Field("low", int_type, 20, 0, 0, 3)});
  const TypeId text =
      world.Viewed("std::string", 32, World::MakeView(ViewKind::kString, 0, 8, char_type));
  const TypeId list =
      world.Viewed("std::vector<int>", 24, World::MakeView(ViewKind::kSequence, 0, 8, int_type));
  const TypeId maybe =
      world.Viewed("std::optional<int>", 8, World::MakeView(ViewKind::kOptional, 4, 0, int_type));
  const TypeId owner =
      world.Viewed("std::unique_ptr<Node>", 8, World::MakeView(ViewKind::kUniquePtr, 0, 0, node));
  world.InMemory("i", int_type, &objects.i);
  world.InMemory("u", long_type, &objects.u);
  world.InMemory("d", double_type, &objects.d);
  world.InMemory("node", node, objects.bytes);
  world.InMemory("p", world.Pointer(node), &objects.pointer);
  world.InMemory("s", text, objects.bytes);
  world.InMemory("v", list, objects.bytes);
  world.InMemory("o", maybe, objects.bytes);
  world.InMemory("q", owner, &objects.pointer);
  world.InMemory("t", tier, &objects.i);
  world.InMemory("a", world.Type(TypeKind::kArray, "int [4]", 16, int_type, 0, 4), objects.bytes);
  world.InRegister("r", long_type, 3);
  return world;
}

// Reads the objects above and refuses the rest.
bool Read(void* self, uint64_t address, void* out, uint32_t size_bytes) {
  const auto begin = reinterpret_cast<uint64_t>(self);
  if (address < begin || address - begin > sizeof(Objects)) return false;
  if (size_bytes > sizeof(Objects) - (address - begin)) return false;
  std::memcpy(out, static_cast<const char*>(self) + (address - begin), size_bytes);
  return true;
}

void Run(const World& world, const Program& program, Objects& objects) {
  const Status status = VerifyProgram(world.unit.code, program, world.unit.strings.size());
  if (!status.ok()) fuzz::Broken("programs verify", __FILE__, __LINE__, status.ToString());
  std::vector<hit::StringRef> strings;
  for (const std::string& string : world.unit.strings) {
    strings.push_back({string.data(), string.size()});
  }
  hit::FrameContext frame{};
  frame.registers = world.registers;
  frame.valid_registers = 0xffff;
  frame.xmm = world.xmm;
  const hit::MemoryReader memory{&Read, &objects};
  (void)hit::Evaluate(&world.unit.code[program.first], program.count, frame, memory,
                      strings.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Objects objects;
  static World& world = MakeWorld(objects);
  static const PlanUnit fresh = world.unit;
  const std::string_view text = fuzz::AsText(data, size);
  const Status syntax = CheckExpressionSyntax(text);
  const Result<Program> condition = CompileCondition(text, world, world.unit);
  SF_FUZZ_CHECK(!condition.ok() || syntax.ok());
  if (condition.ok()) Run(world, *condition, objects);
  const Result<Variable> watch = CompileWatch(text, world, world.unit);
  SF_FUZZ_CHECK(!watch.ok() || syntax.ok());
  if (watch.ok() && !watch->location.program.empty()) Run(world, watch->location.program, objects);
  const Status unit = VerifyUnit(world.unit);
  if (!unit.ok()) fuzz::Broken("units verify", __FILE__, __LINE__, unit.ToString());
  world.unit = fresh;
  return 0;
}

}  // namespace stillframe
