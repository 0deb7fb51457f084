// What is not an expression, and text that nobody meant to be one.
#include <random>

#include "symbolizer/expression_parser.h"
#include "tests/symbolizer/expression_support.h"

namespace stillframe::expression_test {
namespace {

const std::string kNoCalls = std::string(expression::kCallsNotSupported);
const std::string kNoCalls1 = "column 1: " + kNoCalls;
const std::string kNoCalls3 = "column 3: " + kNoCalls;

TEST(ExpressionSyntax, RefusalsSayTheColumn) {
  const std::pair<const char*, std::string> kCases[] = {
      {"", "column 1: unexpected end of the expression"},
      {"a +", "column 4: unexpected end of the expression"},
      {"a + * ", "column 7: unexpected end of the expression"},
      {"(a", "column 3: unexpected end of the expression, expected ')'"},
      {"a b", "column 3: unexpected 'b'"},
      {"a ]", "column 3: unexpected ']'"},
      {"a = 3", "column 3: assignment is not supported; compare with =="},
      {"a += 3", "column 3: assignment is not supported; compare with =="},
      {"++a", "column 1: ++ and -- are not supported: an expression changes nothing"},
      {"a--", "column 2: ++ and -- are not supported: an expression changes nothing"},
      {"f()", kNoCalls1},
      {"f(3, 4)", kNoCalls1},
      {"a.total()", kNoCalls3},
      {"a.size(1)", "column 8: expected ')': .size() takes no arguments"},
      {"a.size( > 1", "column 9: expected ')': .size() takes no arguments"},
      {"static_cast<int>a", "column 17: unexpected 'a', expected '('"},
      {"static_cast<>(a)", "column 13: expected a type"},
      {"dynamic_cast<A*>(a)",
       "column 1: dynamic_cast is not supported; a pointer's object is shown as what it is"},
      {"(int)", "column 2: a type is no value; casts are written (T)x or T(x)"},
      {"int", "column 1: a type is no value; casts are written (T)x or T(x)"},
      {"sizeof", "column 7: unexpected end of the expression"},
      {"a.starts_with()", "column 15: unexpected ')'"},
      {"any(a)", "column 6: unexpected ')', expected ','"},
      {"any(a, 3 -> 4)", "column 8: expected a name for the element, as in any(range, x -> x > 1)"},
      {"any(a, x > 1)", "column 10: unexpected '>', expected '->'"},
      {"a.holds(int)", kNoCalls3},
      {"a.holds<int>", "column 13: unexpected end of the expression, expected '('"},
      {"a, b", "column 2: the comma operator is not supported"},
      {"a.", "column 3: unexpected end of the expression, expected a member's name"},
      {"a @ b", "column 3: unexpected '@'"},
      {"a \x01", "column 3: unexpected byte 0x01"},
      {"a == \"x", "column 6: string without its closing quote"},
      {"'ab'", "column 1: not exactly one character"},
      {"'\\q'", "column 2: unknown escape"},
      {"'\\x123'", "column 2: escape is larger than a byte"},
      {"L'a'", "column 1: prefixed characters and strings are not supported"},
      {"12abc", "column 1: '12abc' is not a number"},
      {"0x", "column 1: '0x' is not a number"},
      {"08", "column 1: '08' is not a number"},
      {"1.5.2", "column 1: '1.5.2' is not a number"},
      {"1e999", "column 1: '1e999' is out of range"},
      {"1.0L", "column 1: long double is not supported"},
      {"99999999999999999999", "column 1: integer literal is too large"},
      {"9223372036854775808", "column 1: integer literal is too large"},
      {"a ? b", "column 6: unexpected end of the expression, expected ':'"},
  };
  for (const auto& [text, expected] : kCases) {
    EXPECT_EQ(CheckExpressionSyntax(text).ToString(), "BAD_EXPRESSION: " + expected) << text;
  }
}

TEST(ExpressionSyntax, AcceptsTheLanguage) {
  for (const char* text : {"order.items.size() > 3 && customer->tier == Tier::kGold",
                           "::shop::kLimit < a[b[1]].c",
                           "not a and b or c",
                           "a ? b::c : ::d",
                           "-~!+*&a",
                           "(((a)))",
                           "a->b.c[1]->d",
                           "this->x",
                           "(long)a",
                           "(unsigned long)-1",
                           "(a) - b",
                           "(a)(b)",
                           "(A*)b",
                           "static_cast<const std::vector<std::vector<int>>&>(a)",
                           "Tier(2)",
                           "long(x) + 1",
                           "(a < b >> c)",
                           "sizeof(int) + sizeof a + sizeof(std::vector<int>)",
                           "a.starts_with(\"x\")",
                           "any(a.b, x -> x.c > 3 && all(x.d, y -> y != x.e))",
                           "count(a, x -> x) > count",
                           "v.holds<std::pair<int, long>>()",
                           "std::get<1>(t)",
                           "$hits % 100 == 0"}) {
    EXPECT_TRUE(CheckExpressionSyntax(text).ok()) << text;
  }
}

TEST(ExpressionSyntax, DepthAndLengthAreBounded) {
  const auto repeat = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  EXPECT_TRUE(CheckExpressionSyntax(repeat("(", 50) + "1" + repeat(")", 50)).ok());
  EXPECT_EQ(CheckExpressionSyntax(repeat("(", 1000)).code(), Code::kBadExpression);
  EXPECT_EQ(CheckExpressionSyntax(repeat("!", 1000) + "1").code(), Code::kBadExpression);
  EXPECT_EQ(CheckExpressionSyntax(repeat("1?", 500)).code(), Code::kBadExpression);
  EXPECT_TRUE(CheckExpressionSyntax("1" + repeat("+1", 150)).ok());
  EXPECT_EQ(CheckExpressionSyntax("1" + repeat("+1", 500)).ToString().substr(0, 22),
            "BAD_EXPRESSION: column");
  EXPECT_EQ(CheckExpressionSyntax(repeat("1", 2049)).code(), Code::kBadExpression);
  World world;
  EXPECT_EQ(world.Condition("1" + repeat("+(1", 28) + repeat(")", 28)).substr(0, 35),
            "BAD_EXPRESSION: column 1: the expre");
}

// Token soup over a scope with every kind of type: what is accepted passes the verifier and runs
// (World::Run checks the former), the rest is refused with a column.
TEST(ExpressionSyntax, TokenSoupIsRefusedOrSafe) {
  World world;
  static long number = 42;
  static std::string text = "abc";
  static std::vector<long> list = {1, 2, 3};
  static long* pointer = &number;
  const TypeId long_type = world.Type(TypeKind::kSigned, "long", 8);
  const TypeId char_type = world.Type(TypeKind::kChar, "char", 1);
  world.InMemory("n", long_type, &number);
  world.InMemory("p", world.Pointer(long_type), &pointer);
  world.InMemory(
      "s",
      world.Viewed("std::string", sizeof text, World::MakeView(ViewKind::kString, 0, 8, char_type)),
      &text);
  world.InMemory(
      "v",
      world.Viewed("std::vector<long>", 24, World::MakeView(ViewKind::kSequence, 0, 8, long_type)),
      &list);
  const char* const kTokens[] = {"n",
                                 "p",
                                 "s",
                                 "v",
                                 "n",
                                 "p",
                                 "v",
                                 "1",
                                 "0",
                                 "2.5",
                                 "'a'",
                                 "\"abc\"",
                                 "nullptr",
                                 "true",
                                 "+",
                                 "-",
                                 "*",
                                 "/",
                                 "%",
                                 "&",
                                 "|",
                                 "^",
                                 "~",
                                 "!",
                                 "<<",
                                 ">>",
                                 "==",
                                 "!=",
                                 "<",
                                 ">=",
                                 "&&",
                                 "||",
                                 "?",
                                 ":",
                                 "(",
                                 ")",
                                 "[",
                                 "]",
                                 ".size()",
                                 ".empty()",
                                 ".front()",
                                 "->",
                                 ".",
                                 "::",
                                 "(long)",
                                 "any(",
                                 "all(",
                                 "count(",
                                 ",",
                                 "x",
                                 "x ->",
                                 "sizeof",
                                 "static_cast<int>(",
                                 ".starts_with(",
                                 ".contains(",
                                 "$hits",
                                 "$trace",
                                 "unsigned"};
  std::mt19937 random(20260101);
  int accepted = 0;
  const size_t code_size = world.unit.code.size();
  for (int round = 0; round < 200'000; ++round) {
    std::string soup;
    for (uint32_t left = 1 + random() % 9; left > 0; --left) {
      soup += kTokens[random() % std::size(kTokens)];
      soup += ' ';
    }
    const std::string result = world.Condition(soup);
    if (result == "true" || result == "false" || result.starts_with("runtime ")) {
      ++accepted;
    } else {
      ASSERT_NE(result.find("column "), std::string::npos) << soup << ": " << result;
    }
    world.unit.code.resize(code_size);
  }
  EXPECT_GT(accepted, 2'000);
}

TEST(ExpressionSyntax, RandomBytesAreRefusedOrParsed) {
  std::mt19937 random(7);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const Status status = CheckExpressionSyntax(bytes);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), Code::kBadExpression);
    }
  }
}

}  // namespace
}  // namespace stillframe::expression_test
