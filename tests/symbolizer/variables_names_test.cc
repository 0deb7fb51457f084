// Type names as text.
#include "gtest/gtest.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

TEST(ComparableTypeName, IsOneForAllSpellings) {
  const auto same = [](const char* a, const char* b) {
    EXPECT_EQ(ComparableTypeName(a), ComparableTypeName(b));
  };
  same("Handler<char const*>", "Handler<const char *>");
  same("Handler<char const* const*, int>", "Handler<const char *const *, int>");
  same("Handler<std::vector<int const*> const&>", "Handler<const std::vector<const int *> &>");
  same("Handler<unsigned long const>", "Handler<const long unsigned int>");
  same("Handler<(anonymous namespace)::X const*>", "Handler<const (anonymous namespace)::X *>");
  same("std::map<int const, char*>::node", "std::map<const int, char *>::node");
  EXPECT_NE(ComparableTypeName("Handler<char const*>"), ComparableTypeName("Handler<char* const>"));
  EXPECT_NE(ComparableTypeName("Handler<char const*>"), ComparableTypeName("Handler<char*>"));
  for (const char* broken : {"", "<", "a<b", "a<b,,>", "operator>", "a<const >", "const", "a>b<"}) {
    (void)ComparableTypeName(broken);
  }
}

TEST(SimplifyTypeName, DropsDefaultArguments) {
  EXPECT_EQ(SimplifyTypeName("std::vector<shop::Item, std::allocator<shop::Item> >"),
            "std::vector<shop::Item>");
  EXPECT_EQ(SimplifyTypeName("std::__cxx11::basic_string<char, std::char_traits<char>, "
                             "std::allocator<char> >"),
            "std::string");
  EXPECT_EQ(SimplifyTypeName("std::map<int, long int, std::less<int>, "
                             "std::allocator<std::pair<int const, long int> > >"),
            "std::map<int, long>");
  EXPECT_EQ(SimplifyTypeName("std::unique_ptr<A, std::default_delete<A> >"), "std::unique_ptr<A>");
  EXPECT_EQ(SimplifyTypeName("std::vector<std::vector<int, std::allocator<int> >, "
                             "std::allocator<std::vector<int, std::allocator<int> > > >"),
            "std::vector<std::vector<int> >");
}

TEST(SimplifyTypeName, KeepsArgumentsThatAreNotTheDefault) {
  for (const char* name :
       {"std::vector<int, Arena<int> >", "std::unique_ptr<A, Closer>",
        "std::map<int, long, std::greater<int> >", "my::vector<int, std::allocator<int> >",
        "std::set<int, Order, std::allocator<int> >"}) {
    EXPECT_EQ(SimplifyTypeName(name).substr(0, 12), std::string(name).substr(0, 12));
    EXPECT_NE(SimplifyTypeName(name).find(','), std::string::npos) << name;
  }
}

TEST(SimplifyTypeName, LeavesWhatItCannotParse) {
  for (const char* name : {"a<b", "operator<", "f<(x > 3)>", "", "x<y>>", "{lambda(int)#1}",
                           "a<b->c>", "<", ">", "std::vector<"}) {
    EXPECT_EQ(SimplifyTypeName(name), name);
  }
}

TEST(CanonicalBaseName, SpellsAsGdbDoes) {
  EXPECT_EQ(CanonicalBaseName("long unsigned int"), "unsigned long");
  EXPECT_EQ(CanonicalBaseName("short int"), "short");
  EXPECT_EQ(CanonicalBaseName("long long int"), "long long");
  EXPECT_EQ(CanonicalBaseName("signed char"), "signed char");
  EXPECT_EQ(CanonicalBaseName("long double"), "long double");
}

TEST(StripReturnType, KeepsTheNameAndParameters) {
  EXPECT_EQ(StripReturnType("int shop::Sum<int>(int const&)"), "shop::Sum<int>(int const&)");
  EXPECT_EQ(StripReturnType("unsigned long f<a, b>(int)"), "f<a, b>(int)");
  EXPECT_EQ(StripReturnType("shop::Checkout(shop::Order const&)"),
            "shop::Checkout(shop::Order const&)");
  EXPECT_EQ(StripReturnType("(anonymous namespace)::f(int)"), "(anonymous namespace)::f(int)");
  EXPECT_EQ(StripReturnType("A::operator unsigned long() const"),
            "A::operator unsigned long() const");
  EXPECT_EQ(StripReturnType("bool operator< <int>(A<int>)"), "operator< <int>(A<int>)");
  EXPECT_EQ(StripReturnType("f()::{lambda(int, long)#1}::operator()(int, long) const"),
            "f()::{lambda(int, long)#1}::operator()(int, long) const");
}

}  // namespace
}  // namespace stillframe::dwarf
