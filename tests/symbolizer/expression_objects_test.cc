// Members, pointers and library types over live objects of this program; what the compiler of the
// test makes of the same text is the expected value.
#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>

#include "symbolizer/expression_parser.h"
#include "tests/symbolizer/expression_support.h"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Winvalid-offsetof"
#pragma clang diagnostic ignored "-Wtautological-pointer-compare"
#else
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Waddress"
#endif

namespace stillframe::expression_test {
namespace {

enum class Tier : uint8_t { kBasic, kGold = 2 };

struct Item {
  long price = 0;
  std::string name;
  double weight = 0;
};

struct Base {
  int base_id = 11;
  int shadowed = 1;
};

struct Order : Base {
  long id = 17;
  int shadowed = 2;
  std::vector<Item> items;
  std::string customer = "Ada";
  std::string_view note = "be quick";
  Tier tier = Tier::kGold;
  float rate = 0.5f;
  unsigned three : 3 = 5;
  int five : 5 = -3;
  unsigned long wide_bits : 40 = 0xfffffffffful;
  union {
    int as_int = 7;
    unsigned char as_bytes[4];
  };
  std::unique_ptr<Item> extra;
  std::shared_ptr<Item> shared;
  std::unique_ptr<Item> none;
  std::optional<Item> maybe;
  std::optional<Item> absent;
  std::array<int, 4> fixed = {10, 20, 30, 40};
  int grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
  const char* title = "urgent";
  char code[4] = {'A', 'B', 'C', 'D'};
  char word[8] = "hey";
  Order* next = nullptr;
  Order* self = nullptr;
  void* opaque = nullptr;
  std::map<int, int> tree = {{1, 2}, {3, 4}};
  std::unordered_map<int, int> hash = {{1, 2}};
  std::string password = "hunter2";

  explicit Order(bool fill) {
    if (!fill) return;
    items = {{5, "nut", 0.25}, {7, "bolt", 1.5}};
    extra = std::make_unique<Item>(Item{99, "extra", 3});
    shared = std::make_shared<Item>(Item{77, "shared", 4});
    maybe = Item{55, "maybe", 5};
    self = this;
  }
};

Order order(true);
Order* pointer = &order;
const Order& reference = order;
std::vector<int> empty_vector;

class Objects : public testing::Test {
 protected:
  Objects() {
    int_ = world.Type(TypeKind::kSigned, "int", 4);
    long_ = world.Type(TypeKind::kSigned, "long", 8);
    double_ = world.Type(TypeKind::kFloat, "double", 8);
    char_ = world.Type(TypeKind::kChar, "char", 1);
    string_ = world.Viewed("std::string", sizeof(std::string),
                           World::MakeView(ViewKind::kString, 0, 8, char_));
    view_ = world.Viewed("std::string_view", sizeof(std::string_view),
                         World::MakeView(ViewKind::kStringView, 8, 0, char_));
    item_ = world.Type(TypeKind::kStruct, "Item", sizeof(Item));
    world.SetMembers(item_, {world.Field("price", long_, offsetof(Item, price)),
                             world.Field("name", string_, offsetof(Item, name)),
                             world.Field("weight", double_, offsetof(Item, weight))});
    order_ = world.Type(TypeKind::kStruct, "Order", sizeof(Order));
    pointer_ = world.Pointer(order_);
    const TypeId base = world.Type(TypeKind::kStruct, "Base", sizeof(Base));
    world.SetMembers(base, {world.Field("base_id", int_, offsetof(Base, base_id)),
                            world.Field("shadowed", int_, offsetof(Base, shadowed))});
    world.SetMembers(order_, OrderMembers(base));
    world.InMemory("order", order_, &order);
    world.InMemory("pointer", pointer_, &pointer);
    const Order* address = &reference;
    std::memcpy(&world.registers[3], &address, 8);
    world.InRegister("reference", world.Reference(order_), 3);
    world.InMemory("empty_vector", Vector(int_), &empty_vector);
  }

  TypeId Vector(TypeId element) {
    const std::string name = world.unit.strings[world.unit.types[element].name];
    return world.Viewed("std::vector<" + name + ">", 24,
                        World::MakeView(ViewKind::kSequence, 0, 8, element));
  }

  std::vector<Member> OrderMembers(TypeId base) {
    const TypeId uint = world.Type(TypeKind::kUnsigned, "unsigned int", 4);
    const TypeId ulong_ = world.Type(TypeKind::kUnsigned, "unsigned long", 8);
    const TypeId uchar = world.Type(TypeKind::kChar, "unsigned char", 1, kVoidType, kFlagUnsigned);
    const TypeId tier = world.Enum("Tier", 1, kFlagScopedEnum | kFlagUnsigned, uchar,
                                   {{"kBasic", 0}, {"kGold", 2}});
    const TypeId float_ = world.Type(TypeKind::kFloat, "float", 4);
    const TypeId bytes = world.Type(TypeKind::kArray, "unsigned char [4]", 4, uchar, 0, 4);
    const TypeId anonymous = world.Type(TypeKind::kUnion, "Order::{union}", 4);
    world.SetMembers(anonymous,
                     {world.Field("as_int", int_, 0), world.Field("as_bytes", bytes, 0)});
    const TypeId unique = world.Viewed("std::unique_ptr<Item>", 8,
                                       World::MakeView(ViewKind::kUniquePtr, 0, 0, item_));
    const TypeId shared = world.Viewed("std::shared_ptr<Item>", 16,
                                       World::MakeView(ViewKind::kSharedPtr, 0, 8, item_));
    const TypeId optional =
        world.Viewed("std::optional<Item>", sizeof(std::optional<Item>),
                     World::MakeView(ViewKind::kOptional, sizeof(Item), 0, item_));
    const TypeId fixed = world.Viewed("std::array<int, 4>", 16,
                                      World::MakeView(ViewKind::kInlineArray, 0, 0, int_, 4));
    const TypeId row = world.Type(TypeKind::kArray, "int [3]", 12, int_, 0, 3);
    const TypeId grid = world.Type(TypeKind::kArray, "int [2][3]", 24, row, 0, 2);
    const TypeId chars4 = world.Type(TypeKind::kArray, "char [4]", 4, char_, 0, 4);
    const TypeId chars8 = world.Type(TypeKind::kArray, "char [8]", 8, char_, 0, 8);
    View map = World::MakeView(ViewKind::kTree, 16, 40, int_);
    map.d = 8;
    const TypeId tree = world.Viewed("std::map<int, int>", sizeof(std::map<int, int>), map);
    const TypeId hash =
        world.Viewed("std::unordered_map<int, int>", sizeof(std::unordered_map<int, int>),
                     World::MakeView(ViewKind::kHash, 16, 24, int_));
    const auto bits = offsetof(Order, rate) + 4;  // psABI: the bit-fields follow, packed
    const auto F = [this](const char* name, TypeId type, size_t offset, uint8_t flags = 0) {
      return world.Field(name, type, offset, flags);
    };
    return {
        F("Base", base, 0, kMemberBase),
        F("id", long_, offsetof(Order, id)),
        F("shadowed", int_, offsetof(Order, shadowed)),
        F("items", Vector(item_), offsetof(Order, items)),
        F("customer", string_, offsetof(Order, customer)),
        F("note", view_, offsetof(Order, note)),
        F("tier", tier, offsetof(Order, tier)),
        F("rate", float_, offsetof(Order, rate)),
        world.Field("three", uint, bits, 0, 0, 3),
        world.Field("five", int_, bits, 0, 3, 5),
        world.Field("wide_bits", ulong_, bits, 0, 8, 40),
        F("", anonymous, offsetof(Order, as_int), kMemberAnonymous),
        F("extra", unique, offsetof(Order, extra)),
        F("shared", shared, offsetof(Order, shared)),
        F("none", unique, offsetof(Order, none)),
        F("maybe", optional, offsetof(Order, maybe)),
        F("absent", optional, offsetof(Order, absent)),
        F("fixed", fixed, offsetof(Order, fixed)),
        F("grid", grid, offsetof(Order, grid)),
        F("title", world.Pointer(char_), offsetof(Order, title)),
        F("code", chars4, offsetof(Order, code)),
        F("word", chars8, offsetof(Order, word)),
        F("next", pointer_, offsetof(Order, next)),
        F("self", pointer_, offsetof(Order, self)),
        F("opaque", world.Type(TypeKind::kPointer, "void *", 8), offsetof(Order, opaque)),
        F("tree", tree, offsetof(Order, tree)),
        F("hash", hash, offsetof(Order, hash)),
        F("password", string_, offsetof(Order, password), kMemberRedacted),
    };
  }

  World world;
  TypeId int_ = 0, long_ = 0, double_ = 0, char_ = 0, string_ = 0, view_ = 0, item_ = 0, order_ = 0,
         pointer_ = 0;
};

#define SAME(...) SF_SAME(world, __VA_ARGS__)

TEST_F(Objects, MembersOfEveryKind) {
  SAME(order.id);
  SAME(order.base_id);
  SAME(order.shadowed);
  SAME(pointer->id + 1);
  SAME((*pointer).base_id);
  SAME(reference.id);
  SAME(reference.self->self->id);
  SAME(order.rate * 3);
  SAME(order.as_int);
  SAME(order.as_bytes[0] + 0);
  SAME(order.three + 0);
  SAME(order.five + 0);
  SAME(order.five < 0);
  SAME(order.three - 6 < 0);
  SAME(order.wide_bits == 0xfffffffffful);
  SAME(order.tier == Tier::kGold);
  SAME(order.tier != Tier::kBasic);
}

TEST_F(Objects, Pointers) {
  SAME(pointer == nullptr);
  SAME(pointer != nullptr);
  SAME(nullptr == order.next);
  SAME(order.next == 0);
  SAME(!order.next);
  SAME(pointer && pointer->id == 17);
  SAME(order.self == &order);
  SAME(&order == pointer);
  SAME(&order.id != nullptr);
  SAME(pointer + 1 - pointer);
  SAME(&pointer[1] > pointer);
  SAME(pointer[0].id);
  SAME(*order.title + 0);
  SAME(order.title[1] == 'r');
  SAME(*(order.title + 2) == 'g');
  SAME((order.next ? order.next : pointer) == pointer);
  SAME(order.opaque == nullptr);
  EXPECT_EQ(world.Condition("order.next->id == 17"), "runtime UNREADABLE");
  EXPECT_EQ(world.Condition("order.next && order.next->id == 17"), "false");
}

TEST_F(Objects, Arrays) {
  SAME(order.fixed[2]);
  SAME(order.fixed.size() == 4);
  SAME(order.fixed.front() + order.fixed.back());
  SAME(order.grid[1][2]);
  SAME(*order.grid[1]);
  SAME(order.grid[order.fixed[0] / 10][1]);
  EXPECT_EQ(world.Condition("order.fixed[4] == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("order.grid[2][0] == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("order.grid[0][-1] == 0"), "runtime BAD_EXPRESSION");
}

TEST_F(Objects, Containers) {
  SAME(order.items.size());
  SAME(order.items.size() > 3);
  SAME(order.items.empty());
  SAME(empty_vector.empty());
  SAME(empty_vector.size());
  SAME(order.items[1].price);
  SAME(order.items[order.items.size() - 1].weight * 2);
  SAME(order.items.front().price);
  SAME(order.items.back().price);
  SAME(order.items[0].name == "nut");
  SAME(order.items.back().name != "nut");
  SAME(order.tree.size());
  SAME(order.hash.size());
  SAME(order.tree.empty());
  EXPECT_EQ(world.Condition("order.items[2].price == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("order.items[-1].price == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("empty_vector.front() == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("empty_vector.back() == 0"), "runtime BAD_EXPRESSION");
}

TEST_F(Objects, ImplausibleContainersAreNotMeasured) {
  uint64_t broken[3] = {0x2000, 0x1000, 0};
  world.InMemory("broken", Vector(long_), broken);
  EXPECT_EQ(world.Condition("broken.size() > 3"), "runtime IMPLAUSIBLE");
  EXPECT_EQ(world.Condition("broken[0] == 3"), "runtime IMPLAUSIBLE");
  broken[1] = 0x2004;
  EXPECT_EQ(world.Condition("broken.empty()"), "runtime IMPLAUSIBLE");
}

TEST_F(Objects, Text) {
  SAME(order.customer == "Ada");
  SAME("Ada" == order.customer);
  SAME(order.customer != "Adb");
  SAME(order.customer == "Adam");
  SAME(order.customer.size());
  SAME(order.customer.length() == 3);
  SAME(order.customer.empty());
  SAME(order.customer[0] == 'A');
  SAME(order.customer[3] == '\0');
  SAME(order.customer.back() == 'a');
  SAME(order.note == "be quick");
  SAME(order.note ==
       "be"
       " quick");
  SAME(order.note.size());
  SAME(order.note[3] == 'q');
  // These compare text here and addresses in C++.
  EXPECT_EQ(world.Condition("order.title == \"urgent\""), "true");
  EXPECT_EQ(world.Condition("order.title != \"urgen\""), "true");
  EXPECT_EQ(world.Condition("order.word == \"hey\""), "true");
  EXPECT_EQ(world.Condition("order.word == \"he\""), "false");
  EXPECT_EQ(world.Condition("order.code == \"ABCD\""), "true");
  EXPECT_EQ(world.Condition("order.code == \"ABCDE\""), "false");
  EXPECT_EQ(world.Condition("order.code == \"ABC\""), "false");
  EXPECT_EQ(world.Condition("order.customer[4] == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("order.note[8] == 0"), "runtime BAD_EXPRESSION");
}

TEST_F(Objects, SmartPointersAndOptional) {
  SAME(order.extra->price);
  SAME((*order.extra).price);
  SAME(order.extra.get() == nullptr);
  SAME(order.extra.get()->weight);
  SAME(order.extra == nullptr);
  SAME(order.none == nullptr);
  SAME(!order.none);
  SAME(order.extra && order.extra->price > 5);
  SAME(order.shared->name == "shared");
  SAME(order.shared != nullptr);
  SAME(order.maybe.has_value());
  SAME(order.absent.has_value());
  SAME(!order.absent);
  SAME(order.maybe->price);
  SAME((*order.maybe).name == "maybe");
  EXPECT_EQ(world.Condition("order.none->price == 1"), "runtime UNREADABLE");
  EXPECT_EQ(world.Condition("order.absent->price == 1"), "runtime BAD_EXPRESSION");
}

TEST_F(Objects, MembersThroughThis) {
  const auto address = reinterpret_cast<uintptr_t>(&order);
  world.registers[5] = address;
  world.InRegister("this", pointer_, 5);
  EXPECT_EQ(world.Condition("id == 17 && base_id == 11"), "true");
  EXPECT_EQ(world.Condition("this->id == id"), "true");
  EXPECT_EQ(world.Condition("items.size() == 2 && items[1].price == 7"), "true");
  EXPECT_EQ(world.Condition("as_int == 7"), "true");
  EXPECT_EQ(world.Condition("itmes.size() == 2"),
            "UNKNOWN_VARIABLE: column 1: no variable 'itmes' here; near: items");
}

// A struct { int a; int b; } in one register; a string_view in two; a double in a vector register.
TEST_F(Objects, ValuesInRegistersAndPieces) {
  const TypeId pair = world.Type(TypeKind::kStruct, "Pair", 8);
  world.SetMembers(pair, {world.Field("a", int_, 0), world.Field("b", int_, 4)});
  world.registers[0] = 0xfffffffe00000003;  // a = 3, b = -2
  world.InRegister("packed", pair, 0);
  EXPECT_EQ(world.Condition("packed.a == 3 && packed.b == -2"), "true");

  world.InRegister("both", world.Type(TypeKind::kArray, "int [2]", 8, int_, 0, 2), 0);
  EXPECT_EQ(world.Condition("both[0] == 3 && both[1] == -2"), "true");
  EXPECT_EQ(world.Condition("both[2] == 0"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("both[both[0]] == 0"),
            "UNSUPPORTED_LOCATION: column 5: the array is not in memory");

  const std::string_view text = "pieces";
  world.registers[1] = text.size();
  world.registers[2] = reinterpret_cast<uintptr_t>(text.data());
  ScopeVariable& view = world.variables["split"];
  view.type = view_;
  view.location.kind = LocationKind::kPieces;
  view.location.first_piece = static_cast<uint32_t>(world.unit.pieces.size());
  view.location.piece_count = 2;
  for (const uint8_t reg : {uint8_t{1}, uint8_t{2}}) {
    Piece piece;
    piece.kind = LocationKind::kValue;
    piece.size_bytes = 8;
    piece.program = world.Code({World::I(Op::kRegister, reg), World::I(Op::kReturn)});
    world.unit.pieces.push_back(piece);
  }
  EXPECT_EQ(world.Condition("split == \"pieces\" && split.size() == 6 && split[2] == 'e'"), "true");

  const double value = 2.25;
  std::memcpy(world.xmm[7], &value, 8);
  ScopeVariable& real = world.variables["real"];
  real.type = double_;
  real.location.kind = LocationKind::kXmm;
  real.location.reg = 7;
  EXPECT_EQ(world.Condition("real * 2 == 4.5"), "true");

  ScopeVariable& constant = world.variables["constant"];
  constant.type = pair;
  constant.location.kind = LocationKind::kBytes;
  constant.location.bytes = world.String(std::string("\x05\0\0\0\xff\xff\xff\xff", 8));
  EXPECT_EQ(world.Condition("constant.a == 5 && constant.b == -1"), "true");
}

TEST_F(Objects, PiecesWithHolesGiveTheirReason) {
  const TypeId pair = world.Type(TypeKind::kStruct, "Pair", 8);
  world.SetMembers(pair, {world.Field("a", int_, 0), world.Field("b", int_, 4)});
  ScopeVariable& holed = world.variables["holed"];
  holed.type = pair;
  holed.location.kind = LocationKind::kPieces;
  holed.location.first_piece = static_cast<uint32_t>(world.unit.pieces.size());
  holed.location.piece_count = 2;
  Piece known;
  known.kind = LocationKind::kValue;
  known.size_bytes = 4;
  known.program = world.Code({World::I(Op::kConst, 0, 0, 9), World::I(Op::kReturn)});
  Piece hole;
  hole.size_bytes = 4;
  world.unit.pieces.push_back(known);
  world.unit.pieces.push_back(hole);
  EXPECT_EQ(world.Condition("holed.a == 9"), "true");
  EXPECT_EQ(world.Condition("holed.b == 9"),
            "OPTIMIZED_OUT: column 7: the value is not available here (OPTIMIZED_OUT)");
}

// A location with several returns and cells left below its result, as DWARF programs may have.
TEST_F(Objects, LocationProgramsAreInlinedWhole) {
  ScopeVariable& odd = world.variables["odd"];
  odd.type = long_;
  odd.location.kind = LocationKind::kValue;
  odd.location.program =
      world.Code({World::I(Op::kConst, 0, 0, 1), World::I(Op::kRegister, 0),
                  World::I(Op::kJumpIfZero, 0, 0, 3), World::I(Op::kConst, 0, 0, 40),
                  World::I(Op::kReturn), World::I(Op::kConst, 0, 0, 50), World::I(Op::kReturn)});
  world.registers[0] = 0;
  EXPECT_EQ(world.Condition("100 - odd == 50"), "true");
  world.registers[0] = 1;
  EXPECT_EQ(world.Condition("100 - odd == 60"), "true");
}

TEST_F(Objects, WatchesKeepTheirPlace) {
  const Result<Variable> items = CompileWatch("pointer->items", world, world.unit);
  ASSERT_TRUE(items.ok()) << items.status().ToString();
  EXPECT_EQ(items->location.kind, LocationKind::kMemory);
  EXPECT_EQ(world.Run(items->location.program).value, reinterpret_cast<uintptr_t>(&order.items));
  EXPECT_EQ(world.unit.strings[items->name], "pointer->items");
  const Result<Variable> whole = CompileWatch("reference", world, world.unit);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(world.unit.types[whole->type].kind, TypeKind::kReference);
  world.variables["pointer"].recovered = "entry value";
  const Result<Variable> recovered = CompileWatch("pointer->id * 2", world, world.unit);
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(world.unit.strings[recovered->recovered], "entry value");
  EXPECT_EQ(world.Run(recovered->location.program).value, 34u);
}

TEST_F(Objects, RefusalsNameThePlace) {
  const std::pair<const char*, std::string> kCases[] = {
      {"order.itmes.size()",
       "UNKNOWN_VARIABLE: column 7: 'Order' has no member 'itmes'; near: items"},
      {"ordr.id", "UNKNOWN_VARIABLE: column 1: no variable 'ordr' here; near: order"},
      {"order.qqqqqqqq", "UNKNOWN_VARIABLE: column 7: 'Order' has no member 'qqqqqqqq'"},
      {"order.password == \"x\"", "REDACTED: column 7: 'password' is redacted"},
      {"1 + order.password.size()", "REDACTED: column 11: 'password' is redacted"},
      {"order", "BAD_EXPRESSION: column 1: 'Order' cannot be used as true or false"},
      {"order.customer", "BAD_EXPRESSION: column 7: 'std::string' cannot be used as true or false"},
      {"order.tier", "BAD_EXPRESSION: column 7: 'Tier' cannot be used as true or false"},
      {"order + 1", "BAD_EXPRESSION: column 7: operand of + must be a number, not 'Order'"},
      {"order->id", "BAD_EXPRESSION: column 8: 'Order' is not a pointer: use ."},
      {"pointer.id", "BAD_EXPRESSION: column 9: 'Order *' is a pointer: use ->"},
      {"*order.id", "BAD_EXPRESSION: column 1: 'long' cannot be dereferenced"},
      {"*order.opaque", "BAD_EXPRESSION: column 1: 'void *' cannot be dereferenced"},
      {"order.tree[1]", "BAD_EXPRESSION: column 11: [] of 'std::map<int, int>' is not supported"},
      {"order.id.size()", "BAD_EXPRESSION: column 10: 'long' has no .size() that is supported"},
      {"order.customer == order.id",
       "BAD_EXPRESSION: column 16: cannot compare 'std::string' with 'long'"},
      {"order.customer.starts_with(order.id)",
       "BAD_EXPRESSION: column 34: .starts_with() takes a string, not 'long'"},
      {"any(order.id, x -> x)", "BAD_EXPRESSION: column 1: 'long' is no range"},
      {"(Nothing)order.id", "UNKNOWN_VARIABLE: column 1: no type 'Nothing' here"},
      {"Nothing(order.id)",
       "BAD_EXPRESSION: column 1: " + std::string(expression::kCallsNotSupported)},
      {"(int)order.customer", "BAD_EXPRESSION: column 1: cannot cast 'std::string' to 'int'"},
      {"static_cast<long>(order.self)",
       "BAD_EXPRESSION: column 1: cannot cast 'Order *' to 'long'"},
      {"$hit", "UNKNOWN_VARIABLE: column 1: no '$hit'; near: $hits"},
      {"order.id == nullptr",
       "BAD_EXPRESSION: column 10: cannot compare 'long' with 'std::nullptr_t'"},
      {"&order.three", "BAD_EXPRESSION: column 1: a bit-field has no address"},
      {"order.items[1.5].price",
       "BAD_EXPRESSION: column 13: an index must be an integer, not "
       "'double'"},
  };
  for (const auto& [text, expected] : kCases) EXPECT_EQ(world.Condition(text), expected) << text;
}

TEST_F(Objects, UnavailableAndRedactedVariables) {
  ScopeVariable& gone = world.variables["gone"];
  gone.type = int_;
  gone.location.reason = Code::kNotSaved;
  EXPECT_EQ(world.Condition("gone > 1"),
            "NOT_SAVED: column 1: 'gone' is not available here (NOT_SAVED)");
  world.InMemory("secret", int_, &order.base_id).flags = kVariableRedacted;
  EXPECT_EQ(world.Condition("1 == secret"), "REDACTED: column 6: 'secret' is redacted");
  world.unit.types[item_].flags |= kFlagRedacted;
  EXPECT_EQ(world.Condition("order.items[0].price > 1"), "REDACTED: column 12: 'Item' is redacted");
  EXPECT_EQ(world.Condition("order.extra->price > 1"), "REDACTED: column 14: 'Item' is redacted");
  EXPECT_EQ(world.Condition("order.items.size() == 2"), "true");
}

}  // namespace
}  // namespace stillframe::expression_test
