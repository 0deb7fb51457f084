#include "symbolizer/formatters.h"

#include <gtest/gtest.h>

#include <random>

namespace stillframe {
namespace {

TEST(Formatters, PatternsMatchWholeNamesWithoutSpaces) {
  EXPECT_TRUE(MatchesPattern("shop::Ring<*>", "shop::Ring<std::vector<int> >"));
  EXPECT_TRUE(MatchesPattern("shop::Pair<int,*>", "shop::Pair<int, long>"));
  EXPECT_TRUE(MatchesPattern("*", "anything"));
  EXPECT_FALSE(MatchesPattern("shop::Ring<*>", "shop::Ring<int>::Node"));
  EXPECT_FALSE(MatchesPattern("Ring<*>", "shop::Ring<int>"));
  EXPECT_FALSE(MatchesPattern("", "x"));
  // Stars that nearly fit everywhere must not take exponential time.
  const std::string many(5'000, 'a');
  EXPECT_FALSE(MatchesPattern("*a*a*a*a*a*a*a*a*a*a*b", many));
}

TEST(Formatters, PathsAreNamesAndDots) {
  EXPECT_EQ(*ParseMemberPath("a.b_.c1"), (MemberPath{"a", "b_", "c1"}));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a->b", "f()", "a[0]", "1a", "a b", "a*"}) {
    EXPECT_FALSE(ParseMemberPath(bad).ok()) << bad;
  }
}

TEST(Formatters, SummariesNameTheirMembers) {
  Formatter formatter;
  ASSERT_TRUE(ParseSummary("{a.b} of {c}", formatter).ok());
  EXPECT_EQ(formatter.summary, "\1\1 of \1\2");
  ASSERT_EQ(formatter.summary_paths.size(), 2u);
  EXPECT_EQ(formatter.summary_paths[0], (MemberPath{"a", "b"}));
  EXPECT_FALSE(ParseSummary("{a", formatter).ok());
}

constexpr std::string_view kNatvis = R"(<AutoVisualizer>
  <Type Name="shop::List&lt;*&gt;"><AlternativeType Name="shop::Other"/>
    <DisplayString>n={count_,d}</DisplayString>
    <Expand><LinkedListItems><Size>count_</Size><HeadPointer>head_</HeadPointer>
      <NextPointer>next</NextPointer><ValueNode>value</ValueNode></LinkedListItems></Expand>
  </Type></AutoVisualizer>)";

TEST(Formatters, NatvisIsReadAsFarAsItDeclares) {
  Formatters formatters;
  const Status status = formatters.AddNatvis(kNatvis);
  ASSERT_TRUE(status.ok()) << status.ToString();
  const Formatter* found = formatters.Find("shop::List<int>");
  ASSERT_NE(found, nullptr);
  EXPECT_NE(formatters.Find("shop::Other"), nullptr);
  EXPECT_EQ(found->summary, "n=\1\1");
  EXPECT_EQ(found->items.kind, FormatterItems::Kind::kList);
  EXPECT_EQ(found->items.value, MemberPath{"value"});
}

TEST(Formatters, ABadFileAddsNothing) {
  Formatters formatters;
  EXPECT_FALSE(formatters.AddJson(R"({"formatters": [{"type": "a"}, {"type": 1}]})").ok());
  EXPECT_TRUE(formatters.empty());
  EXPECT_FALSE(formatters.AddJson("[]").ok());
  EXPECT_FALSE(formatters.AddFile("/nonexistent/x.json").ok());
  EXPECT_TRUE(formatters.AddJson(R"({"formatters": []})").ok());
}

// Whatever the bytes: an error or formatters, never a crash.
TEST(Formatters, DamagedTextIsRefusedOrRead) {
  std::mt19937 random(1);
  const std::string json =
      R"({"formatters": [{"type": "a<*>", "summary": "{x}", "children": [{"path": "y"}],
          "items": {"kind": "list", "head": "h", "next": "n", "value": "v"}}]})";
  for (int round = 0; round < 3'000; ++round) {
    std::string text = round % 2 == 0 ? json : std::string(kNatvis);
    for (int i = 0; i < 3; ++i) text[random() % text.size()] = static_cast<char>(random());
    if (round % 5 == 0) text.resize(random() % text.size());
    Formatters formatters;
    const Status status = round % 2 == 0 ? formatters.AddJson(text) : formatters.AddNatvis(text);
    EXPECT_TRUE(status.ok() || formatters.empty());
  }
}

}  // namespace
}  // namespace stillframe
