#include "symbolizer/formatters.h"

#include <cctype>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "symbolizer/natvis_reader.h"

namespace stillframe {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = 1u << 20;
constexpr size_t kMaxFormatters = 1'000;
constexpr size_t kMaxChildren = 64;
constexpr size_t kMaxPathParts = 16;

Status Bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

bool IsName(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '$') return false;
  }
  return true;
}

std::string WithoutSpaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ') out += c;
  }
  return out;
}

Status ReadPath(const Json& object, const char* key, bool required, MemberPath& out) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return required ? Bad(std::string("'") + key + "' is missing") : Status();
  }
  if (!found->is_string()) return Bad(std::string("'") + key + "' is not a string");
  auto path = ParseMemberPath(found->get<std::string>());
  if (!path.ok()) return path.status().WithContext(key);
  out = std::move(*path);
  return Status();
}

Status CheckKeys(const Json& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return Bad("not an object");
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return Bad("unknown field '" + key + "'");
    }
  }
  return Status();
}

Status ReadItems(const Json& json, FormatterItems& items) {
  using Kind = FormatterItems::Kind;
  SF_RETURN_IF_ERROR(CheckKeys(json, {"kind", "data", "size", "begin", "end", "head", "next",
                                      "value", "first", "header", "left", "right", "parent"}));
  const std::string kind = json.value("kind", Json()).is_string() ? json["kind"] : Json("");
  if (kind == "array") {
    items.kind = Kind::kArray;
    SF_RETURN_IF_ERROR(ReadPath(json, "data", true, items.first));
    return ReadPath(json, "size", true, items.size);
  }
  if (kind == "range") {
    items.kind = Kind::kRange;
    SF_RETURN_IF_ERROR(ReadPath(json, "begin", true, items.first));
    return ReadPath(json, "end", true, items.last);
  }
  SF_RETURN_IF_ERROR(ReadPath(json, "value", false, items.value));
  if (kind == "list") {
    items.kind = Kind::kList;
    SF_RETURN_IF_ERROR(ReadPath(json, "head", true, items.first));
    SF_RETURN_IF_ERROR(ReadPath(json, "size", false, items.size));
    return ReadPath(json, "next", true, items.left);
  }
  if (kind != "tree") return Bad("'kind' is not array, range, list or tree");
  items.kind = Kind::kTree;
  SF_RETURN_IF_ERROR(ReadPath(json, "first", true, items.first));
  SF_RETURN_IF_ERROR(ReadPath(json, "header", true, items.last));
  SF_RETURN_IF_ERROR(ReadPath(json, "size", true, items.size));
  SF_RETURN_IF_ERROR(ReadPath(json, "left", true, items.left));
  SF_RETURN_IF_ERROR(ReadPath(json, "right", true, items.right));
  return ReadPath(json, "parent", true, items.parent);
}

Status ReadFormatter(const Json& json, Formatter& out) {
  SF_RETURN_IF_ERROR(CheckKeys(json, {"type", "summary", "children", "items"}));
  if (!json.contains("type") || !json["type"].is_string()) return Bad("'type' is missing");
  out.type = json["type"];
  if (json.contains("summary")) {
    if (!json["summary"].is_string()) return Bad("'summary' is not a string");
    SF_RETURN_IF_ERROR(ParseSummary(json["summary"].get<std::string>(), out));
  }
  if (json.contains("children")) {
    if (!json["children"].is_array() || json["children"].size() > kMaxChildren) {
      return Bad("'children' is not a list of at most " + std::to_string(kMaxChildren));
    }
    for (const Json& child : json["children"]) {
      SF_RETURN_IF_ERROR(CheckKeys(child, {"name", "path"}));
      Formatter::Child entry;
      SF_RETURN_IF_ERROR(ReadPath(child, "path", true, entry.path));
      entry.name = child.contains("name") && child["name"].is_string()
                       ? child["name"].get<std::string>()
                       : entry.path.back();
      out.children.push_back(std::move(entry));
    }
  }
  if (!json.contains("items")) return Status();
  return ReadItems(json["items"], out.items).WithContext("items");
}

}  // namespace

Result<MemberPath> ParseMemberPath(std::string_view text) {
  MemberPath path;
  while (true) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (!IsName(part)) return Bad("'" + std::string(text) + "' is not a path of member names");
    path.emplace_back(part);
    if (path.size() > kMaxPathParts) return Bad("a path of too many parts");
    if (dot == std::string_view::npos) return path;
    text.remove_prefix(dot + 1);
  }
}

Status ParseSummary(std::string_view text, Formatter& formatter) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if ((text[i] == '{' || text[i] == '}') && doubled) {
      out += text[i++];
      continue;
    }
    if (text[i] != '{') {
      if (text[i] != '\1') out += text[i];
      continue;
    }
    const size_t close = text.find('}', i);
    if (close == std::string_view::npos) return Bad("summary: '{' without '}'");
    auto path = ParseMemberPath(text.substr(i + 1, close - i - 1));
    if (!path.ok()) return path.status().WithContext("summary");
    if (formatter.summary_paths.size() >= kMaxChildren) return Bad("summary: too many members");
    // As in a plan (plan/type_table.h, kCustom).
    out += '\1';
    out += static_cast<char>(formatter.summary_paths.size() + 1);
    formatter.summary_paths.push_back(std::move(*path));
    i = close;
  }
  formatter.summary = std::move(out);
  return Status();
}

bool MatchesPattern(std::string_view pattern_text, std::string_view subject) {
  const std::string pattern = WithoutSpaces(pattern_text);
  const std::string text = WithoutSpaces(subject);
  size_t p = 0, t = 0;
  size_t star = std::string::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

const Formatter* Formatters::Find(std::string_view type_name) const {
  for (const Formatter& formatter : all_) {
    if (MatchesPattern(formatter.type, type_name)) return &formatter;
  }
  return nullptr;
}

Status Formatters::AddJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return Status(Code::kCorrupt, "not JSON");
  SF_RETURN_IF_ERROR(CheckKeys(json, {"formatters"}));
  if (!json.contains("formatters") || !json["formatters"].is_array()) {
    return Bad("'formatters' is not a list");
  }
  std::vector<Formatter> read;
  for (const Json& entry : json["formatters"]) {
    Formatter formatter;
    const std::string which = "formatter " + std::to_string(read.size());
    SF_RETURN_IF_ERROR(ReadFormatter(entry, formatter).WithContext(which));
    read.push_back(std::move(formatter));
    if (all_.size() + read.size() > kMaxFormatters) {
      return Status(Code::kOverLimit, "too many formatters");
    }
  }
  all_.insert(all_.end(), read.begin(), read.end());
  return Status();
}

Status Formatters::AddNatvis(std::string_view text) {
  SF_ASSIGN_OR_RETURN(std::vector<Formatter> read, ReadNatvis(text));
  if (all_.size() + read.size() > kMaxFormatters) {
    return Status(Code::kOverLimit, "too many formatters");
  }
  all_.insert(all_.end(), read.begin(), read.end());
  return Status();
}

Status Formatters::AddFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(Code::kIoError, path + ": cannot be read");
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) return Status(Code::kOverLimit, path + ": too large");
  const bool natvis = path.ends_with(".natvis") || path.ends_with(".xml");
  return (natvis ? AddNatvis(text) : AddJson(text)).WithContext(path);
}

}  // namespace stillframe
