#include "symbolizer/formatters.h"

#include <cctype>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "symbolizer/formatter_items.h"
#include "symbolizer/natvis_reader.h"

namespace stillframe {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = 1u << 20;
constexpr size_t kMaxFormatters = 1'000;
constexpr size_t kMaxChildren = 64;

Status Bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

std::string WithoutSpaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ') out += c;
  }
  return out;
}

// Of texts without spaces.
bool Matches(std::string_view pattern, std::string_view text) {
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

Status ReadFormatter(const Json& json, Formatter& out) {
  SF_RETURN_IF_ERROR(CheckKeys(json, {"type", "raw", "summary", "children", "items"}));
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
  if (json.contains("raw")) {
    if (!json["raw"].is_boolean()) return Bad("'raw' is not true or false");
    out.raw = json["raw"];
    if (out.raw && json.size() != 2) return Bad("'raw' stands alone");
  }
  if (!json.contains("items")) return Status();
  return ReadAllItems(json["items"], out.items).WithContext("items");
}

}  // namespace

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
    auto path = ParseTypedPath(text.substr(i + 1, close - i - 1));
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

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  return Matches(WithoutSpaces(pattern), WithoutSpaces(text));
}

void Formatters::Add(std::vector<Formatter> read) {
  for (Formatter& formatter : read) {
    formatter.type = WithoutSpaces(formatter.type);
    all_.push_back(std::move(formatter));
  }
}

// Asked about every type: what does not depend on the formatter is done once.
const Formatter* Formatters::Find(std::string_view type_name) const {
  const std::string text = WithoutSpaces(type_name);
  for (const Formatter& formatter : all_) {
    if (Matches(formatter.type, text)) return &formatter;
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
  Add(std::move(read));
  return Status();
}

Status Formatters::AddNatvis(std::string_view text) {
  SF_ASSIGN_OR_RETURN(std::vector<Formatter> read, ReadNatvis(text));
  if (all_.size() + read.size() > kMaxFormatters) {
    return Status(Code::kOverLimit, "too many formatters");
  }
  Add(std::move(read));
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
