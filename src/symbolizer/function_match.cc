#include "symbolizer/function_match.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "symbolizer/function_names.h"
#include "symbolizer/symbol_table.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe {
namespace {

using Tokens = std::vector<std::string>;

constexpr size_t kLongestName = 16'384;
constexpr std::string_view kAnonymous = "(anonymous namespace)";
constexpr std::string_view kOperator = "operator";

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

bool IsCv(std::string_view token) { return token == "const" || token == "volatile"; }

// A type's name or a number; not a bracket, `&`, `*` or a qualifier.
bool IsName(std::string_view token) {
  return !token.empty() && !IsCv(token) && (IsWord(token[0]) || token.starts_with("::"));
}

bool OneOf(std::string_view token, std::initializer_list<std::string_view> any) {
  return std::find(any.begin(), any.end(), token) != any.end();
}

// LP64's (x86-64 psABI, figure 3.1).
std::string WithoutAlias(std::string name) {
  constexpr auto kAliases = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"size_t", "unsigned long"},
      {"ssize_t", "long"},
      {"ptrdiff_t", "long"},
      {"intptr_t", "long"},
      {"uintptr_t", "unsigned long"},
      {"int8_t", "signed char"},
      {"uint8_t", "unsigned char"},
      {"int16_t", "short"},
      {"uint16_t", "unsigned short"},
      {"int32_t", "int"},
      {"uint32_t", "unsigned int"},
      {"int64_t", "long"},
      {"uint64_t", "unsigned long"},
  });
  std::string_view bare = name;
  if (bare.starts_with("::")) bare.remove_prefix(2);
  if (bare.starts_with("std::")) bare.remove_prefix(5);
  for (const auto& [alias, type] : kAliases) {
    if (bare == alias) return std::string(type);
  }
  return name;
}

// "unsigned long", "a::b", "(", ",": qualified names are one token, words of a base type as well.
Tokens Tokenize(std::string_view text) {
  Tokens tokens;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      ++at;
      continue;
    }
    size_t end = at;
    std::string token;
    while (end < text.size()) {
      if (text.substr(end).starts_with(kAnonymous)) {
        end += kAnonymous.size();
        if (text.substr(end).starts_with("::")) end += 2;
      } else if (IsWord(text[end]) || text.substr(end).starts_with("::")) {
        const size_t length = IsWord(text[end]) ? 1 : 2;
        token.append(text.substr(end, length));
        end += length;
      } else {
        break;
      }
    }
    if (end == at) {
      tokens.emplace_back(1, text[at++]);
      continue;
    }
    at = end;
    if (OneOf(token, {"struct", "class", "union", "enum", "typename"})) continue;
    const bool of_base = OneOf(token, {"long", "int", "char", "short", "double", "__int128"});
    if (of_base && !tokens.empty() &&
        (tokens.back().ends_with("unsigned") || tokens.back().ends_with("signed") ||
         tokens.back().ends_with("long") || tokens.back().ends_with("short"))) {
      tokens.back() += " " + token;
    } else {
      tokens.push_back(WithoutAlias(std::move(token)));
    }
  }
  return tokens;
}

// The end of the bracket that opens at `open`.
size_t Closing(const Tokens& tokens, size_t open) {
  int depth = 0;
  for (size_t i = open; i < tokens.size(); ++i) {
    if (OneOf(tokens[i], {"<", "(", "["})) ++depth;
    if (OneOf(tokens[i], {">", ")", "]"}) && --depth == 0) return i;
  }
  return tokens.size();
}

// As demanglers write it: `const T&` becomes `T const&`.
Tokens WithQualifiersBehind(Tokens tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool begins = i == 0 || OneOf(tokens[i - 1], {"(", "<", ","});
    if (!IsCv(tokens[i]) || !begins) continue;
    size_t type = i + 1;
    while (type < tokens.size() && IsCv(tokens[type])) ++type;
    if (type >= tokens.size() || !IsName(tokens[type])) continue;
    ++type;
    while (type < tokens.size() && (tokens[type] == "<" || tokens[type].starts_with("::"))) {
      type = tokens[type] == "<" ? std::min(Closing(tokens, type) + 1, tokens.size()) : type + 1;
    }
    std::rotate(tokens.begin() + static_cast<ptrdiff_t>(i),
                tokens.begin() + static_cast<ptrdiff_t>(i + 1),
                tokens.begin() + static_cast<ptrdiff_t>(type));
  }
  return tokens;
}

// Without what belongs to no function's type: names of parameters, `const` of a value, `(void)`.
Tokens AsParameters(const Tokens& tokens) {
  Tokens out;
  int angles = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == "<") ++angles;
    if (tokens[i] == ">") --angles;
    const bool last = i + 1 < tokens.size() && OneOf(tokens[i + 1], {",", ")"}) && angles == 0;
    const bool behind_type = i > 0 && (IsName(tokens[i - 1]) || IsCv(tokens[i - 1]) ||
                                       OneOf(tokens[i - 1], {">", "&", "*"}));
    const bool of_value = i > 0 && !OneOf(tokens[i - 1], {"*", "&"});
    const bool is_name = IsName(tokens[i]) && !tokens[i].starts_with("::");
    if (last && behind_type && (is_name || (IsCv(tokens[i]) && of_value))) continue;
    out.push_back(tokens[i]);
  }
  while (out.size() >= 2 && IsCv(out[out.size() - 2]) && out.size() >= 3 &&
         !OneOf(out[out.size() - 3], {"*", "&"})) {
    out.erase(out.end() - 2);
  }
  if (out == Tokens{"(", "void", ")"}) out.erase(out.begin() + 1);
  return out;
}

Tokens TypeTokens(std::string_view text) {
  return WithQualifiersBehind(Tokenize(dwarf::SimplifyTypeName(text)));
}

// Reads a qualified name part by part.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::optional<std::vector<NamePart>> Read() {
    std::vector<NamePart> parts;
    do {
      std::optional<NamePart> part = ReadPart();
      if (!part) return std::nullopt;
      parts.push_back(std::move(*part));
    } while (Take("::"));
    SkipBlanks();
    if (at_ != text_.size()) return std::nullopt;
    return parts;
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }
  void SkipBlanks() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool Take(std::string_view what) {
    SkipBlanks();
    if (!rest().starts_with(what)) return false;
    at_ += what.size();
    return true;
  }

  // From the bracket at the present position to the one that closes it; "" when none does.
  std::string_view TakeBracket() {
    int depth = 0;
    for (size_t i = at_; i < text_.size(); ++i) {
      const char c = text_[i];
      if (c == '<' || c == '(' || c == '{' || c == '[') ++depth;
      const bool arrow = c == '>' && i > 0 && text_[i - 1] == '-';
      if ((c == '>' && !arrow) || c == ')' || c == '}' || c == ']') --depth;
      if (depth != 0) continue;
      const std::string_view taken = text_.substr(at_, i + 1 - at_);
      at_ = i + 1;
      return taken;
    }
    return {};
  }

  bool ReadOperator(NamePart& part) {
    if (!rest().starts_with(kOperator)) return false;
    const std::string_view after = rest().substr(kOperator.size());
    if (!after.empty() && IsWord(after[0])) return false;
    at_ += kOperator.size();
    SkipBlanks();
    part.name = kOperator;
    if (rest().starts_with("()") || rest().starts_with("[]")) {
      part.name += text_.substr(at_, 2);
      at_ += 2;
      return true;
    }
    const size_t symbols = std::min(rest().find_first_not_of("<>=-+*/%^&|~!,"), rest().size());
    if (symbols > 0) {
      part.name += text_.substr(at_, symbols);
      at_ += symbols;
      return true;
    }
    // "operator bool", "operator new[]", "operator\"\"_km": up to the parameters.
    size_t end = at_;
    int angles = 0;
    for (; end < text_.size() && (text_[end] != '(' || angles > 0); ++end) {
      if (text_[end] == '<') ++angles;
      if (text_[end] == '>') --angles;
    }
    std::string_view said = text_.substr(at_, end - at_);
    at_ = end;
    if (said.starts_with("\"\"")) {
      part.name += "\"\"";
      said.remove_prefix(2);
    } else {
      part.name += ' ';
    }
    for (const std::string& token : TypeTokens(said)) part.name += token;
    return true;
  }

  bool ReadName(NamePart& part) {
    if (Take(kAnonymous)) {
      part.name = kAnonymous;
      return true;
    }
    if (ReadOperator(part)) return true;
    if (rest().starts_with("{")) {
      part.name = TakeBracket();
      return !part.name.empty();
    }
    size_t end = at_;
    while (end < text_.size() && (IsWord(text_[end]) || text_[end] == '~' || text_[end] == '.'))
      ++end;
    part.name = text_.substr(at_, end - at_);
    at_ = end;
    // GCC's lambdas without a linker's name: "struct {...}".
    if (OneOf(part.name, {"struct", "class", "union", "enum"}) && rest().starts_with(" {")) {
      ++at_;
      part.name = TakeBracket();
    }
    return !part.name.empty();
  }

  std::optional<NamePart> ReadPart() {
    NamePart part;
    SkipBlanks();
    if (!ReadName(part)) return std::nullopt;
    SkipBlanks();
    if (rest().starts_with("<")) {
      const std::string_view arguments = TakeBracket();
      if (arguments.empty()) return std::nullopt;
      // Simplified as a template's, whose brackets are then not taken for anything else.
      part.arguments = TypeTokens("_" + std::string(arguments));
      part.arguments.erase(part.arguments.begin());
    }
    SkipBlanks();
    if (!rest().starts_with("(") || rest().starts_with(kAnonymous)) return part;
    const std::string_view parameters = TakeBracket();
    if (parameters.empty()) return std::nullopt;
    part.parameters = AsParameters(TypeTokens(parameters));
    for (;;) {
      if (Take("noexcept")) continue;
      bool taken = false;
      for (const std::string_view word : {"const", "volatile", "&"}) {
        if (!Take(word)) continue;
        part.qualifiers += word;
        taken = true;
      }
      if (!taken) return part;
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::optional<std::vector<NamePart>> Parse(std::string_view name) {
  if (name.size() > kLongestName) return std::nullopt;
  return Reader(name).Read();
}

// `wanted` may leave outer namespaces out.
bool SameName(std::string_view name, std::string_view wanted) {
  if (name == wanted) return true;
  if (wanted.starts_with("::")) return name == wanted.substr(2);
  return IsName(name) && IsName(wanted) && name.size() > wanted.size() + 2 &&
         name.ends_with(wanted) && name.substr(0, name.size() - wanted.size()).ends_with("::");
}

bool SameTokens(const Tokens& name, const Tokens& wanted) {
  return name.size() == wanted.size() &&
         std::equal(name.begin(), name.end(), wanted.begin(),
                    [](const std::string& a, const std::string& b) { return SameName(a, b); });
}

std::string Without(std::string name, const std::set<std::string>& namespaces) {
  for (const std::string& one : namespaces) {
    const std::string part = one + "::";
    for (size_t at = name.find(part); at != std::string::npos; at = name.find(part, at)) {
      if (at == 0 || name[at - 1] == ':') {
        name.erase(at, part.size());
      } else {
        at += part.size();
      }
    }
  }
  return name;
}

// As people type them: with blanks in many places, an address, a statement.
std::string Tidy(std::string_view wanted) {
  while (!wanted.empty() && (wanted.back() == ' ' || wanted.back() == ';')) wanted.remove_suffix(1);
  wanted.remove_prefix(std::min(wanted.find_first_not_of(" &"), wanted.size()));
  std::string text;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const std::string_view next = wanted.substr(std::min(wanted.find_first_not_of(' ', i), i + 64));
    const bool is_blank = wanted[i] == ' ' && !next.empty();
    const bool between = text.ends_with("::") || next.starts_with("::") ||
                         (next.starts_with("(") && !next.starts_with(kAnonymous)) ||
                         (text.ends_with(kOperator) && !IsWord(next[0]));
    if (!is_blank || !between) text += wanted[i];
  }
  return text;
}

}  // namespace

FunctionPattern::FunctionPattern(std::string_view wanted) {
  if (wanted.size() > kLongestName) return;
  std::string text = Tidy(wanted);
  const bool mangled = text.starts_with("_Z");
  if (mangled) text = Demangle(text);
  text = PlainFunctionName(text);
  global_ = mangled || text.starts_with("::");
  std::optional<std::vector<NamePart>> parts =
      Parse(text.starts_with("::") ? std::string_view(text).substr(2) : std::string_view(text));
  if (!parts) return;
  parts_ = std::move(*parts);
  anonymous_ = std::any_of(parts_.begin(), parts_.end(),
                           [](const NamePart& part) { return part.name == kAnonymous; });
  last_ = parts_.back().name;
}

bool FunctionPattern::MatchesParts(const std::vector<NamePart>& all, bool loosely) const {
  std::vector<const NamePart*> parts;
  for (const NamePart& part : all) {
    if (anonymous_ || part.name != kAnonymous) parts.push_back(&part);
  }
  if (parts.size() < parts_.size() || (global_ && parts.size() != parts_.size())) return false;
  const size_t skipped = parts.size() - parts_.size();
  for (size_t i = 0; i < parts_.size(); ++i) {
    const NamePart& part = *parts[skipped + i];
    const NamePart& wanted = parts_[i];
    const bool same_type =
        wanted.parameters.empty() || SameTokens(part.parameters, wanted.parameters);
    if (part.name != wanted.name || !same_type ||
        (!wanted.arguments.empty() && !SameTokens(part.arguments, wanted.arguments))) {
      return false;
    }
    const bool may_differ = wanted.parameters.empty() || (loosely && wanted.qualifiers.empty());
    if (!may_differ && part.qualifiers != wanted.qualifiers) return false;
  }
  return true;
}

bool FunctionPattern::MayMatch(std::string_view full_name) const {
  const std::string_view letters = std::string_view(last_).substr(0, last_.find_first_of(" \""));
  return !letters.empty() && full_name.find(letters) != std::string_view::npos;
}

bool FunctionPattern::MatchesName(std::string_view plain_name,
                                  const std::set<std::string>* inline_namespaces) const {
  std::optional<std::vector<NamePart>> parts = Parse(plain_name);
  if (!parts) return false;
  if (inline_namespaces == nullptr) return MatchesParts(*parts, false);
  std::vector<NamePart> kept;
  for (size_t i = 0; i < parts->size(); ++i) {
    NamePart& part = (*parts)[i];
    if (i + 1 < parts->size() && inline_namespaces->count(part.name) != 0) continue;
    for (Tokens* tokens : {&part.arguments, &part.parameters}) {
      for (std::string& token : *tokens) token = Without(std::move(token), *inline_namespaces);
    }
    kept.push_back(std::move(part));
  }
  return MatchesParts(kept, true);
}

bool FunctionPattern::Matches(std::string_view plain_name) const {
  // "std::string::size" and "basic_string<char>::size" are both written.
  return MayMatch(plain_name) && (MatchesName(plain_name, nullptr) ||
                                  MatchesName(dwarf::SimplifyTypeName(plain_name), nullptr));
}

bool FunctionPattern::MatchesLoosely(std::string_view plain_name,
                                     const std::set<std::string>& inline_namespaces) const {
  return MayMatch(plain_name) &&
         (MatchesName(plain_name, &inline_namespaces) ||
          MatchesName(dwarf::SimplifyTypeName(plain_name), &inline_namespaces));
}

}  // namespace stillframe
