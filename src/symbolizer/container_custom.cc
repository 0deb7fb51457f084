// Users' formatters as views: every path is looked up in the type table, and a type that does not
// have the members is shown as if there were no formatter.
#include <string>
#include <vector>

#include "symbolizer/container_fields.h"
#include "symbolizer/container_rules.h"
#include "symbolizer/formatters.h"
#include "symbolizer/type_builder.h"
#include "symbolizer/type_builder_simplify.h"

namespace stillframe::dwarf {
namespace {

using Kind = FormatterItems::Kind;

constexpr uint32_t kMostLinkOffset = 24;

uint32_t SizeOf(const TypeBuilder& types, TypeId type) {
  return types.Node(types.Strip(type)).size_bytes;
}

// Element counts are unsigned or signed words of any size; 0 stands for 8 bytes.
bool SetCount(const TypeBuilder& types, const std::optional<Field>& size, View& view) {
  if (!size || size->bit_size != 0) return false;
  const TypeNode& node = types.Node(types.Strip(size->type));
  if (node.kind != TypeKind::kUnsigned && node.kind != TypeKind::kSigned) return false;
  if (node.size_bytes > 8) return false;
  view.b = size->offset;
  view.size_bytes = static_cast<uint8_t>(node.size_bytes == 8 ? 0 : node.size_bytes);
  return true;
}

// Element and its offset in a node of type `node`.
bool SetNodeValue(TypeBuilder& types, TypeId node, const MemberPath& path, View& view) {
  if (path.empty()) {
    view.element = node;
    return true;
  }
  const auto value = FindPath(types, node, path);
  if (!value || value->bit_size != 0) return false;
  view.element = value->type;
  view.c = value->offset;
  return true;
}

bool SetLink(TypeBuilder& types, TypeId node, const MemberPath& path, uint8_t& link) {
  const auto field = FindPath(types, node, path);
  if (!field || !IsPointer(types, field->type) || field->offset > kMostLinkOffset ||
      field->offset % 8 != 0) {
    return false;
  }
  link = static_cast<uint8_t>(field->offset);
  return true;
}

// Type behind the pointer at the path, laid out.
TypeId Pointee(TypeBuilder& types, TypeId user, const Field& field) {
  const TypeId target = types.Strip(PointerTarget(types, field.type));
  const Dwarf_Die* die = types.DieOf(target);
  return die == nullptr ? target : types.Strip(types.Complete(Dwarf_Die(*die), user));
}

std::optional<View> Items(TypeBuilder& types, TypeId id, const FormatterItems& items) {
  const auto first = FindPath(types, id, items.first);
  if (!first || first->bit_size != 0 || !IsPointer(types, first->type)) return std::nullopt;
  const TypeId pointee = Pointee(types, id, *first);
  View view;
  view.a = first->offset;
  view.element = PointerTarget(types, first->type);
  if (items.kind == Kind::kArray) {
    view.kind = ViewKind::kCounted;
    if (!SetCount(types, FindPath(types, id, items.size), view)) return std::nullopt;
    return SizeOf(types, view.element) == 0 ? std::nullopt : std::optional<View>(view);
  }
  if (items.kind == Kind::kRange) {
    const auto last = FindPath(types, id, items.last);
    if (!last || !IsPointer(types, last->type)) return std::nullopt;
    view.kind = ViewKind::kSequence;
    view.b = last->offset;
    return SizeOf(types, view.element) == 0 ? std::nullopt : std::optional<View>(view);
  }
  if (!SetNodeValue(types, pointee, items.value, view) ||
      !SetLink(types, pointee, items.left, view.left)) {
    return std::nullopt;
  }
  if (items.kind == Kind::kList) {
    view.kind = ViewKind::kHash;
    if (items.size.empty()) {
      view.layout = kUncounted;
      return view;
    }
    return SetCount(types, FindPath(types, id, items.size), view) ? std::optional<View>(view)
                                                                  : std::nullopt;
  }
  view.kind = ViewKind::kTree;
  const auto header = FindPath(types, id, items.last);
  if (!header || !SetCount(types, FindPath(types, id, items.size), view) ||
      !SetLink(types, pointee, items.right, view.right) ||
      !SetLink(types, pointee, items.parent, view.parent)) {
    return std::nullopt;
  }
  view.d = header->offset;
  return view;
}

bool AddMember(TypeBuilder& types, TypeId id, const std::string& name, const MemberPath& path,
               uint8_t flags, std::vector<Member>& out) {
  const auto field = FindPath(types, id, path);
  if (!field) return false;
  Member member = MemberOf(types, name, *field);
  member.flags |= flags;
  if (types.redaction() != nullptr) {
    bool redacted = types.redaction()->RedactsName(name);
    for (const std::string& part : path) redacted |= types.redaction()->RedactsName(part);
    if (redacted) member.flags |= kMemberRedacted;
  }
  out.push_back(member);
  return true;
}

}  // namespace

const Formatter* FindFormatter(const TypeBuilder& types, std::string_view raw_name) {
  const DefinitionFinder* finder = types.finder();
  const Formatters* formatters = finder == nullptr ? nullptr : finder->formatters();
  if (formatters == nullptr || formatters->empty()) return nullptr;
  return formatters->Find(SimplifyTypeName(raw_name));
}

std::optional<View> DetectCustom(TypeBuilder& types, TypeId id, const Formatter& formatter) {
  View view = MakeView(ViewKind::kCustom);
  std::vector<Member> members;
  for (const MemberPath& path : formatter.summary_paths) {
    if (!AddMember(types, id, path.back(), path, kMemberInSummary, members)) return std::nullopt;
  }
  for (const Formatter::Child& child : formatter.children) {
    if (!AddMember(types, id, child.name, child.path, 0, members)) return std::nullopt;
  }
  if (formatter.items.kind != Kind::kNone) {
    const std::optional<View> items = Items(types, id, formatter.items);
    if (!items) return std::nullopt;
    view.b = static_cast<uint32_t>(types.unit().views.size());
    view.element = items->element;  // reached like any view's
    types.unit().views.push_back(*items);
  }
  view.a = types.tables().Intern(formatter.summary);
  AppendMembers(types, members, view);
  return view;
}

}  // namespace stillframe::dwarf
