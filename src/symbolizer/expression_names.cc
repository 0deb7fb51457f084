// Names: variables, members through `this`, enumerators, members of objects.
#include <algorithm>
#include <utility>

#include "symbolizer/expression_compiler.h"

namespace stillframe::expression {
namespace {

constexpr int kMaxBaseDepth = 64;
constexpr size_t kMaxNearNames = 3;
constexpr size_t kMaxComparedLength = 128;

std::string Column(uint32_t column) { return "column " + std::to_string(column) + ": "; }

// Optimal string alignment: insertions, deletions, changes and swaps of neighbours cost 1.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, row);
  }
  return previous[b.size()];
}

bool IsOrdinary(const Member& member) {
  return (member.flags & (kMemberBase | kMemberArtificial | kMemberAnonymous)) == 0;
}

}  // namespace

std::string NearNames(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.size() > kMaxComparedLength) return "";
  std::vector<std::pair<size_t, std::string>> near;
  for (const std::string& candidate : candidates) {
    const size_t limit = std::max(name.size(), candidate.size()) / 3 + 1;
    const size_t gap =
        std::max(name.size(), candidate.size()) - std::min(name.size(), candidate.size());
    if (candidate.empty() || candidate.size() > kMaxComparedLength || gap > limit) continue;
    const size_t distance = EditDistance(name, candidate);
    // At least one character must have survived.
    if (distance <= limit && distance < std::max(name.size(), candidate.size())) {
      near.emplace_back(distance, candidate);
    }
  }
  std::sort(near.begin(), near.end());
  near.erase(std::unique(near.begin(), near.end()), near.end());
  std::string text;
  for (size_t i = 0; i < near.size() && i < kMaxNearNames; ++i) {
    text += (i == 0 ? "; near: " : ", ") + near[i].second;
  }
  return text;
}

// Names that only some places have.
std::string_view WhereThereIs(std::string_view name) {
  if (name == "$return") return " here: it is where a function is left that returns a value";
  if (name == "$exception") return " here: it is where an object of a named type is thrown";
  return "";
}

// $thread, $trace, $hits, $duration.
Result<Value> Compiler::HitFact(const Node& node) {
  Fragment code;
  if (node.text == "$trace") {  // its digits, as an array of which no byte is in memory
    Value value;
    value.form = Form::kPlaced;
    value.type = ArrayOf(unit_, CharType(unit_), 32);
    value.column = node.column;
    value.is_trace = true;
    value.location.kind = LocationKind::kPieces;
    std::vector<Piece> pieces;
    for (uint8_t i = 0; i < 4; ++i) {
      Fragment digits;
      digits.Emit(Op::kFact, static_cast<uint8_t>(static_cast<uint8_t>(Fact::kTrace0) + i));
      Piece piece;
      piece.kind = LocationKind::kValue;
      piece.size_bytes = 8;
      SF_ASSIGN_OR_RETURN(piece.program, Finish(unit_, std::move(digits)));
      pieces.push_back(piece);
    }
    value.location.first_piece = static_cast<uint32_t>(unit_.pieces.size());
    value.location.piece_count = 4;
    unit_.pieces.insert(unit_.pieces.end(), pieces.begin(), pieces.end());
    return value;
  }
  const bool thread = node.text == "$thread";
  if (!thread && node.text != "$hits" && node.text != "$duration") {
    std::string message = Column(node.column) + "no '" + node.text + "'";
    message += WhereThereIs(node.text);
    message += NearNames(node.text, {"$thread", "$trace", "$hits", "$duration"});
    return Status(Code::kUnknownVariable, std::move(message));
  }
  const Fact fact = thread ? Fact::kThreadId : node.text == "$hits" ? Fact::kHits : Fact::kDuration;
  code.Emit(Op::kFact, static_cast<uint8_t>(fact));
  return NumberCell(thread ? Number::kInt : Number::kLong, std::move(code), node.column);
}

Result<Value> Compiler::Name(const Node& node) {
  for (auto element = elements_.rbegin(); element != elements_.rend(); ++element) {
    if (element->first != node.text) continue;
    Value value = element->second;
    value.column = node.column;
    return value;
  }
  // The scope does not return a variable of a namespace that a member of `this` hides.
  const std::optional<ScopeVariable> variable = scope_.Find(node.text);
  if (variable) return FromVariable(*variable, node);
  if (node.text.starts_with('$')) return HitFact(node);
  SF_ASSIGN_OR_RETURN(std::optional<Value> member, ThroughThis(node));
  if (member) return *std::move(member);
  if (const std::optional<Scope::EnumConstant> constant = scope_.FindEnumerator(node.text)) {
    Fragment code;
    code.Const(static_cast<uint64_t>(constant->value));
    return Cell(constant->type, std::move(code), node.column);
  }
  return UnknownName(node);
}

Result<Value> Compiler::FromVariable(const ScopeVariable& variable, const Node& node) {
  if ((variable.flags & kVariableRedacted) != 0) {
    return Status(Code::kRedacted, Column(node.column) + "'" + node.text + "' is redacted");
  }
  if (unevaluated_ && variable.location.kind == LocationKind::kUnavailable) {
    Value value;
    value.form = Form::kMemory;
    value.type = variable.type;
    value.column = node.column;
    value.code.Const(0);
    return Settle(std::move(value));
  }
  if (variable.location.kind == LocationKind::kUnavailable) {
    const Code reason =
        variable.location.reason == Code::kOk ? Code::kOptimizedOut : variable.location.reason;
    return Status(reason, Column(node.column) + "'" + node.text + "' is not available here (" +
                              std::string(CodeName(reason)) + ")");
  }
  Value value;
  value.type = variable.type;
  value.column = node.column;
  value.location = variable.location;
  value.form = Form::kPlaced;
  if (variable.location.kind == LocationKind::kMemory) {
    value.form = Form::kMemory;
    SF_ASSIGN_OR_RETURN(value.code, Inline(unit_, variable.location.program));
  }
  if (!variable.recovered.empty() && recovered_.find(variable.recovered) == std::string::npos) {
    recovered_ += (recovered_.empty() ? "" : ", ") + variable.recovered;
  }
  SF_ASSIGN_OR_RETURN(value, Settle(std::move(value)));
  value.variable = variable;
  if (variable.key.empty()) return value;
  return GuardByVariable(variable.key, std::move(value));
}

Result<std::optional<Value>> Compiler::ThroughThis(const Node& node) {
  const std::optional<ScopeVariable> self = scope_.Find("this");
  if (!self || unit_.types[self->type].kind != TypeKind::kPointer) return std::optional<Value>();
  const TypeId target = unit_.types[self->type].target;
  if (FindMember(target, node.text, 0).matches == 0) return std::optional<Value>();
  SF_ASSIGN_OR_RETURN(Value pointer, FromVariable(*self, node));
  SF_ASSIGN_OR_RETURN(Value object, Dereference(pointer, node.column));
  SF_ASSIGN_OR_RETURN(Value member, MemberOf(object, node.text, node.column));
  return std::optional<Value>(std::move(member));
}

Result<Value> Compiler::UnknownName(const Node& node) {
  std::vector<std::string> names = scope_.VisibleNames();
  const std::optional<ScopeVariable> self = scope_.Find("this");
  if (self && unit_.types[self->type].kind == TypeKind::kPointer) {
    CollectMemberNames(unit_.types[self->type].target, 0, names);
  }
  const char* const what = node.text.find("::") == std::string::npos ? "variable" : "name";
  return Status(Code::kUnknownVariable, Column(node.column) + "no " + what + " '" + node.text +
                                            "' here" + NearNames(node.text, names));
}

Result<Value> Compiler::MemberOf(const Value& object, std::string_view name, uint32_t column) {
  const TypeNode& type = TypeOf(object);
  if (type.kind == TypeKind::kIncomplete) {
    return Status(Code::kIncompleteType,
                  Column(column) + "only a declaration of " + Quote(object.type) + " was found");
  }
  if (type.kind == TypeKind::kUnsupported) {
    return Status(Code::kUnsupportedType,
                  Column(column) + Quote(object.type) + " is not supported");
  }
  if (type.kind == TypeKind::kPointer) {
    return BadExpression(column, Quote(object.type) + " is a pointer: use ->");
  }
  if (type.kind != TypeKind::kStruct && type.kind != TypeKind::kUnion) {
    return BadExpression(column, Quote(object.type) + " has no members");
  }
  const FoundMember found = FindMember(object.type, name, 0);
  if (found.matches == 0) {
    std::vector<std::string> names;
    CollectMemberNames(object.type, 0, names);
    return Status(Code::kUnknownVariable, Column(column) + Quote(object.type) + " has no member '" +
                                              std::string(name) + "'" + NearNames(name, names));
  }
  return SelectMember(object, found, column);
}

Result<Value> Compiler::SelectMember(const Value& object, const FoundMember& found,
                                     uint32_t column) {
  const std::string name = unit_.strings[found.member.name];
  if (found.redacted) {
    return Status(Code::kRedacted, Column(column) + "'" + name + "' is redacted");
  }
  if (found.matches > 1) return BadExpression(column, "'" + name + "' is ambiguous");
  if (found.in_virtual_base) {
    return Status(Code::kUnsupportedLocation,
                  Column(column) + "'" + name + "' is in a virtual base class");
  }
  if (found.member.bit_size == 0) {
    SF_ASSIGN_OR_RETURN(Value part, Part(object, found.offset, found.member.type));
    part.column = column;
    return GuardByKey(object, name, std::move(part));
  }
  Value field = object;
  field.variable.reset();
  field.type = found.member.type;
  field.column = column;
  if (field.form == Form::kMemory) {
    field.code.AddImm(found.offset);
  } else {
    field.offset += found.offset;
  }
  field.bit_offset = found.member.bit_offset;
  field.bit_size = found.member.bit_size;
  return Settle(std::move(field));
}

Compiler::FoundMember Compiler::FindMember(TypeId id, std::string_view name, int depth) const {
  FoundMember found;
  if (depth > kMaxBaseDepth) return found;
  const TypeNode& type = unit_.types[id];
  if (type.kind != TypeKind::kStruct && type.kind != TypeKind::kUnion) return found;
  SearchMembers(type.first_member, type.member_count, name, depth, found);
  const View& view = unit_.views[type.view];
  if (found.matches == 0 && view.kind == ViewKind::kPair) {
    SearchMembers(view.first_member, view.member_count, name, depth, found);
  }
  return found;
}

// A class's own members hide those of its bases ([class.member.lookup]).
void Compiler::SearchMembers(uint32_t first, uint32_t count, std::string_view name, int depth,
                             FoundMember& found) const {
  for (uint32_t i = first; i < first + count; ++i) {
    const Member& member = unit_.members[i];
    if (!IsOrdinary(member) || unit_.strings[member.name] != name) continue;
    found.member = member;
    found.offset = member.offset_bytes;
    found.redacted = (member.flags & kMemberRedacted) != 0;
    found.matches = 1;
    return;
  }
  for (const bool bases : {false, true}) {
    for (uint32_t i = first; i < first + count; ++i) {
      const Member& member = unit_.members[i];
      const uint8_t wanted = bases ? kMemberBase : kMemberAnonymous;
      if ((member.flags & wanted) == 0) continue;
      FoundMember inner = FindMember(member.type, name, depth + 1);
      if (inner.matches == 0) continue;
      inner.offset += member.offset_bytes;
      inner.redacted |= (member.flags & kMemberRedacted) != 0 ||
                        (unit_.types[member.type].flags & kFlagRedacted) != 0;
      inner.in_virtual_base |= (member.flags & kMemberVirtualBase) != 0;
      inner.redacted |= found.redacted;
      inner.matches += found.matches;
      found = inner;
    }
    if (found.matches != 0) return;
  }
}

void Compiler::CollectMemberNames(TypeId id, int depth, std::vector<std::string>& names) const {
  const TypeNode& type = unit_.types[id];
  const bool is_class = type.kind == TypeKind::kStruct || type.kind == TypeKind::kUnion;
  if (!is_class || depth > kMaxBaseDepth) return;
  for (uint32_t i = type.first_member; i < type.first_member + type.member_count; ++i) {
    const Member& member = unit_.members[i];
    if (IsOrdinary(member)) names.push_back(unit_.strings[member.name]);
    if ((member.flags & (kMemberBase | kMemberAnonymous)) != 0) {
      CollectMemberNames(member.type, depth + 1, names);
    }
  }
}

}  // namespace stillframe::expression
