#include "symbolizer/formatter_items.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "plan/type_table.h"
#include "symbolizer/formatter_text.h"

namespace stillframe {
namespace {

using Json = nlohmann::json;
using Items = FormatterItems;
using Kind = FormatterItems::Kind;

Status Bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

enum class Need { kRefused, kOptional, kRequired };

struct KindRule {
  std::string_view name;
  Kind kind;
  struct Path {
    std::string_view key;
    MemberPath Items::*path;
    bool required = true;
  };
  std::vector<Path> paths;
  Need size = Need::kRefused;
  std::vector<std::string_view> more;  // fields that only some kinds have
};

const std::vector<KindRule>& Rules() {
  static const std::vector<KindRule> kRules = {
      {"array", Kind::kArray, {{"data", &Items::first, false}}, Need::kOptional, {"inline", "map"}},
      {"range", Kind::kRange, {{"begin", &Items::first}, {"end", &Items::last}}, {}, {}},
      {"text", Kind::kText, {{"data", &Items::first, false}}, Need::kRequired, {"inline"}},
      {"list",
       Kind::kList,
       {{"head", &Items::first}, {"next", &Items::left}, {"value", &Items::value, false}},
       Need::kOptional,
       {"node", "map"}},
      {"tree",
       Kind::kTree,
       {{"first", &Items::first},
        {"header", &Items::last},
        {"left", &Items::left},
        {"right", &Items::right},
        {"parent", &Items::parent},
        {"value", &Items::value, false}},
       Need::kRequired,
       {"node", "map", "parentTagBits"}},
      {"rootedTree",
       Kind::kRootedTree,
       {{"root", &Items::first},
        {"left", &Items::left},
        {"right", &Items::right},
        {"value", &Items::value, false}},
       Need::kOptional,
       {"node", "map"}},
      {"slots",
       Kind::kSlots,
       {{"control", &Items::first},
        {"slots", &Items::third},
        {"capacity", &Items::last},
        {"value", &Items::value, false}},
       Need::kRequired,
       {"node", "map", "occupied", "behindPointers", "groups"}},
      {"buckets",
       Kind::kBuckets,
       {{"buckets", &Items::first},
        {"bucketCount", &Items::last},
        {"bucketHead", &Items::third},
        {"next", &Items::left},
        {"value", &Items::value, false}},
       Need::kRequired,
       {"node", "map"}},
      {"ring",
       Kind::kRing,
       {{"begin", &Items::first}, {"end", &Items::last}, {"first", &Items::third}},
       Need::kRequired,
       {}},
      {"deque", Kind::kDeque, {{"start", &Items::first}, {"finish", &Items::last}}, {}, {}},
      {"optional",
       Kind::kOptional,
       {{"flag", &Items::first}, {"value", &Items::last}},
       {},
       {"none"}},
      {"variant",
       Kind::kVariant,
       {{"index", &Items::first}, {"storage", &Items::last}},
       {},
       {"valueless"}},
      {"pointer", Kind::kPointer, {{"pointer", &Items::first}}, {}, {}},
      {"sharedPointer",
       Kind::kSharedPointer,
       {{"pointer", &Items::first},
        {"control", &Items::last},
        {"uses", &Items::left},
        {"weakUses", &Items::right}},
       {},
       {}},
      {"weakPointer",
       Kind::kWeakPointer,
       {{"pointer", &Items::first},
        {"control", &Items::last},
        {"uses", &Items::left},
        {"weakUses", &Items::right}},
       {},
       {}},
  };
  return kRules;
}

// "array, range, ... or weakPointer".
std::string KindNames() {
  std::string out;
  const auto& rules = Rules();
  for (size_t i = 0; i < rules.size(); ++i) {
    out += i == 0 ? "" : i + 1 == rules.size() ? " or " : ", ";
    out += rules[i].name;
  }
  return out;
}

Status ReadFlag(const Json& json, const char* key, bool& out) {
  if (!json.contains(key)) return Status();
  if (!json[key].is_boolean()) return Bad("'" + std::string(key) + "' is not true or false");
  out = json[key];
  return Status();
}

Status ReadText(const Json& json, const char* key, std::string& out) {
  if (!json.contains(key)) return Status();
  if (!json[key].is_string()) return Bad("'" + std::string(key) + "' is not a string");
  out = json[key];
  return Status();
}

bool IsByte(const Json& json) {
  return json.is_number_unsigned() && json.get<uint64_t>() <= UINT8_MAX;
}

Status ReadOccupied(const Json& json, Items& items) {
  if (!json.contains("occupied")) return Status();
  const Json& range = json["occupied"];
  if (!range.is_array() || range.size() != 2 || !IsByte(range[0]) || !IsByte(range[1])) {
    return Bad("'occupied' is not two numbers from 0 to 255");
  }
  items.first_mark = range[0];
  items.last_mark = range[1];
  return items.first_mark <= items.last_mark ? Status() : Bad("'occupied' is an empty range");
}

Status ReadSize(const Json& json, Need need, Items& items) {
  const auto found = json.find("size");
  if (found == json.end()) {
    return need == Need::kRequired ? Bad("'size' is missing") : Status();
  }
  if (!found->is_string()) return Bad("'size' is not a string");
  auto size = ParseNumber(found->get<std::string>());
  if (!size.ok()) return size.status().WithContext("size");
  items.size = std::move(*size);
  const bool whole = items.size.shift == 0 && items.size.bits == 0;
  const bool walks_links =
      items.kind == Kind::kList || items.kind == Kind::kTree || items.kind == Kind::kRootedTree;
  return whole || !walks_links ? Status() : Bad("'size' of lists and trees is a member alone");
}

Status ReadMore(const Json& json, Items& items) {
  SF_RETURN_IF_ERROR(ReadFlag(json, "map", items.is_map));
  SF_RETURN_IF_ERROR(ReadFlag(json, "behindPointers", items.behind_pointers));
  SF_RETURN_IF_ERROR(ReadFlag(json, "groups", items.in_groups));
  SF_RETURN_IF_ERROR(ReadFlag(json, "valueless", items.may_be_valueless));
  SF_RETURN_IF_ERROR(ReadText(json, "none", items.none_text));
  SF_RETURN_IF_ERROR(ReadText(json, "node", items.node));
  SF_RETURN_IF_ERROR(ReadOccupied(json, items));
  if (!items.node.empty() && !IsTypeText(items.node)) {
    return Bad("'" + items.node + "' names no type");
  }
  if (items.behind_pointers && items.in_groups) {
    return Bad("'behindPointers' and 'groups' do not go together");
  }
  if (json.contains("parentTagBits")) {
    const Json& bits = json["parentTagBits"];
    if (!IsByte(bits) || bits.get<uint64_t>() > 7) return Bad("'parentTagBits' is not 0 to 7");
    items.tag_bits = bits;
  }
  const bool in_row = items.kind == Kind::kArray || items.kind == Kind::kText;
  if (!in_row) return Status();
  items.in_place = json.contains("inline");
  if (items.in_place == json.contains("data")) return Bad("either 'data' or 'inline'");
  if (items.in_place && items.is_map) return Bad("'map' is not for 'inline'");
  if (!items.in_place && items.size.path.empty()) return Bad("'size' is missing");
  return items.in_place ? ReadPath(json, "inline", true, items.first) : Status();
}

Status ReadItems(const Json& json, Items& items) {
  if (!json.is_object()) return Bad("not an object");
  const std::string kind = json.value("kind", Json()).is_string() ? json["kind"] : Json("");
  const auto& rules = Rules();
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [&](const KindRule& one) { return one.name == kind; });
  if (rule == rules.end()) return Bad("'kind' is not " + KindNames());
  items.kind = rule->kind;
  for (const auto& field : json.items()) {
    const std::string& key = field.key();
    const bool known = key == "kind" || key == "when" ||
                       (key == "size" && rule->size != Need::kRefused) ||
                       std::find(rule->more.begin(), rule->more.end(), key) != rule->more.end() ||
                       std::any_of(rule->paths.begin(), rule->paths.end(),
                                   [&](const KindRule::Path& path) { return path.key == key; });
    if (!known) return Bad("unknown field '" + key + "'");
  }
  for (const KindRule::Path& path : rule->paths) {
    SF_RETURN_IF_ERROR(ReadPath(json, path.key, path.required, items.*path.path));
  }
  SF_RETURN_IF_ERROR(ReadSize(json, rule->size, items));
  if (json.contains("when")) {
    if (!json["when"].is_string()) return Bad("'when' is not a string");
    auto condition = ParseCondition(json["when"].get<std::string>());
    if (!condition.ok()) return condition.status().WithContext("when");
    items.when = std::move(*condition);
  }
  return ReadMore(json, items);
}

}  // namespace

Status CheckKeys(const Json& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return Bad("not an object");
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return Bad("unknown field '" + key + "'");
    }
  }
  return Status();
}

Status ReadPath(const Json& object, std::string_view key, bool required, MemberPath& out) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return required ? Bad("'" + std::string(key) + "' is missing") : Status();
  }
  if (!found->is_string()) return Bad("'" + std::string(key) + "' is not a string");
  auto path = ParseTypedPath(found->get<std::string>());
  if (!path.ok()) return path.status().WithContext(key);
  out = std::move(*path);
  return Status();
}

Status ReadAllItems(const Json& json, std::vector<FormatterItems>& out) {
  if (!json.is_array()) return ReadItems(json, out.emplace_back());
  if (json.empty() || json.size() > kMaxChoices) {
    return Bad("not 1 to " + std::to_string(kMaxChoices) + " descriptions");
  }
  for (size_t i = 0; i < json.size(); ++i) {
    if (i != 0 && !out.back().when) {
      return Bad("description " + std::to_string(i) +
                 " is never reached: the one before has no "
                 "'when'");
    }
    SF_RETURN_IF_ERROR(
        ReadItems(json[i], out.emplace_back()).WithContext("description " + std::to_string(i)));
  }
  return Status();
}

}  // namespace stillframe
