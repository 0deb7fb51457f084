// Numbers: every expression here is also computed by the compiler that builds the test.
#include <limits>

#include "tests/symbolizer/expression_support.h"

// Odd comparisons are what is tested.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Weverything"
#else
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wparentheses"
#pragma GCC diagnostic ignored "-Wbool-compare"
#pragma GCC diagnostic ignored "-Wbool-operation"
#pragma GCC diagnostic ignored "-Wdiv-by-zero"
#endif

namespace stillframe::expression_test {
namespace {

enum Color { kRed, kGreen = 5, kBlue = 9 };
enum Mask : uint32_t { kLow = 1, kHigh = 0x80000000u };
enum Signed { kMinus = -3, kPlus = 3 };

int i = -7, j = 3, big = std::numeric_limits<int>::max(), small = std::numeric_limits<int>::min();
unsigned u = 7, umax = ~0u;
long l = -70000000000, lmin = std::numeric_limits<long>::min();
unsigned long ul = 1ul << 63;
long long ll = 5;
unsigned long long ull = ~0ull;
short s = -300;
unsigned short us = 60000;
signed char sc = -5;
unsigned char uc = 250;
char c = 'x';
bool yes = true, no = false;
float f = 1.1f, g = 16777216.0f;
double d = 2.5, nan_value = std::numeric_limits<double>::quiet_NaN(), tenth = 0.1;
Color color = kGreen;
Mask mask = kHigh;
Signed sign = kMinus;
wchar_t wide = -1;
char32_t unicode = 0x1F600;

class Arithmetic : public testing::Test {
 protected:
  Arithmetic() {
    const auto put = [this](const char* name, TypeKind kind, const char* type, const void* object,
                            size_t size, uint8_t flags = 0) {
      world.InMemory(name, world.Type(kind, type, size, kVoidType, flags), object);
    };
    for (const auto& [name, object] :
         {std::pair{"i", &i}, {"j", &j}, {"big", &big}, {"small", &small}}) {
      put(name, TypeKind::kSigned, "int", object, 4);
    }
    put("u", TypeKind::kUnsigned, "unsigned int", &u, 4);
    put("umax", TypeKind::kUnsigned, "unsigned int", &umax, 4);
    put("l", TypeKind::kSigned, "long", &l, 8);
    put("lmin", TypeKind::kSigned, "long", &lmin, 8);
    put("ul", TypeKind::kUnsigned, "unsigned long", &ul, 8);
    put("ll", TypeKind::kSigned, "long long", &ll, 8);
    put("ull", TypeKind::kUnsigned, "unsigned long long", &ull, 8);
    put("s", TypeKind::kSigned, "short", &s, 2);
    put("us", TypeKind::kUnsigned, "unsigned short", &us, 2);
    put("sc", TypeKind::kChar, "signed char", &sc, 1);
    put("uc", TypeKind::kChar, "unsigned char", &uc, 1, kFlagUnsigned);
    put("c", TypeKind::kChar, "char", &c, 1);
    put("yes", TypeKind::kBool, "bool", &yes, 1);
    put("no", TypeKind::kBool, "bool", &no, 1);
    put("f", TypeKind::kFloat, "float", &f, 4);
    put("g", TypeKind::kFloat, "float", &g, 4);
    put("d", TypeKind::kFloat, "double", &d, 8);
    put("tenth", TypeKind::kFloat, "double", &tenth, 8);
    put("nan_value", TypeKind::kFloat, "double", &nan_value, 8);
    put("wide", TypeKind::kUnicode, "wchar_t", &wide, 4);
    put("unicode", TypeKind::kUnicode, "char32_t", &unicode, 4);
    const TypeId uint_type = world.Type(TypeKind::kUnsigned, "unsigned int", 4);
    const TypeId fixed = world.Type(TypeKind::kUnsigned, "uint32_t", 4);
    const TypeId int_type = world.Type(TypeKind::kSigned, "int", 4);
    world.InMemory("color",
                   world.Enum("Color", 4, kFlagUnsigned, uint_type,
                              {{"kRed", 0}, {"kGreen", 5}, {"kBlue", 9}}),
                   &color);
    world.InMemory(
        "mask", world.Enum("Mask", 4, kFlagUnsigned, fixed, {{"kLow", 1}, {"kHigh", 0x80000000}}),
        &mask);
    world.InMemory("sign", world.Enum("Signed", 4, 0, int_type, {{"kMinus", -3}, {"kPlus", 3}}),
                   &sign);
  }
  World world;
};

#define SAME(...) SF_SAME(world, __VA_ARGS__)

TEST_F(Arithmetic, IntegersFollowTheUsualConversions) {
  SAME(i + j);
  SAME(i - u);
  SAME(i * l);
  SAME(i / j);
  SAME(i % j);
  SAME(-i / j);
  SAME(u / 2);
  SAME(umax + 1);
  SAME(umax + 1l);
  SAME(i + ul);
  SAME(ul / i);
  SAME(ll + ul);
  SAME(ll + l);
  SAME(ull + 1);
  SAME(s + us);
  SAME(us * 3);
  SAME(sc + uc);
  SAME(c + 1);
  SAME(yes + yes);
  SAME(wide + 0);
  SAME(unicode + 0);
  SAME(~uc);
  SAME(~u);
  SAME(~l);
  SAME(-uc);
  SAME(-u);
  SAME(+s);
  SAME(-yes);
  SAME(lmin + 1);
  SAME(i % 4);
  SAME(l % 1000);
  SAME(ul % 10);
}

TEST_F(Arithmetic, ComparisonsAreSignedOrUnsignedAsInCpp) {
  SAME(i < j);
  SAME(i < u);
  SAME(i > u);
  SAME(u > i);
  SAME(i <= -7);
  SAME(i >= -7);
  SAME(i < l);
  SAME(l < ul);
  SAME(ul > 0);
  SAME(umax > l);
  SAME(umax == -1);
  SAME(umax == ~0l);
  SAME(us > s);
  SAME(sc < uc);
  SAME(c == 'x');
  SAME(c != 'x');
  SAME(wide < 0);
  SAME(unicode == 0x1F600);
  SAME(yes == 1);
  SAME(yes > no);
  SAME(1 < j < 3);
  SAME(lmin < 0);
}

TEST_F(Arithmetic, BitsAndShifts) {
  SAME(u & 5);
  SAME(i & 0xff);
  SAME(i | u);
  SAME(i ^ j);
  SAME(u << 3);
  SAME(umax << 4);
  SAME(i >> 1);
  SAME(l >> 40);
  SAME(ul >> 3);
  SAME(1 << 31 >> 31);
  SAME(1l << 40);
  SAME(uc << 8);
  SAME((i & 1) == 1);
  SAME(i & 1 == 1);
}

TEST_F(Arithmetic, LiteralsHaveTheTypesOfTheStandard) {
  SAME(0);
  SAME(42);
  SAME(2147483647);
  SAME(2147483648);
  SAME(0x7fffffff);
  SAME(0xffffffff);
  SAME(0x100000000);
  SAME(0xffffffffffffffff);
  SAME(017);
  SAME(0b1011);
  SAME(1'000'000);
  SAME(7u);
  SAME(7l);
  SAME(7ul);
  SAME(7ll);
  SAME(7ull);
  SAME(7LLU);
  SAME(1.5);
  SAME(1.5f);
  SAME(.5);
  SAME(1e3);
  SAME(0x1.8p3);
  SAME('A');
  SAME('\n');
  SAME('\x41');
  SAME('\101');
  SAME('\\');
  SAME(true);
  SAME(false);
}

TEST_F(Arithmetic, FloatsAreRoundedAsFloats) {
  SAME(f + f);
  SAME(f * 3);
  SAME(f / 3);
  SAME(f - 0.1f);
  SAME(f + 0.1);
  SAME(g + 1);
  SAME(g + 1.0);
  SAME(g + f * f / 7);
  SAME(f + l);
  SAME(g * lmin);
  SAME(1.0f * 9007199791611905l);
  SAME(1.0f * 9007199791611905ul);
  SAME(1.0f * ull);
  SAME(1.0 * ul);
  SAME(d * i);
  SAME(-d);
  SAME(-f);
  SAME(tenth + 0.2 == 0.3);
  SAME(tenth * 3 > 0.3);
  SAME(d / 0);
  SAME(d < i);
  SAME(f < d);
  SAME(f == 1.1);
  SAME(f == 1.1f);
  SAME(nan_value == nan_value);
  SAME(nan_value != nan_value);
  SAME(nan_value < 1);
  SAME(nan_value >= 1);
  SAME(!(nan_value < 1));
}

TEST_F(Arithmetic, Enumerations) {
  SAME(color == kGreen);
  SAME(color != kBlue);
  SAME(color + 1);
  SAME(kRed - 1 < 0);
  SAME(mask == kHigh);
  SAME(mask & 1);
  SAME((mask & kHigh) != 0);
  SAME(kLow - 2 > 0);
  SAME(sign < 0);
  SAME(sign * kPlus);
  SAME(~color);
}

TEST_F(Arithmetic, LogicAndConditionals) {
  SAME(i < 0 && j > 0);
  SAME(i > 0 || j > 0);
  SAME(!i);
  SAME(!!d);
  SAME(i && d);
  SAME(no || nan_value);
  SAME(no && yes || yes);
  SAME(yes || no && no);
  SAME(yes ? i : j);
  SAME(no ? i : j);
  SAME(no ? i : u);
  SAME(no ? i : d);
  SAME(yes ? f : i);
  SAME(yes ? yes : no);
  SAME(no ? 1 : yes ? 2 : 3);
  SAME(yes ? s : sc);
  SAME(i > 0 ? 1 : i < -5 ? 2l : 3);
}

TEST_F(Arithmetic, ShortCircuitLeavesTheOtherSideAlone) {
  EXPECT_EQ(world.Condition("no && 1 / (i + 7)"), "false");
  EXPECT_EQ(world.Condition("yes || 1 / (i + 7)"), "true");
  EXPECT_EQ(world.Condition("yes && 1 / (i + 7)"), "runtime BAD_EXPRESSION");
  EXPECT_EQ(world.Condition("yes ? 1 : 1 / (i + 7)"), "true");
}

TEST_F(Arithmetic, UndefinedDivisionsAreErrorsAtRunTime) {
  for (const char* text : {"i / 0", "i % 0", "small / -1", "small / sc * 0 + small / (sc + 4)",
                           "lmin / -1", "lmin % -1", "ul / 0", "ul % (j - 3)"}) {
    EXPECT_EQ(world.Condition(text), "runtime BAD_EXPRESSION") << text;
  }
}

}  // namespace
}  // namespace stillframe::expression_test
