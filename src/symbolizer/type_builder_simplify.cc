#include "symbolizer/type_builder_simplify.h"

#include <array>
#include <cctype>
#include <optional>

namespace stillframe::dwarf {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxName = 16'384;

bool IsIdentifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool IsBaseWord(std::string_view word) {
  return word == "long" || word == "unsigned" || word == "signed" || word == "short" ||
         word == "int" || word == "char" || word == "double";
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The position of the '>' that closes the '<' at `open`, or npos. Parentheses and braces protect
// what they hold: "(X > 3)", "{lambda(int)#1}".
size_t ClosingAngle(std::string_view text, size_t open) {
  int angle = 0;
  int round = 0;
  for (size_t i = open; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '(' || c == '{' || c == '[') ++round;
    if (c == ')' || c == '}' || c == ']') --round;
    if (round < 0) return std::string_view::npos;
    if (round > 0) continue;
    if (c == '<') ++angle;
    if (c == '>' && i > 0 && text[i - 1] == '-') return std::string_view::npos;
    if (c == '>' && --angle == 0) return i;
  }
  return std::string_view::npos;
}

std::vector<std::string_view> SplitArguments(std::string_view text) {
  std::vector<std::string_view> out;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
    if (c == '>' || c == ')' || c == '}' || c == ']') --depth;
    if (c != ',' || depth != 0) continue;
    out.push_back(Trim(text.substr(start, i - start)));
    start = i + 1;
  }
  if (const std::string_view last = Trim(text.substr(start)); !last.empty()) out.push_back(last);
  return out;
}

struct DefaultRule {
  std::string_view name;
  size_t keep;                // arguments that stay
  std::string_view deflt[3];  // heads of the defaults that follow, "" = none
};

// Defaults are recognised by template name and first argument: `std::less<K>` for std::set<K, ...>.
constexpr auto kRules = std::to_array<DefaultRule>({
    {"std::vector", 1, {"std::allocator", "", ""}},
    {"std::deque", 1, {"std::allocator", "", ""}},
    {"std::list", 1, {"std::allocator", "", ""}},
    {"std::forward_list", 1, {"std::allocator", "", ""}},
    {"std::set", 1, {"std::less", "std::allocator", ""}},
    {"std::multiset", 1, {"std::less", "std::allocator", ""}},
    {"std::unordered_set", 1, {"std::hash", "std::equal_to", "std::allocator"}},
    {"std::unordered_multiset", 1, {"std::hash", "std::equal_to", "std::allocator"}},
    {"std::map", 2, {"std::less", "std::allocator", ""}},
    {"std::multimap", 2, {"std::less", "std::allocator", ""}},
    {"std::unordered_map", 2, {"std::hash", "std::equal_to", "std::allocator"}},
    {"std::unordered_multimap", 2, {"std::hash", "std::equal_to", "std::allocator"}},
    {"std::unique_ptr", 1, {"std::default_delete", "", ""}},
    {"std::basic_string", 1, {"std::char_traits", "std::allocator", ""}},
    {"std::basic_string_view", 1, {"std::char_traits", "", ""}},
    {"std::queue", 1, {"std::deque", "", ""}},
    {"std::stack", 1, {"std::deque", "", ""}},
});

struct StringAlias {
  std::string_view character;
  std::string_view prefix;
};
constexpr auto kStringAliases = std::to_array<StringAlias>({
    {"char", ""},
    {"wchar_t", "w"},
    {"char8_t", "u8"},
    {"char16_t", "u16"},
    {"char32_t", "u32"},
});

std::string Instance(std::string_view head, std::string_view argument) {
  std::string text = std::string(head) + "<" + std::string(argument);
  if (text.back() == '>') text += ' ';
  return text + ">";
}

// `argument` is the default `head` over the kept arguments. Compilers write a map's value type as
// pair<K const, V> (GCC) or pair<const K, V> (Clang).
bool IsDefault(std::string_view head, std::string_view argument,
               const std::vector<std::string>& kept) {
  if (argument == Instance(head, kept[0])) return true;
  if (head != "std::allocator" || kept.size() != 2) return false;
  return argument == Instance(head, Instance("std::pair", kept[0] + " const, " + kept[1])) ||
         argument == Instance(head, Instance("std::pair", "const " + kept[0] + ", " + kept[1]));
}

void DropDefaults(std::string_view name, std::vector<std::string>& arguments) {
  for (const DefaultRule& rule : kRules) {
    if (rule.name != name || arguments.size() <= rule.keep) continue;
    const std::vector<std::string> kept(arguments.begin(),
                                        arguments.begin() + static_cast<long>(rule.keep));
    size_t defaults = 0;
    while (defaults < 3 && !rule.deflt[defaults].empty()) ++defaults;
    while (arguments.size() > rule.keep) {
      const size_t index = arguments.size() - rule.keep - 1;
      if (index >= defaults || !IsDefault(rule.deflt[index], arguments.back(), kept)) return;
      arguments.pop_back();
    }
  }
}

std::optional<std::string> AsAlias(std::string_view name,
                                   const std::vector<std::string>& arguments) {
  if (arguments.size() != 1) return std::nullopt;
  std::string_view suffix;
  if (name == "std::basic_string") suffix = "string";
  if (name == "std::basic_string_view") suffix = "string_view";
  if (suffix.empty()) return std::nullopt;
  for (const StringAlias& alias : kStringAliases) {
    if (arguments[0] == alias.character) {
      return "std::" + std::string(alias.prefix) + std::string(suffix);
    }
  }
  return std::nullopt;
}

// Drops "__cxx11::" and its like from a qualified name: inline namespaces of the library.
std::string DropVersionNamespace(std::string_view head) {
  std::string out(head);
  for (const std::string_view inline_name : {"std::__cxx11::", "std::__8::", "std::__1::"}) {
    for (size_t at = out.find(inline_name); at != std::string::npos; at = out.find(inline_name)) {
      if (at > 0 && (IsIdentifier(out[at - 1]) || out[at - 1] == ':')) break;
      out.erase(at + 5, inline_name.size() - 5);
    }
  }
  return out;
}

std::optional<std::string> Simplify(std::string_view text, int depth);

std::optional<std::string> SimplifyInstance(std::string_view head, std::string_view inside,
                                            int depth) {
  std::vector<std::string> arguments;
  for (const std::string_view argument : SplitArguments(inside)) {
    std::optional<std::string> simple = Simplify(argument, depth + 1);
    if (!simple) return std::nullopt;
    arguments.push_back(std::move(*simple));
  }
  DropDefaults(head, arguments);
  if (std::optional<std::string> alias = AsAlias(head, arguments)) return alias;
  std::string joined;
  for (const std::string& argument : arguments) {
    if (!joined.empty()) joined += ", ";
    joined += argument;
  }
  return joined.empty() ? std::string(head) + "<>" : Instance(head, joined);
}

// A run of base-type words ("long unsigned int") in canonical spelling, or one word as it is.
std::string TakeWords(std::string_view text, size_t& at) {
  const auto word_end = [&](size_t from) {
    while (from < text.size() && (IsIdentifier(text[from]) || text[from] == ':')) ++from;
    return from;
  };
  size_t end = word_end(at);
  std::string words(text.substr(at, end - at));
  bool base = IsBaseWord(words);
  while (base && end + 1 < text.size() && text[end] == ' ') {
    const size_t next = word_end(end + 1);
    if (!IsBaseWord(text.substr(end + 1, next - end - 1))) break;
    end = next;
    words = std::string(text.substr(at, end - at));
  }
  at = end;
  // GCC writes "__int128 unsigned", Clang and people "unsigned __int128".
  if (words == "__int128" && text.substr(at).starts_with(" unsigned")) {
    at += std::string_view(" unsigned").size();
    return "unsigned __int128";
  }
  // Clang writes array<int, 3UL>, GCC and people array<int, 3>.
  if (!words.empty() && std::isdigit(static_cast<unsigned char>(words[0])) != 0) {
    const size_t digits = words.find_first_not_of("0123456789");
    if (digits != std::string::npos && words.find_first_not_of("UL", digits) == std::string::npos) {
      words.resize(digits);
    }
  }
  return base ? CanonicalBaseName(words) : DropVersionNamespace(words);
}

std::optional<std::string> Simplify(std::string_view text, int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (!IsIdentifier(text[at]) && text[at] != ':') {
      if (text[at] == '<') return std::nullopt;  // an operator's name, or damage
      out += text[at++];
      continue;
    }
    std::string head = TakeWords(text, at);
    if (at >= text.size() || text[at] != '<') {
      out += head;
      continue;
    }
    if (head.ends_with("operator")) return std::nullopt;
    const size_t close = ClosingAngle(text, at);
    if (close == std::string_view::npos) return std::nullopt;
    if (head.starts_with("::") && !out.empty()) {  // "a<b>::c<d>": the head is the whole so far
      head = out + head;
      out.clear();
    }
    std::optional<std::string> instance =
        SimplifyInstance(head, text.substr(at + 1, close - at - 1), depth);
    if (!instance) return std::nullopt;
    out += *instance;
    at = close + 1;
  }
  return out;
}

// One type or argument from `at` to the ',' or '>' that ends it.
std::string ComparableArgument(std::string_view text, size_t& at, int depth) {
  const auto skip = [&](std::string_view word) {
    if (!text.substr(at).starts_with(word)) return false;
    at += word.size();
    return true;
  };
  bool is_const = false;
  while (skip(" ") || (skip("const ") && (is_const = true))) {
  }
  std::string out;
  bool base = true;  // up to the first '*' or '&'
  int round = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    constexpr std::string_view kUnnamed = "(anonymous namespace)";
    if (base && text.substr(at).starts_with(kUnnamed)) {
      out += kUnnamed;
      at += kUnnamed.size() - 1;
      continue;
    }
    if (round == 0 && (c == ',' || c == '>')) break;
    if (c == '(' || c == '{' || c == '[') ++round;
    if (c == ')' || c == '}' || c == ']') --round;
    const bool ends_base = c == '*' || c == '&' || c == '(';
    if (base && ends_base) {
      while (out.ends_with(' ')) out.pop_back();
      if (is_const) out += " const";
      base = false;
    }
    if (c == '<' && round == 0 && depth < kMaxDepth) {
      out += c;
      do {
        ++at;
        out += ComparableArgument(text, at, depth + 1);
        if (at < text.size()) out += text[at];
      } while (at < text.size() && text[at] == ',');
      if (at >= text.size()) break;
    } else if (base || c != ' ') {
      out += c;
    }
  }
  while (out.ends_with(' ')) out.pop_back();
  if (base && is_const) out += " const";
  return out;
}

}  // namespace

std::string CanonicalBaseName(std::string_view name) {
  int longs = 0;
  bool is_unsigned = false;
  bool is_signed = false;
  bool is_short = false;
  bool is_char = false;
  for (size_t at = 0; at < name.size();) {
    size_t end = name.find(' ', at);
    if (end == std::string_view::npos) end = name.size();
    const std::string_view word = name.substr(at, end - at);
    if (word == "long")
      ++longs;
    else if (word == "unsigned")
      is_unsigned = true;
    else if (word == "signed")
      is_signed = true;
    else if (word == "short")
      is_short = true;
    else if (word == "char")
      is_char = true;
    else if (word != "int")
      return std::string(name);
    at = end + 1;
  }
  const std::string sign = is_unsigned ? "unsigned " : "";
  if (is_char) return is_signed ? "signed char" : sign + "char";
  if (is_short) return sign + "short";
  if (longs == 1) return sign + "long";
  if (longs == 2) return sign + "long long";
  return sign + "int";
}

std::string SimplifyTypeName(std::string_view name) {
  if (name.size() > kMaxName) return std::string(name);
  std::optional<std::string> simple = Simplify(name, 0);
  return simple ? std::move(*simple) : std::string(name);
}

std::string TemplateBaseName(std::string_view name) {
  return DropVersionNamespace(name.substr(0, name.find('<')));
}

std::string StripReturnType(std::string_view text) {
  size_t split = 0;
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool word_start = i == 0 || !IsIdentifier(text[i - 1]);
    if (word_start && text.substr(i).starts_with("operator") &&
        (i + 8 >= text.size() || !IsIdentifier(text[i + 8]))) {
      break;  // everything after belongs to the name
    }
    if (depth == 0 && c == '(') {
      const bool in_name = text.substr(i).starts_with("(anonymous namespace)") ||
                           (i >= 8 && text.substr(i - 8, 8) == "decltype");
      if (!in_name) break;
    }
    if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
    if (c == '>' || c == ')' || c == '}' || c == ']') --depth;
    if (c == ' ' && depth == 0) split = i + 1;
  }
  return std::string(text.substr(split));
}

std::string ComparableTypeName(std::string_view name) {
  std::string simple = SimplifyTypeName(name);
  if (simple.size() > kMaxName) return simple;
  std::string out;
  for (size_t at = 0; at < simple.size(); ++at) {  // operators may have '>' and ',' in their names
    out += ComparableArgument(simple, at, 0);
    if (at < simple.size()) out += simple[at];
  }
  return out;
}

}  // namespace stillframe::dwarf
