#include "symbolizer/function_names.h"

#include <algorithm>

#include "symbolizer/symbol_table.h"

namespace stillframe {
namespace {

constexpr std::string_view kAnonymous = "(anonymous namespace)";
constexpr std::string_view kOperator = "operator";

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$';
}

// Length of an operator's name at `at`: its brackets are no brackets. 0 elsewhere.
size_t OperatorLength(std::string_view name, size_t at) {
  if (!name.substr(at).starts_with(kOperator) || (at > 0 && IsWord(name[at - 1]))) return 0;
  const std::string_view rest = name.substr(at + kOperator.size());
  if (rest.starts_with("()") || rest.starts_with("[]")) return kOperator.size() + 2;
  const size_t symbols = std::min(rest.find_first_not_of("<>=-+*/%^&|~!,"), rest.size());
  // "operator<< <int>": a blank comes before template arguments.
  return symbols == 0 ? 0 : kOperator.size() + symbols;
}

// Calls visit(index, depth) for each character outside operators' names; `depth` counts template
// brackets. Stops when visit returns false.
template <typename Visit>
void Scan(std::string_view name, Visit visit) {
  int depth = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    if (const size_t length = OperatorLength(name, i); length != 0) {
      i += length - 1;
      continue;
    }
    if (name.substr(i).starts_with(kAnonymous)) {
      i += kAnonymous.size() - 1;
      continue;
    }
    if (name[i] == '>') --depth;
    if (!visit(i, depth)) return;
    if (name[i] == '<') ++depth;
  }
}

// Behind the bracket that belongs to the one at `open`.
size_t BehindBracket(std::string_view name, size_t open) {
  int depth = 0;
  for (size_t i = open; i < name.size(); ++i) {
    if (name[i] == '(') ++depth;
    if (name[i] == ')' && --depth == 0) return i + 1;
  }
  return name.size();
}

// Whether something of a function's own stands there, "::{lambda()#1}", behind " const" and the
// like.
bool GoesOnInside(std::string_view rest) {
  bool is_qualifier = true;
  while (is_qualifier) {
    is_qualifier = false;
    for (const std::string_view word : {" ", "const", "volatile", "&"}) {
      if (!rest.starts_with(word)) continue;
      rest.remove_prefix(word.size());
      is_qualifier = true;
    }
  }
  return rest.starts_with("::");
}

// Where the parameters begin, or the end. Not those of functions around it, nor of a lambda, whose
// name has brackets of its own: "f(int)::{lambda(int)#1}::operator()(int)".
size_t ParametersAt(std::string_view name) {
  size_t at = name.size(), skip = 0;
  Scan(name, [&](size_t i, int depth) {
    if (i < skip || depth != 0 || name[i] != '(') return true;
    const size_t behind = BehindBracket(name, i);
    const bool in_name = i >= 7 && name.substr(i - 7, 7) == "{lambda";
    if (in_name || GoesOnInside(name.substr(behind))) {
      skip = behind;
      return true;
    }
    at = i;
    return false;
  });
  return at;
}

}  // namespace

std::string PlainFunctionName(std::string_view demangled) {
  if (const size_t clone = demangled.find(" [clone "); clone != std::string_view::npos) {
    demangled = demangled.substr(0, clone);
  }
  const size_t parameters = ParametersAt(demangled);
  size_t begin = 0;
  int brackets = 0;
  Scan(demangled.substr(0, parameters), [&](size_t i, int depth) {
    if (demangled[i] == '(') ++brackets;
    if (demangled[i] == ')') --brackets;
    const bool blank = depth == 0 && brackets == 0 && demangled[i] == ' ';
    if (blank && !GoesOnInside(demangled.substr(i))) begin = i + 1;
    return true;
  });
  // A conversion operator's type has blanks: "Foo::operator bool() const"; so has `operator"" _km`.
  if (const size_t conversion = demangled.find("operator "); conversion < parameters) begin = 0;
  if (const size_t literal = demangled.find("operator\"\""); literal < parameters) begin = 0;
  std::string name(demangled.substr(begin));
  for (size_t tag = name.find("[abi:"); tag != std::string::npos; tag = name.find("[abi:")) {
    const size_t end = name.find(']', tag);
    if (end == std::string::npos) break;
    name.erase(tag, end + 1 - tag);
  }
  return name;
}

std::string_view LastComponent(std::string_view wanted) {
  wanted = wanted.substr(0, ParametersAt(wanted));
  size_t begin = 0, end = wanted.size();
  Scan(wanted, [&](size_t i, int depth) {
    if (depth != 0) return true;
    if (wanted[i] == ':') begin = i + 1, end = wanted.size();
    if (wanted[i] == '<') end = i;
    return true;
  });
  const std::string_view last = wanted.substr(begin, end - begin);
  const size_t first = std::min(last.find_first_not_of(' '), last.size());
  return last.substr(first, last.find_last_not_of(' ') + 1 - first);
}

bool IsConstructorOrDestructor(std::string_view full_name) {
  const std::string_view last = LastComponent(full_name);
  if (last.empty()) return false;
  if (last.front() == '~') return true;
  std::string_view scope = full_name.substr(0, static_cast<size_t>(last.data() - full_name.data()));
  if (!scope.ends_with("::")) return false;
  scope.remove_suffix(2);
  // The class's template arguments.
  if (scope.ends_with('>')) {
    size_t begin = scope.size();
    int depth = 0;
    while (begin > 0) {
      const char c = scope[--begin];
      depth += c == '>' ? 1 : c == '<' ? -1 : 0;
      if (depth == 0) break;
    }
    scope = scope.substr(0, begin);
  }
  if (!scope.ends_with(last)) return false;
  scope.remove_suffix(last.size());
  return scope.empty() || scope.ends_with(':') || scope.ends_with(' ');
}

std::string NameCoroutinePart(std::string_view function, std::string_view symbol) {
  constexpr struct {
    std::string_view clone;
    std::string_view said;
  } kParts[] = {{" [clone .actor]", " [resumed]"},
                {" [clone .resume]", " [resumed]"},
                {" [clone .destroy]", " [destroyed]"},
                {" [clone .cleanup]", " [cleaned up]"}};
  for (const auto& part : kParts) {
    if (!symbol.ends_with(part.clone)) continue;
    // GCC: "f(f(int)::_Z1fi.Frame*) [clone .actor]".
    constexpr std::string_view kFrame = ".Frame*)";
    symbol.remove_suffix(part.clone.size());
    const size_t begin = symbol.rfind("::_Z");
    if (symbol.ends_with(kFrame) && begin != std::string_view::npos) {
      symbol.remove_suffix(kFrame.size());
      return Demangle(std::string(symbol.substr(begin + 2))) + std::string(part.said);
    }
    if (part.clone == " [clone .actor]") continue;  // somebody else's
    return std::string(function) + std::string(part.said);
  }
  return std::string(function);
}

bool IsSplitPart(std::string_view demangled) {
  return demangled.find("[clone .cold") != std::string_view::npos ||
         demangled.find("[clone .part") != std::string_view::npos ||
         demangled.find(".cold]") != std::string_view::npos || demangled.ends_with(".cold");
}

bool IsThunk(std::string_view demangled) {
  return demangled.starts_with("non-virtual thunk to ") ||
         demangled.starts_with("virtual thunk to ") ||
         demangled.starts_with("covariant return thunk to ");
}

}  // namespace stillframe
