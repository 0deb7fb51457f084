#include "symbolizer/function_names.h"

#include <gtest/gtest.h>

#include "symbolizer/function_match.h"

namespace stillframe {
namespace {

bool IsFunctionNamed(std::string_view plain_name, std::string_view wanted) {
  return FunctionPattern(wanted).Matches(plain_name);
}

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

TEST(FunctionNames, TypesAreSpelledAsPeopleDo) {
  const struct {
    const char* plain;
    const char* wanted;
  } cases[] = {
      {"over(char const*)", "over(const char*)"},
      {"over(char const*)", "over(const char *)"},
      {"over(char const*)", "int over(const char* text);"},
      {"over(char const* const&)", "over(const char* const&)"},
      {"over(unsigned long)", "over(size_t)"},
      {"over(unsigned long)", "over(std::size_t n)"},
      {"over(unsigned int, unsigned long)", "over(uint32_t, long unsigned int)"},
      {"over(unsigned int)", "over( unsigned )"},
      {"over(int)", "over(const int x)"},
      {"over()", "over(void)"},
      {"a::B::Add(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > "
       "const&)",
       "B::Add(const std::string&)"},
      {"a::B::Add(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >)",
       "Add(std::string text)"},
      {"a::over(std::vector<std::pair<int, std::__cxx11::basic_string<char, "
       "std::char_traits<char>, "
       "std::allocator<char> > >, std::allocator<std::pair<int, std::__cxx11::basic_string<char, "
       "std::char_traits<char>, std::allocator<char> > > > >)",
       "over(std::vector<std::pair<int, std::string>>)"},
      {"a::Twice<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > "
       ">()",
       "Twice<std::string>"},
      {"a::B::B(a::B const&)", "B::B(const B&)"},
      {"a::B::Map(std::map<int, a::C const*>&)", "Map(std::map<int, const C*>&)"},
      {"a::(anonymous namespace)::F(a::(anonymous namespace)::G&)", "a::F(G&)"},
      {"a::Max<int>(int, int)", "int a::Max<int>(int, int)"},
      {"a::T<int, 5>::find(int)", "T::find(int)"},
      {"main()", "int main()"},
      {"a::F(int) const", "a::F(int) const noexcept"},
      {"a::over(int)", "&a::over"},
      {"a::over(int)", "a :: over ( int )"},
      {"operator\"\" _km(char const*, unsigned long)", "operator\"\"_km"},
      {"a::B::operator bool() const", "B::operator bool"},
      {"a::B::operator==(a::B const&) const", "bool B::operator ==(const B&) const"},
      {"a::F(int (*)(int), int (&) [3])", "F(int (*)(int), int (&)[3])"},
      {"shop::v2::Cart::Add(int)", "_ZN4shop2v24Cart3AddEi"},
      {"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::size() "
       "const",
       "std::string::size"},
      {"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::size() "
       "const",
       "basic_string::size"},
      {"std::vector<int, std::allocator<int> >::push_back(int const&)", "vector<int>::push_back"},
      {"f(int)::{lambda(int)#1}::operator()(int) const", "f(int)::{lambda(int)#1}::operator()"},
  };
  for (const auto& c : cases) EXPECT_TRUE(IsFunctionNamed(c.plain, c.wanted)) << c.wanted;
  // A function's local ones are not the function.
  EXPECT_FALSE(IsFunctionNamed("a::f(int)::{lambda(int)#1}::operator()(int) const", "a::f"));
  EXPECT_FALSE(IsFunctionNamed("over(char*)", "over(const char*)"));
  EXPECT_FALSE(IsFunctionNamed("over(char const*)", "over(char* const)"));
  EXPECT_FALSE(IsFunctionNamed("over(b::Order&)", "over(a::Order&)"));
  EXPECT_FALSE(IsFunctionNamed("over(int, int)", "over(int)"));
  EXPECT_FALSE(IsFunctionNamed("shop::v2::Cart::Add(int)", "_ZN4Cart3AddEi"));
}

TEST(FunctionNames, LooselyWithoutQualifiersAndInlineNamespaces) {
  const FunctionPattern get("shop::Cart::Get(const shop::Item&)");
  const char* name = "shop::v2::Cart::Get(shop::v2::Item const&) const";
  EXPECT_FALSE(get.Matches(name));
  EXPECT_FALSE(get.MatchesLoosely(name, {}));
  EXPECT_TRUE(get.MatchesLoosely(name, {"v2"}));
  EXPECT_FALSE(FunctionPattern("Get() &").MatchesLoosely("Get() const", {}));
  EXPECT_FALSE(FunctionPattern("v2::Get").MatchesLoosely("v2::Got()", {"v2"}));
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

TEST(FunctionNames, ConstructorsAndDestructorsAreNamedLikeTheirClass) {
  for (const char* name : {"Cart::Cart(int)", "shop::Cart<int>::Cart(shop::Cart<int> const&)",
                           "Cart::~Cart()", "f(int)::Local::Local()", "A<B<(C)1> >::~A()",
                           "(anonymous namespace)::Cart::Cart()", "Cart<long>::Cart<int>(int)"}) {
    EXPECT_TRUE(IsConstructorOrDestructor(name)) << name;
  }
  for (const char* name : {"Cart::Total()", "Cart()", "MyCart::Cart()", "Cart<int>::Total(int)",
                           "Cart::operator<(Cart const&)", "main", ""}) {
    EXPECT_FALSE(IsConstructorOrDestructor(name)) << name;
  }
}

TEST(FunctionNames, BrokenTextIsSafe) {
  for (const char* text :
       {"<", ">", "((((", "))))", "operator", "operator<", "a::", "::", "<<<>>",
        "(anonymous namespace", "operator ", "[abi:", " ", "a>::a", "<a::a", "::a"}) {
    PlainFunctionName(text);
    LastComponent(text);
    IsConstructorOrDestructor(text);
    EXPECT_FALSE(IsFunctionNamed(text, "x"));
    EXPECT_FALSE(IsFunctionNamed("x", text)) << text;
  }
}

}  // namespace
}  // namespace stillframe
