// DWARF types -> the plan's type table. Types are built breadth first from what variables need, so
// that limits cut off what is farthest away; a type that is reached again from nearer is completed.
//
// Threads: the one that owns the Dwarf.
#ifndef STILLFRAME_SYMBOLIZER_TYPE_BUILDER_H_
#define STILLFRAME_SYMBOLIZER_TYPE_BUILDER_H_

#include <elfutils/libdw.h>

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "plan/plan.h"
#include "symbolizer/frame_compiler_tables.h"
#include "symbolizer/scope_reader.h"
#include "symbolizer/symbolizer.h"
#include "symbolizer/type_builder_names.h"

namespace stillframe {
class ClassIndex;
class Formatters;
}  // namespace stillframe

namespace stillframe::dwarf {

// What an object may really be, of one static type; nearest relatives come first.
inline constexpr uint32_t kMaxDerived = 64;
inline constexpr uint32_t kMaxTypeNodes = 20'000;
inline constexpr uint32_t kMaxMembers = 200'000;
// Pointers followed from a variable before types are left unread; captures go 3 deep by default.
inline constexpr uint32_t kMaxPointerHops = 8;

// Finds the definition of a type that is only declared where it was met.
class DefinitionFinder {
 public:
  virtual ~DefinitionFinder() = default;
  virtual std::optional<Dwarf_Die> FindDefinition(const Dwarf_Die& declaration) = 0;
  // The definition of a class by its full name, first in the unit of `near`.
  virtual std::optional<Dwarf_Die> FindClass(const Dwarf_Die& near, const std::string& name) = 0;
  // The module's classes; nullptr when they are not known.
  virtual ClassIndex* classes() = 0;
  // The user's; nullptr when there are none.
  virtual const Formatters* formatters() const = 0;
};

class TypeBuilder {
 public:
  // Everything passed must outlive this; `redaction` and `finder` may be nullptr.
  TypeBuilder(PlanTables& tables, TypeNamer& namer, const RedactionPolicy* redaction,
              DefinitionFinder* finder);

  // The type, complete down to the limits; nullopt is void. Never fails: what cannot be described
  // is kUnsupported or kIncomplete under its own name. Call Finish() before the plan is used.
  TypeId Type(std::optional<Dwarf_Die> die);
  // Sets kFlagNeedsWalk on everything built since the last call.
  void Finish();

  // ---- For the views (container_views.h) and the locations ----
  PlanUnit& unit() { return tables_.unit(); }
  PlanTables& tables() { return tables_; }
  const RedactionPolicy* redaction() const { return redaction_; }
  // Invalidated by whatever may add a type.
  const TypeNode& Node(TypeId id) const { return tables_.unit().types[id]; }
  TypeNode& Mutable(TypeId id) { return tables_.unit().types[id]; }
  std::span<const Member> Members(const TypeNode& node) const;
  const std::string& String(StringId id) const { return tables_.String(id); }
  void SetAlignment(TypeId id, uint32_t alignment) { states_[id].alignment = alignment; }
  // The type, its inline layout built at once, one hop below `user`; for BuildViews only.
  TypeId Complete(const Dwarf_Die& die, TypeId user);
  // The type will be laid out, one hop below `user`.
  void ReachFrom(TypeId user, TypeId id);
  // cv-qualifiers and typedefs taken off.
  TypeId Strip(TypeId id) const;
  // Typedefs taken off, qualifiers kept.
  TypeId SkipTypedefs(TypeId id) const;
  uint32_t AlignOf(TypeId id) const;
  // The DIE that a struct, union or enum node was read from (its definition).
  const Dwarf_Die* DieOf(TypeId id) const;
  // Which subrange of which DW_TAG_array_type a node with kFlagCountedByVariable is.
  struct Dimension {
    Dwarf_Die array;
    size_t index;
  };
  std::optional<Dimension> DimensionOf(TypeId id) const;
  // A node that no DIE describes, e.g. char under a declared std::string.
  TypeId Synthesize(const TypeNode& node, uint32_t alignment);
  void SetRawName(TypeId id, std::string name) { states_[id].raw_name = std::move(name); }
  // Name of the struct as in the debug information, with all template arguments.
  const std::string& RawName(TypeId id) const;
  DefinitionFinder* finder() const { return finder_; }
  // Gives the type what it may really be; `derived` in any order.
  void SetDerived(TypeId id, std::vector<Derived> derived);
  // The name is on the redaction list, or the type, or what it points to.
  bool RedactsVariable(std::string_view name, TypeId type) const;

 private:
  struct State {
    std::optional<Dwarf_Die> die;
    std::string raw_name;
    TypeId alias_of = kVoidType;  // cv or typedef of
    uint32_t alignment = 1;
    uint32_t hops = UINT32_MAX;
    bool expanded = false;
    std::optional<Dimension> dimension;
  };

  TypeId NodeFor(const Dwarf_Die& die);
  void Reach(TypeId id, uint32_t hops);
  void Drain();
  void ExpandQueue();
  void Expand(TypeId id);
  void ExpandKind(TypeId id, const Dwarf_Die& die);
  void ReachChildren(TypeId id);
  void CopyAliases();
  void BuildViews();
  // type_builder_dynamic.cc.
  void BuildDynamic();
  void AddFamily(TypeId id);
  bool IsPolymorphic(TypeId id, int depth) const;
  std::optional<uint32_t> OffsetOfBase(TypeId derived, const std::string& base, int depth,
                                       int& found) const;
  bool UpdateNeedsWalk(TypeId id);
  bool MembersNeedWalk(uint32_t first, uint32_t count) const;

  // One per kind of DIE (type_builder_kinds.cc).
  void ExpandBase(TypeId id, const Dwarf_Die& die);
  void ExpandEnum(TypeId id, const Dwarf_Die& die);
  void ExpandPointer(TypeId id, const Dwarf_Die& die);
  void CollectVirtuals(const Dwarf_Die& owner, uint64_t offset_bytes, int depth,
                       std::map<int64_t, std::string>& names);
  void ExpandArray(TypeId id, const Dwarf_Die& die);
  void ExpandAlias(TypeId id, const Dwarf_Die& die);
  void ExpandUnspecified(TypeId id, const Dwarf_Die& die);
  void MakeComplex(TypeId id, uint32_t size_bytes);
  void MarkUnsupported(TypeId id);
  // type_builder_members.cc.
  void ExpandStruct(TypeId id, Dwarf_Die die);
  bool AddMember(const Dwarf_Die& member, uint64_t parent_size, std::vector<Member>& out);
  void ExpandDeclaration(TypeId id);
  // standard_exceptions.cc.
  std::optional<TypeId> MakeThrownException(const Dwarf_Die& target);

  PlanTables& tables_;
  TypeNamer& namer_;
  const RedactionPolicy* redaction_;
  DefinitionFinder* finder_;
  std::unordered_map<const void*, TypeId> by_die_;
  std::unordered_map<TypeId, State> states_;
  std::deque<TypeId> queue_;
  std::vector<TypeId> aliases_;
  std::vector<TypeId> pending_views_;
  std::vector<TypeId> pending_dynamic_;  // what pointers lead to
  std::unordered_set<TypeId> dynamic_done_;
  std::vector<TypeId> own_;  // every node made here
  bool dirty_ = false;
  TypeId limit_node_ = kVoidType;
};

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_TYPE_BUILDER_H_
