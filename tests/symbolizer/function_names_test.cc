#include "symbolizer/function_names.h"

#include <gtest/gtest.h>

namespace stillframe {
namespace {

TEST(FunctionNames, PlainIsWithoutReturnTypeTagsAndClones) {
  const struct {
    const char* demangled;
    const char* plain;
  } cases[] = {
      {"shop::Checkout(shop::Order const&)", "shop::Checkout(shop::Order const&)"},
      {"int shop::Max<int>(int, int)", "shop::Max<int>(int, int)"},
      {"std::vector<int, std::allocator<int> > a::F<int>()", "a::F<int>()"},
      {"a::B::operator bool() const", "a::B::operator bool() const"},
      {"bool a::operator==<int>(a::B<int> const&)", "a::operator==<int>(a::B<int> const&)"},
      {"a::F[abi:cxx11](int)", "a::F(int)"},
      {"a::F(int) [clone .isra.0]", "a::F(int)"},
      {"a::(anonymous namespace)::F(int)", "a::(anonymous namespace)::F(int)"},
      {"int a::F(int) const::{lambda(int (*)(int), b)#1}::operator()(int (*)(int), b) const",
       "a::F(int) const::{lambda(int (*)(int), b)#1}::operator()(int (*)(int), b) const"},
      {"a::F(int, b)::Local::Run(int)", "a::F(int, b)::Local::Run(int)"},
      {"main", "main"},
      {"", ""},
  };
  for (const auto& c : cases) EXPECT_EQ(PlainFunctionName(c.demangled), c.plain);
}

TEST(FunctionNames, PartsOfCoroutines) {
  EXPECT_EQ(NameCoroutinePart("a::F(a::_ZN1a1FEi.Frame*)",
                              "a::F(a::F(int)::_ZN1a1FEi.Frame*) [clone .actor]"),
            "a::F(int) [resumed]");
  EXPECT_EQ(NameCoroutinePart("a::F(int)", "a::F(int) [clone .resume]"), "a::F(int) [resumed]");
  EXPECT_EQ(NameCoroutinePart("a::F(int)", "a::F(int) [clone .destroy]"), "a::F(int) [destroyed]");
  EXPECT_EQ(NameCoroutinePart("a::F(int)", "a::F(int) [clone .cleanup]"), "a::F(int) [cleaned up]");
  EXPECT_EQ(NameCoroutinePart("a::F(int)", "a::F(int)"), "a::F(int)");
  EXPECT_EQ(NameCoroutinePart("a::F(int)", "a::F(int) [clone .cold]"), "a::F(int)");
  EXPECT_EQ(NameCoroutinePart("a::F(int)", "other [clone .actor]"), "a::F(int)");
}

TEST(FunctionNames, PeopleNameFunctionsByTheirLastParts) {
  const char* total = "shop::Cart<int>::Total(int, long) const";
  for (const char* wanted :
       {"Total", "Cart::Total", "Cart<int>::Total", "shop::Cart::Total", "::shop::Cart<int>::Total",
        "shop::Cart<int>::Total(int,long) const"}) {
    EXPECT_TRUE(IsFunctionNamed(total, wanted)) << wanted;
  }
  for (const char* wanted : {"otal", "rt::Total", "Cart<long>::Total", "Total(int)",
                             "::Cart::Total", "", "Total<int>"}) {
    EXPECT_FALSE(IsFunctionNamed(total, wanted)) << wanted;
  }
  EXPECT_TRUE(IsFunctionNamed("a::B::operator()(int) const", "B::operator()"));
  EXPECT_TRUE(IsFunctionNamed("a::B::operator()(int) const", "operator()(int) const"));
  EXPECT_TRUE(IsFunctionNamed("a::operator<< <int>(a::B&)", "operator<<"));
  EXPECT_TRUE(IsFunctionNamed("a::operator->()", "operator->"));
  EXPECT_TRUE(IsFunctionNamed("a::(anonymous namespace)::F(int)", "F"));
  EXPECT_FALSE(IsFunctionNamed("a::operator<(int)", "operator<<"));
}

// A function's name was taken for that of everything inside it.
TEST(FunctionNames, WhatIsInsideAFunctionIsAnotherFunction) {
  for (const char* inside :
       {"a::F(b const&)::{lambda(int, b)#1}::operator()(int, b) const", "a::F(int)::Local::Run()",
        "a::F(int) const::{lambda()#1}::operator()() const",
        "a::F(int)::{lambda(int (*)(int))#2}::operator()(int (*)(int))"}) {
    for (const char* wanted : {"F", "a::F", "::a::F", "F(int)"}) {
      EXPECT_FALSE(IsFunctionNamed(inside, wanted)) << inside << " " << wanted;
    }
  }
  EXPECT_TRUE(IsFunctionNamed("a::F(int)::{lambda(b)#1}::operator()(b) const", "operator()"));
  EXPECT_TRUE(IsFunctionNamed("a::F(int)::{lambda(b)#1}::operator()(b) const",
                              "F(int)::{lambda(b)#1}::operator()"));
  EXPECT_TRUE(IsFunctionNamed("a::F(int)::Local::Run()", "Local::Run"));
  EXPECT_TRUE(IsFunctionNamed("a::F(int (*)(int))", "F"));
}

TEST(FunctionNames, LastComponent) {
  EXPECT_EQ(LastComponent("shop::Cart<a::b>::Total<c>(d::e)"), "Total");
  EXPECT_EQ(LastComponent("a::operator<<"), "operator<<");
  EXPECT_EQ(LastComponent("a::B::operator()(int)"), "operator()");
  EXPECT_EQ(LastComponent("main"), "main");
  EXPECT_EQ(LastComponent(""), "");
}

TEST(FunctionNames, BrokenTextIsSafe) {
  for (const char* text : {"<", ">", "((((", "))))", "operator", "operator<", "a::", "::", "<<<>>",
                           "(anonymous namespace", "operator ", "[abi:", " "}) {
    PlainFunctionName(text);
    LastComponent(text);
    EXPECT_FALSE(IsFunctionNamed(text, "x"));
    EXPECT_FALSE(IsFunctionNamed("x", text)) << text;
  }
}

}  // namespace
}  // namespace stillframe
