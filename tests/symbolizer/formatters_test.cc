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

TEST(Formatters, PathsInJsonMayReadBytesAsAnotherType) {
  EXPECT_EQ(*ParseTypedPath("a.(<0>).b"), (MemberPath{"a", "(<0>)", "b"}));
  EXPECT_EQ(*ParseTypedPath("a.(b.c<0><12>)"), (MemberPath{"a", "(b.c<0><12>)"}));
  EXPECT_EQ(*ParseTypedPath("(long_t).x"), (MemberPath{"(long_t)", "x"}));
  for (const char* bad : {"()", "(<>)", "(<0)", "(<0>x)", "(<256>)", "(a.(<0>)<0>)", "(a b)",
                          "(<0>)(", "(<0>", "(<-1>)", "(a::b)", "(<0><0><0><0><0><0><0><0><0>)"}) {
    EXPECT_FALSE(ParseTypedPath(bad).ok()) << bad;
    EXPECT_FALSE(ParseMemberPath(bad).ok()) << bad;
  }
  EXPECT_FALSE(ParseMemberPath("a.(<0>)").ok());
}

TEST(Formatters, NumbersMayBePartsOfMembers) {
  const auto number = ParseNumber("a.size >> 3 & 0xff");
  ASSERT_TRUE(number.ok()) << number.status().ToString();
  EXPECT_EQ(number->path, (MemberPath{"a", "size"}));
  EXPECT_EQ(number->shift, 3);
  EXPECT_EQ(number->bits, 8);
  EXPECT_EQ(ParseNumber("a&1")->bits, 1);
  for (const char* bad : {"", "a >> 64", "a >> x", "a & 2", "a & 0", "a & 6", "a >> ", "a &",
                          ">> 1", "a & 0xffffffffffffffff", "a + 1", "a >> 1 >> 2", "1"}) {
    EXPECT_FALSE(ParseNumber(bad).ok()) << bad;
  }
  const auto is_five = ParseCondition("a & 7 == 5");
  ASSERT_TRUE(is_five.ok());
  EXPECT_TRUE(is_five->equal);
  EXPECT_EQ(is_five->value, 5u);
  EXPECT_EQ(is_five->number.bits, 3);
  const auto set = ParseCondition("flag");
  ASSERT_TRUE(set.ok());
  EXPECT_FALSE(set->equal);
  EXPECT_EQ(set->value, 0u);
  for (const char* bad : {"a == b", "a ==", "== 1", "a = 1", "a < 1", "a == 1 == 1", "a && b"}) {
    EXPECT_FALSE(ParseCondition(bad).ok()) << bad;
  }
}

std::string Fault(const std::string& items) {
  Formatters formatters;
  const Status status =
      formatters.AddJson(R"({"formatters": [{"type": "a", "items": )" + items + "}]}");
  return status.ok() ? "" : status.message();
}

TEST(Formatters, ItemsSayWhatTheyLackAndWhatTheyDoNotKnow) {
  EXPECT_EQ(
      Fault(R"({"kind": "slots", "control": "c", "slots": "s", "capacity": "n", "size": "m"})"),
      "");
  const std::pair<const char*, const char*> bad[] = {
      {R"({"kind": "slots", "control": "c", "slots": "s", "size": "m"})", "'capacity' is missing"},
      {R"({"kind": "list", "head": "h", "next": "n", "left": "l"})", "unknown field 'left'"},
      {R"({"kind": "list", "head": "h", "next": "n", "size": "s & 1"})",
       "'size' of lists and trees is a member alone"},
      {R"({"kind": "array", "size": "s"})", "either 'data' or 'inline'"},
      {R"({"kind": "array", "data": "d", "inline": "i", "size": "s"})",
       "either 'data' or 'inline'"},
      {R"({"kind": "array", "data": "d"})", "'size' is missing"},
      {R"({"kind": "slots", "control": "c", "slots": "s", "capacity": "n", "size": "m",
           "occupied": [9, 2]})",
       "'occupied' is an empty range"},
      {R"({"kind": "list", "head": "h", "next": "n", "node": "a b"})", "'a b' names no type"},
      {R"([])", "not 1 to 16 descriptions"},
      {R"([{"kind": "array", "data": "d", "size": "s"}, {"kind": "array", "data": "d", "size": "s"}])",
       "description 1 is never reached"},
      {R"({"kind": "array", "data": "d", "size": "s", "when": "a <"})", "when: "},
      {R"("array")", "not an object"},
  };
  for (const auto& [items, reason] : bad) {
    EXPECT_NE(Fault(items).find(reason), std::string::npos) << items << ": " << Fault(items);
  }
}

TEST(Formatters, TheFirstThatFitsMayLeaveATypeRaw) {
  Formatters formatters;
  ASSERT_TRUE(formatters
                  .AddJson(R"({"formatters": [{"type": "v<a::*>", "raw": true},
                                              {"type": "v<*>", "summary": "{x}"}]})")
                  .ok());
  EXPECT_TRUE(formatters.Find("v<a::b>")->raw);
  EXPECT_FALSE(formatters.Find("v<b>")->raw);
  EXPECT_FALSE(formatters.AddJson(R"({"formatters": [{"type": "a", "raw": 1}]})").ok());
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
  EXPECT_EQ(found->items.at(0).kind, FormatterItems::Kind::kList);
  EXPECT_EQ(found->items.at(0).value, MemberPath{"value"});
}

std::string NatvisFault(const std::string& expand) {
  Formatters formatters;
  const Status status = formatters.AddNatvis("<AutoVisualizer><Type Name='a'><Expand>" + expand +
                                             "</Expand></Type></AutoVisualizer>");
  return status.ok() ? "" : status.message();
}

TEST(Formatters, NatvisListsWithConditions) {
  Formatters formatters;
  const Status status = formatters.AddNatvis(R"(<AutoVisualizer><Type Name="a"><Expand>
    <ArrayItems Condition="(this->flags &amp; 7) == 5"><Size>n</Size><ValuePointer>p</ValuePointer></ArrayItems>
    <IndexListItems Condition="!big"><Size>n</Size><ValueNode>room[$i]</ValueNode></IndexListItems>
    <TreeItems><HeadPointer>root</HeadPointer><LeftPointer>l</LeftPointer>
      <RightPointer>r</RightPointer><ValueNode>this</ValueNode></TreeItems>
    </Expand></Type></AutoVisualizer>)");
  ASSERT_TRUE(status.ok()) << status.ToString();
  const auto& items = formatters.Find("a")->items;
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].when->value, 5u);
  EXPECT_EQ(items[0].when->number.bits, 3);
  EXPECT_TRUE(items[0].when->equal);
  EXPECT_EQ(items[1].first, MemberPath{"room"});
  EXPECT_TRUE(items[1].when->equal);
  EXPECT_EQ(items[1].when->value, 0u);
  EXPECT_EQ(items[2].kind, FormatterItems::Kind::kRootedTree);
  EXPECT_TRUE(items[2].value.empty());
}

TEST(Formatters, NatvisNamesWhatItDoesNotRead) {
  const std::string array = "<Size>n</Size><ValuePointer>p</ValuePointer></ArrayItems>";
  const std::pair<std::string, const char*> bad[] = {
      {"<CustomListItems/>", "'CustomListItems' is not supported"},
      {"<ExpandedItem>x</ExpandedItem>", "'ExpandedItem' is not supported"},
      {"<Synthetic Name='x'/>", "'Synthetic' is not supported"},
      {"<ArrayItems>" + array + "<ArrayItems>" + array, "the first without a condition"},
      {"<ArrayItems Condition='a &amp; 1 == 1'>" + array, "'a & 1 == 1' is not supported"},
      {"<ArrayItems Condition='f(x)'>" + array, "'f(x)' is not supported"},
      {"<ArrayItems Condition='a &lt; 1'>" + array, "Condition: "},
      {"<Item Condition='a'>x</Item>", "'Condition' is not supported"},
      {"<IndexListItems><Size>n</Size><ValueNode>p[$i + 1]</ValueNode></IndexListItems>",
       "other than path[$i]"},
      {"<TreeItems><HeadPointer>h</HeadPointer><LeftPointer>l</LeftPointer><ValueNode>v</ValueNode>"
       "</TreeItems>",
       "no RightPointer"},
      {"<ArrayItems><Size>(n)</Size><ValuePointer>p</ValuePointer></ArrayItems>", "(n)"},
  };
  for (const auto& [expand, reason] : bad) {
    EXPECT_NE(NatvisFault(expand).find(reason), std::string::npos)
        << expand << ": " << NatvisFault(expand);
  }
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
      R"json({"formatters": [{"type": "a<*>", "summary": "{x}", "children": [{"path": "y"}],
          "items": [{"kind": "text", "when": "f & 1 == 1", "inline": "b.(<0>)", "size": "s >> 1"},
                    {"kind": "slots", "control": "c", "slots": "s", "capacity": "n", "size": "m",
                     "occupied": [2, 255], "groups": true, "node": "x<0>", "value": "v"}]}]})json";
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
