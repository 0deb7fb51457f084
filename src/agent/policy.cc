#include "agent/policy.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/name_list.h"
#include "base/process_maps.h"
#include "model/json_reader.h"
#include "model/redaction.h"

namespace stillframe::agent {
namespace {

constexpr uint64_t kMaxFileBytes = 1u << 20;
constexpr size_t kMaxPatterns = 1'000;
constexpr size_t kMaxPatternBytes = 4'096;
constexpr size_t kMaxValuePatterns = 100;

// Linear in the text for each '*': only the last one is ever gone back to.
bool MatchesGlob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// Also of the parts from each `separator` on: "crypto/*" means "/src/crypto/aes.cc".
bool MatchesPart(std::string_view pattern, std::string_view text, std::string_view separator) {
  while (true) {
    if (MatchesGlob(pattern, text)) return true;
    const size_t at = text.find(separator);
    if (at == std::string_view::npos) return false;
    text.remove_prefix(at + separator.size());
  }
}

// The first pattern that matches one of the texts; nullptr: none.
const std::string* FindMatch(const std::vector<std::string>& patterns,
                             std::initializer_list<std::string_view> texts,
                             std::string_view separator) {
  for (const std::string& pattern : patterns) {
    for (const std::string_view text : texts) {
      if (MatchesPart(pattern, text, separator)) return &pattern;
    }
  }
  return nullptr;
}

// Up to `mark`, outside of nothing: "shop::Map<int>" -> "shop::Map".
std::string_view Before(std::string_view text, char mark) {
  return text.substr(0, text.find(mark));
}

Status CheckRules(const PolicyRules& rules, std::initializer_list<std::string_view> texts,
                  std::string_view separator, const char* what) {
  if (const std::string* pattern = FindMatch(rules.deny, texts, separator)) {
    return {Code::kDeniedByPolicy,
            "the operator's policy denies " + std::string(what) + " '" + *pattern + "'"};
  }
  if (rules.allow.empty() || FindMatch(rules.allow, texts, separator) != nullptr) return Status();
  return {Code::kDeniedByPolicy, "the operator's policy does not allow the " + std::string(what) +
                                     " '" + std::string(*texts.begin()) + "'"};
}

// "const shop::Order &" -> "shop::Order": the qualifiers and what a declarator adds.
std::string_view BareType(std::string_view type) {
  for (const std::string_view prefix : {"const ", "volatile "}) {
    if (type.starts_with(prefix)) type.remove_prefix(prefix.size());
  }
  while (!type.empty() && std::string_view(" *&").find(type.back()) != std::string_view::npos) {
    type.remove_suffix(1);
  }
  return type.ends_with(" const") ? type.substr(0, type.size() - 6) : type;
}

bool IsBuiltIn(std::string_view type) {
  constexpr std::string_view kWords[] = {"bool",    "char",     "int",      "long",     "short",
                                         "signed",  "unsigned", "void",     "float",    "double",
                                         "wchar_t", "char8_t",  "char16_t", "char32_t", "__int128"};
  while (!type.empty()) {
    const std::string_view word = Before(type, ' ');
    if (std::find(std::begin(kWords), std::end(kWords), word) == std::end(kWords)) return false;
    type.remove_prefix(std::min(word.size() + 1, type.size()));
  }
  return true;
}

void ReadRules(model::ObjectReader& parent, const char* name, PolicyRules& out,
               std::optional<model::FieldError>& error) {
  const auto* json = parent.Child(name);
  if (json == nullptr) return;
  model::ObjectReader reader(*json, parent.PathOf(name), error);
  reader.Strings("allow", out.allow, kMaxPatterns, kMaxPatternBytes);
  reader.Strings("deny", out.deny, kMaxPatterns, kMaxPatternBytes);
  reader.Finish();
}

void ReadKinds(model::ObjectReader& reader, Policy& out) {
  std::vector<std::string> names;
  if (!reader.Strings("kinds", names, 100, 64)) return;
  out.kinds.emplace();
  for (const std::string& name : names) {
    const auto kind = model::KindFromName(name);
    if (!kind) return reader.Fail("INVALID_ARGUMENT", "kinds", "has no '" + name + "'");
    out.kinds->push_back(*kind);
  }
}

// Anywhere in a text: kept as patterns of the whole.
void ReadValues(model::ObjectReader& reader, Policy& out) {
  if (!reader.Strings("values", out.values, kMaxValuePatterns, kMaxPatternBytes)) return;
  for (std::string& pattern : out.values) {
    if (pattern.find_first_not_of('*') == std::string::npos) {
      return reader.Fail("INVALID_ARGUMENT", "values", "has a pattern that matches everything");
    }
    pattern = "*" + pattern + "*";
  }
}

void ReadShown(model::ObjectReader& parent, Policy& out, std::optional<model::FieldError>& error) {
  const auto* json = parent.Child("shown");
  if (json == nullptr) return;
  model::ObjectReader reader(*json, parent.PathOf("shown"), error);
  reader.Strings("names", out.shown_names, kMaxPatterns, kMaxPatternBytes);
  reader.Strings("types", out.shown_types, kMaxPatterns, kMaxPatternBytes);
  reader.Finish();
}

// Names are lines of one list.
void CheckNames(model::ObjectReader& reader, const Policy& policy) {
  for (const auto* names : {&policy.names, &policy.shown_names}) {
    for (const std::string& name : *names) {
      const bool says = std::any_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '*' || c == '?';
      });
      if (!says || name.find('\n') != std::string::npos) {
        return reader.Fail("INVALID_ARGUMENT", "names", "has '" + name + "', which is no name");
      }
    }
  }
}

}  // namespace

bool Policy::AllowsKind(model::Kind kind) const {
  return !kinds || std::find(kinds->begin(), kinds->end(), kind) != kinds->end();
}

Status Policy::CheckPlace(std::string_view file, std::string_view function) const {
  SF_RETURN_IF_ERROR(CheckRules(files, {file}, "/", "file"));
  return CheckRules(functions, {function, Before(function, '(')}, "::", "function");
}

void Policy::MakeNameList() {
  name_list_ = model::SecretNames();
  const auto lower = [](std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
  };
  for (const std::string& name : names) {
    const bool pattern = name.find_first_of("*?") != std::string::npos;
    std::string line = lower(name);
    // Words are compared by their letters alone.
    if (!pattern)
      std::erase_if(line, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
    name_list_ += (pattern ? "*" : "=") + line + "\n";
  }
  for (const std::string& name : shown_names) name_list_ += "!" + lower(name) + "\n";
}

bool Policy::RedactsName(std::string_view name) const {
  return IsOnNameList(name_list_.data(), name_list_.size(), name.data(), name.size());
}

bool Policy::RedactsType(std::string_view type) const {
  const std::string_view bare = BareType(type);
  const auto spellings = {bare, Before(bare, '<')};
  if (model::RedactsType(type) && FindMatch(shown_types, spellings, "::") == nullptr) return true;
  if (types.allow.empty() && types.deny.empty()) return false;
  if (types.deny.empty() && IsBuiltIn(bare)) return false;
  if (FindMatch(types.deny, spellings, "::") != nullptr) return true;
  return !types.allow.empty() && !IsBuiltIn(bare) &&
         FindMatch(types.allow, spellings, "::") == nullptr;
}

bool Policy::RedactsValue(std::string_view text) const {
  for (const std::string& pattern : values) {
    if (MatchesGlob(pattern, text)) return true;
  }
  return false;
}

Result<Policy> ParsePolicy(std::string_view text) {
  nlohmann::ordered_json json;
  std::optional<model::FieldError> error = model::ParseJson(text, json);
  Policy policy;
  if (!error) {
    model::ObjectReader reader(json, "", error);
    reader.Bool("stopped", policy.stopped);
    reader.Bool("rawMemory", policy.raw_memory);
    ReadKinds(reader, policy);
    ReadRules(reader, "files", policy.files, error);
    ReadRules(reader, "functions", policy.functions, error);
    ReadRules(reader, "types", policy.types, error);
    reader.Strings("names", policy.names, kMaxPatterns, kMaxPatternBytes);
    ReadValues(reader, policy);
    ReadShown(reader, policy, error);
    CheckNames(reader, policy);
    reader.Finish();
  }
  if (error) return Status(Code::kInvalidArgument, error->message);
  policy.MakeNameList();
  return policy;
}

Result<Policy> ReadPolicy(const std::string& path) {
  auto text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status().WithContext("STILLFRAME_POLICY");
  auto policy = ParsePolicy(*text);
  if (!policy.ok()) return policy.status().WithContext("STILLFRAME_POLICY " + path);
  return policy;
}

bool PolicyFile::Refresh() {
  if (path_.empty()) return false;
  struct stat now {};
  if (stat(path_.c_str(), &now) != 0) now = {};
  const bool same = read_ && now.st_mtim.tv_sec == seen_.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == seen_.st_mtim.tv_nsec && now.st_size == seen_.st_size &&
                    now.st_ino == seen_.st_ino;
  if (same) return false;
  seen_ = now;
  read_ = true;
  auto policy = ReadPolicy(path_);
  error_ = policy.ok() ? "" : policy.status().message();
  if (policy.ok()) {
    policy_ = std::move(*policy);
  } else {
    LogError(error_);
  }
  return true;
}

std::optional<std::string> PolicyFile::stop() const {
  if (!error_.empty()) return "because the policy cannot be read: " + error_;
  if (policy_.stopped) return "by the operator's policy " + path_;
  return std::nullopt;
}

}  // namespace stillframe::agent
