// Whether a function is the one that a person has named.
#ifndef STILLFRAME_SYMBOLIZER_FUNCTION_MATCH_H_
#define STILLFRAME_SYMBOLIZER_FUNCTION_MATCH_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace stillframe {

// One part of a qualified name: "Total<int>(int, long) const" of "shop::Cart::Total<int>(…) const".
struct NamePart {
  std::string name;                     // "Total", "operator<<", "{lambda(int)#1}"
  std::vector<std::string> arguments;   // tokens with the angle brackets; empty: none written
  std::vector<std::string> parameters;  // tokens with the parentheses; empty: none written
  std::string qualifiers;               // "const", "&", "const&&"; empty: none
};

// A name as people type it: the last parts of the qualified name, any of them without template
// arguments, the last one without parameters. In types only the order and the spelling that
// compilers choose do not matter: `const std::string&` is `std::__cxx11::basic_string<char, …>
// const&`, `Order&` may be `shop::Order&`, `size_t` is `unsigned long`. A return type in front,
// names of parameters, `noexcept` and a final `;` are passed over. Linkers' names (_Z…) mean that
// one function.
class FunctionPattern {
 public:
  explicit FunctionPattern(std::string_view wanted);

  // The last component's name, without arguments; empty when `wanted` is no function's name.
  const std::string& last() const { return last_; }
  // Whether a function of this full name may match at all: most do not, and are not taken apart.
  bool MayMatch(std::string_view full_name) const;

  // `plain_name`: as PlainFunctionName gives it.
  bool Matches(std::string_view plain_name) const;
  // The same, but a member function's final `const` or `&` may be left out, and so may inline
  // namespaces. For names that nothing matches.
  bool MatchesLoosely(std::string_view plain_name,
                      const std::set<std::string>& inline_namespaces) const;

 private:
  bool MatchesName(std::string_view plain_name,
                   const std::set<std::string>* inline_namespaces) const;
  bool MatchesParts(const std::vector<NamePart>& parts, bool loosely) const;

  bool global_ = false;     // begins with "::": the whole name
  bool anonymous_ = false;  // names an anonymous namespace
  std::string last_;
  std::vector<NamePart> parts_;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FUNCTION_MATCH_H_
