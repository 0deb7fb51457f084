#include "symbolizer/natvis_reader.h"

#include <algorithm>
#include <pugixml.hpp>
#include <string>

#include "plan/type_table.h"

namespace stillframe {
namespace {

constexpr size_t kMaxTypes = 1'000;
constexpr size_t kMaxItems = 64;

Status Bad(std::string message) { return Status(Code::kInvalidArgument, std::move(message)); }

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// A member path; "this->" in front and a format such as ",d" behind change nothing.
Result<MemberPath> ReadExpression(std::string_view text) {
  text = Trim(text);
  if (text.starts_with("this->")) text.remove_prefix(6);
  const size_t comma = text.rfind(',');
  if (comma != std::string_view::npos && text.find_first_of("()[]<>") == std::string_view::npos) {
    text = Trim(text.substr(0, comma));
  }
  return ParseMemberPath(text);
}

Status CheckAttributes(const pugi::xml_node& node, bool may_have_condition = false) {
  for (const pugi::xml_attribute attribute : node.attributes()) {
    const std::string_view name = attribute.name();
    if (may_have_condition && name == "Condition") continue;
    if (name == "Name" || name == "Priority" || name == "Inheritable" || name == "Optional" ||
        name == "ExcludeView") {
      continue;
    }
    return Bad(std::string(node.name()) + ": '" + attribute.name() + "' is not supported");
  }
  return Status();
}

Status ReadDisplayString(std::string_view text, Formatter& formatter) {
  // Formats inside the braces ("{count_,d}") do not change what is shown here.
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if (text[i] != '{' || doubled) {
      plain += text[i];
      if (doubled && (text[i] == '{' || text[i] == '}')) plain += text[++i];
      continue;
    }
    const size_t close = text.find('}', i);
    if (close == std::string_view::npos) return Bad("DisplayString: '{' without '}'");
    auto path = ReadExpression(text.substr(i + 1, close - i - 1));
    if (!path.ok()) return path.status().WithContext("DisplayString");
    plain += '{';
    for (size_t part = 0; part < path->size(); ++part) {
      plain += (part == 0 ? "" : ".") + (*path)[part];
    }
    plain += '}';
    i = close;
  }
  return ParseSummary(plain, formatter);
}

// The text of the child element of that name, as a path. Absent: `required` decides.
Status ReadPart(const pugi::xml_node& node, const char* name, bool required, MemberPath& out) {
  const pugi::xml_node child = node.child(name);
  if (!child) {
    return required ? Bad(std::string(node.name()) + ": no " + name) : Status();
  }
  SF_RETURN_IF_ERROR(CheckAttributes(child));
  auto path = ReadExpression(child.child_value());
  if (!path.ok()) return path.status().WithContext(name);
  out = std::move(*path);
  return Status();
}

Status ReadItem(const pugi::xml_node& node, Formatter& formatter) {
  SF_RETURN_IF_ERROR(CheckAttributes(node));
  if (formatter.children.size() >= kMaxItems) return Bad("too many items");
  auto path = ReadExpression(node.child_value());
  if (!path.ok()) return path.status().WithContext("Item");
  const std::string name = node.attribute("Name").as_string();
  formatter.children.push_back({name.empty() ? path->back() : name, *path});
  return Status();
}

// "path", "!path", "path == 5", "(path & 7) != 5".
Result<FormatterCondition> ReadCondition(std::string_view text) {
  const std::string whole(text);
  const bool negated = text.starts_with('!');
  if (negated) text.remove_prefix(1);
  const size_t compared = std::min(text.find("=="), text.find("!="));
  std::string_view number = Trim(text.substr(0, compared));
  const std::string_view rest = compared == std::string_view::npos ? "" : text.substr(compared);
  const bool enclosed = number.starts_with('(') && number.ends_with(')');
  if (enclosed) number = Trim(number.substr(1, number.size() - 2));
  if (number.starts_with("this->")) number.remove_prefix(6);
  // C++ would compare first and mask then.
  const bool ambiguous = !rest.empty() && !enclosed && number.find('&') != std::string_view::npos;
  if (ambiguous || (negated && !rest.empty()) || number.find('(') != std::string_view::npos) {
    return Bad("Condition: '" + whole + "' is not supported");
  }
  auto condition = ParseCondition(std::string(number) + (negated ? "== 0" : std::string(rest)));
  if (!condition.ok()) return condition.status().WithContext("Condition");
  return condition;
}

// Of a ValueNode: nothing for the node itself.
Status ReadValueNode(const pugi::xml_node& node, MemberPath& out) {
  const std::string_view value = Trim(node.child("ValueNode").child_value());
  if (value == "this" || value == "*this") return Status();
  return ReadPart(node, "ValueNode", true, out);
}

// "path[$i]".
Status ReadIndexed(const pugi::xml_node& node, MemberPath& out) {
  constexpr std::string_view kIndex = "[$i]";
  const pugi::xml_node child = node.child("ValueNode");
  SF_RETURN_IF_ERROR(CheckAttributes(child));
  const std::string_view value = Trim(child.child_value());
  if (!value.ends_with(kIndex)) {
    return Bad("IndexListItems: a ValueNode other than path[$i] is not supported");
  }
  auto path = ReadExpression(value.substr(0, value.size() - kIndex.size()));
  if (!path.ok()) return path.status().WithContext("ValueNode");
  out = std::move(*path);
  return Status();
}

// What lists elements.
Status ReadListed(const pugi::xml_node& node, FormatterItems& items) {
  using Kind = FormatterItems::Kind;
  const std::string_view name = node.name();
  const bool known = name == "ArrayItems" || name == "IndexListItems" ||
                     name == "LinkedListItems" || name == "TreeItems";
  if (!known) return Bad("'" + std::string(name) + "' is not supported");
  SF_RETURN_IF_ERROR(CheckAttributes(node, true));
  if (const pugi::xml_attribute condition = node.attribute("Condition")) {
    SF_ASSIGN_OR_RETURN(items.when, ReadCondition(Trim(condition.as_string())));
  }
  const bool in_row = name == "ArrayItems" || name == "IndexListItems";
  SF_RETURN_IF_ERROR(ReadPart(node, "Size", in_row, items.size.path));
  if (in_row) {
    items.kind = Kind::kArray;
    return name == "ArrayItems" ? ReadPart(node, "ValuePointer", true, items.first)
                                : ReadIndexed(node, items.first);
  }
  SF_RETURN_IF_ERROR(ReadPart(node, "HeadPointer", true, items.first));
  SF_RETURN_IF_ERROR(ReadValueNode(node, items.value));
  if (name == "LinkedListItems") {
    items.kind = Kind::kList;
    return ReadPart(node, "NextPointer", true, items.left);
  }
  items.kind = Kind::kRootedTree;
  SF_RETURN_IF_ERROR(ReadPart(node, "LeftPointer", true, items.left));
  return ReadPart(node, "RightPointer", true, items.right);
}

Status ReadExpand(const pugi::xml_node& expand, Formatter& formatter) {
  for (const pugi::xml_node node : expand.children()) {
    const std::string_view name = node.name();
    if (node.type() != pugi::node_element) continue;
    if (name == "Item") {
      SF_RETURN_IF_ERROR(ReadItem(node, formatter));
      continue;
    }
    if (!formatter.items.empty() && !formatter.items.back().when) {
      return Bad("two kinds of items, the first without a condition");
    }
    if (formatter.items.size() == kMaxChoices) return Bad("too many kinds of items");
    FormatterItems items;
    SF_RETURN_IF_ERROR(ReadListed(node, items));
    formatter.items.push_back(std::move(items));
  }
  return Status();
}

Status ReadType(const pugi::xml_node& node, Formatter& formatter) {
  formatter.type = node.attribute("Name").as_string();
  if (formatter.type.empty()) return Bad("a Type without a name");
  SF_RETURN_IF_ERROR(CheckAttributes(node));
  bool has_text = false;
  for (const pugi::xml_node child : node.children()) {
    const std::string_view name = child.name();
    if (child.type() != pugi::node_element) continue;
    SF_RETURN_IF_ERROR(CheckAttributes(child));
    if (name == "DisplayString" && !has_text) {
      has_text = true;
      SF_RETURN_IF_ERROR(ReadDisplayString(Trim(child.child_value()), formatter));
    } else if (name == "Expand") {
      SF_RETURN_IF_ERROR(ReadExpand(child, formatter));
    } else if (name != "AlternativeType") {
      return Bad("'" + std::string(name) + "' is not supported here");
    }
  }
  return Status();
}

}  // namespace

Result<std::vector<Formatter>> ReadNatvis(std::string_view text) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(text.data(), text.size());
  if (!parsed) {
    return Status(Code::kCorrupt, "not XML: " + std::string(parsed.description()) + " at byte " +
                                      std::to_string(parsed.offset));
  }
  const pugi::xml_node root = document.child("AutoVisualizer");
  if (!root) return Bad("no AutoVisualizer element");
  std::vector<Formatter> out;
  for (const pugi::xml_node node : root.children("Type")) {
    if (out.size() >= kMaxTypes) return Status(Code::kOverLimit, "too many types");
    Formatter formatter;
    SF_RETURN_IF_ERROR(
        ReadType(node, formatter)
            .WithContext("Type '" + std::string(node.attribute("Name").as_string()) + "'"));
    // Other names of the same type.
    for (const pugi::xml_node other : node.children("AlternativeType")) {
      Formatter copy = formatter;
      copy.type = other.attribute("Name").as_string();
      out.push_back(std::move(copy));
    }
    out.push_back(std::move(formatter));
  }
  return out;
}

}  // namespace stillframe
