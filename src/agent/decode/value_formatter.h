// (object, type) -> model::Value tree. All limits are the tracepoint's; the target is hostile.
#ifndef STILLFRAME_AGENT_DECODE_VALUE_FORMATTER_H_
#define STILLFRAME_AGENT_DECODE_VALUE_FORMATTER_H_

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "agent/decode/known_containers.h"
#include "agent/decode/object.h"
#include "model/snapshot.h"
#include "plan/plan.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::decode {

struct FormatContext {
  const RecordView* record = nullptr;
  CaptureLimits limits;
  std::function<std::string(uint64_t address)> symbol_name;
  uint32_t values_left = 5000;                 // of the whole snapshot, shared by its formatters
  const RedactionPolicy* redaction = nullptr;  // nullptr: the built-in lists alone
  KnownContainers containers;                  // that were formatted
};

// A Value that says why there is none.
model::Value Unavailable(std::string name, std::string type, Code reason);

// Formats values whose types are in one unit. Levels: a variable is 0; members, elements, pointees
// and payloads are +1; references, bases and anonymous members +0; values at level `depth` are not
// expanded. The hit path walks by the same rule.
class ValueFormatter {
 public:
  // load_bias: of the unit's module, to recognize its vtables.
  ValueFormatter(const PlanUnit& unit, FormatContext& context, uint64_t load_bias = 0)
      : unit_(unit), context_(context), load_bias_(load_bias) {}

  model::Value Format(std::string name, TypeId type, const Object& object, uint32_t level);
  // An array whose first dimensions have so many elements, which its type does not say, or a
  // pointer or reference to one. On level 0.
  model::Value FormatCounted(std::string name, TypeId type, const Object& object,
                             std::span<const uint64_t> counts);
  // The same where only the place is known and `reason` says why: a pointer still has a value.
  model::Value FormatUncounted(std::string name, TypeId type, const Object& object, Code reason);
  // The same as Format on level 0, of the elements only those for whose address `wanted` is kOk:
  // kNotFound leaves one out, anything else says why it is not known whether it belongs there.
  model::Value FormatFiltered(std::string name, TypeId type, const Object& object,
                              const std::function<Code(uint64_t address)>& wanted);

  // Whether a value that is shown under this key is a secret ("password" -> ...).
  bool NamesSecret(const model::Value& key) const;

 private:
  using Value = model::Value;
  // An element of something on `level`, before it is added.
  void NoteElement(uint64_t address, uint32_t level) {
    if (level == 0 && collects_elements_) elements_.push_back(address);
  }
  // By kind; each fills value and children.
  void ShowKnownParts(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  void FormatKind(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  void FormatScalar(Value& value, const TypeNode& node, std::span<const uint8_t> bytes);
  void FormatEnum(Value& value, const TypeNode& node, std::span<const uint8_t> bytes);
  void FormatPointer(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  void FormatReference(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  void FormatMemberPointer(Value& value, const TypeNode& node, const Object& object);
  void FormatComplex(Value& value, const TypeNode& node, const Object& object);
  // The whole object that the one at `address` is part of, as its vtable tells; `type` and
  // `address` stay what they are when there is no telling. True when something was found.
  bool FindWhole(TypeId& type, uint64_t& address) const;
  const Derived* FindDerived(const TypeNode& node, uint64_t runtime_address) const;
  void FormatVirtualBase(Value& value, const Member& member, const Object& object, uint32_t level);
  std::string FaultOf(TypeId type, std::span<const uint64_t> counts) const;
  Value FormatRows(std::string name, TypeId type, const Object& object,
                   std::span<const uint64_t> counts, uint32_t level);
  void FormatArray(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  void FormatMembers(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  void FormatBitField(Value& value, const Member& member, const Object& object);
  void AddPointee(Value& value, TypeId target, uint64_t address, uint32_t level);
  // ---- what looks like a secret (secret_values.cc) ----
  bool LooksSecret(std::string_view text, bool cut) const;
  // `text` is what is shown of a text of `size_bytes` at `address`; more of it is looked at where
  // the record has more.
  bool IsSecretText(const std::string& text, uint32_t unit_bytes, uint64_t address,
                    uint64_t size_bytes) const;
  // Elements that are characters are looked at as the text that they are.
  void HideSecretCharacters(Value& value) const;
  bool IsNamedBySibling(const TypeNode& node, const Member& member, const Object& object);
  // Of an object's member.
  bool IsSecretKey(const Member& key, const Object& object);
  static void Redact(Value& value);

  // "", "u8", "u", "U" or "L".
  std::string_view TextPrefix(const TypeNode& character) const;
  std::string Literal(const TypeNode& character, const std::string& text) const;
  void FormatTextArray(Value& value, const TypeNode& node, const Object& object);
  void AddCString(Value& value, const TypeNode& character, uint64_t address);
  void AddElements(Value& value, TypeId element, const Object& first, uint64_t count,
                   uint32_t level);
  // Library types; false when their own fields contradict each other.
  bool FormatView(Value& value, const TypeNode& node, const Object& object, uint32_t level);
  bool FormatString(Value& value, const View& view, const Object& object);
  bool FormatSequence(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatTree(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatHash(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatOptional(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatVariant(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatSmartPointer(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatTuple(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatOtherView(Value& value, const TypeNode& node, const View& view, const Object& object,
                       uint32_t level);
  bool FormatCounted(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatArrayInPlace(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatBits(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatBitset(Value& value, const View& view, const Object& object);
  bool FormatDeque(Value& value, const View& view, const Object& object, uint32_t level);
  bool ReadDeque(Value& value, const View& view, const Object& object, DequeExtent& extent);
  bool FormatShortString(Value& value, const View& view, const Object& object);
  bool FormatTextInPlace(Value& value, const View& view, const Object& object, uint64_t offset,
                         uint64_t size, uint64_t room_bytes);
  bool FormatDuration(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatMutex(Value& value, const View& view, const Object& object);
  bool FormatLibcxxLock(Value& value, const View& view, const Object& object);
  bool FormatReadWriteLock(Value& value, const View& view, const Object& object);
  bool FormatAny(Value& value, const TypeNode& node, const View& view, const Object& object,
                 uint32_t level);
  bool FormatFunction(Value& value, const View& view, const Object& object);
  bool FormatHandle(Value& value, const View& view, const Object& object);
  // iterator_formatter.cc
  bool FormatIterator(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatDequeIterator(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatBitIterator(Value& value, const View& view, const Object& object, uint64_t word);
  bool ShowAt(Value& value, const View& view, const std::optional<Position>& position,
              uint64_t address, uint32_t level);
  void ShowElementAt(Value& value, const View& view, uint64_t address, uint32_t level);
  void ShowPosition(Value& value, const View& view, uint64_t address, uint32_t level);
  // custom_formatter.cc
  bool FormatCustom(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatItems(Value& value, const View& items, const Object& object, uint32_t level);
  bool FormatSlots(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatBuckets(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatRing(Value& value, const View& view, const Object& object, uint32_t level);
  bool FormatRootedTree(Value& value, const View& view, const Object& object, uint32_t level);
  const View* ItemsOf(Value& value, const View& custom, const Object& object);
  bool ReadNumber(Value& value, const Object& object, const View& view, uint64_t offset,
                  uint64_t& out);
  Value FormatNamed(const Member& member, const Object& object, uint32_t level);
  void SetText(Value& value, const TypeNode& character, std::string text, bool cut);
  bool NextInTree(const View& view, uint64_t header, uint64_t& node) const;
  // Its fields contradict each other: always false, and `what` becomes part of the reason.
  bool Corrupt(std::string what) {
    fault_ = std::move(what);
    return false;
  }
  // The far end of something that is shown in part was found not to be mapped.
  bool EndsOutside(uint64_t begin, uint64_t bytes) const {
    char last;
    return bytes != 0 && context_.record->Read(begin + bytes - 1, &last, 1) == Code::kUnreadable;
  }
  Value FormatEntry(const View& view, uint64_t index, uint64_t address, uint32_t level);

  bool IsOptional(const TypeNode& node) const;
  std::pair<size_t, size_t> PairMembers(const TypeNode& node) const;
  const TypeNode& Node(TypeId type) const;
  const std::string& Text(StringId id) const;
  std::string EnumeratorName(const Enumerator& enumerator) const;
  // A count of view.size_bytes (0 = 8) at view.b.
  bool ReadCount(Value& value, const Object& object, const View& view, uint64_t& out);
  bool ReadWord(Value& value, const Object& object, uint64_t offset, uint64_t& out);
  std::string ExceptionClass(const TypeNode& node, const Object& object) const;
  bool HasNoText(const TypeNode& node, const Member& member, const Object& object) const;
  std::string MemberAt(TypeId type, uint64_t offset, int depth) const;
  std::string VirtualFunctionText(const TypeNode& node, uint64_t vtable_offset,
                                  uint64_t base_offset) const;
  std::string PointerText(uint64_t address) const;
  bool Expands(Value& value, uint32_t level) const;

  const PlanUnit& unit_;
  FormatContext& context_;
  uint64_t load_bias_;
  bool collects_elements_ = false;
  std::vector<uint64_t> elements_;  // addresses of the children on level 0
  std::string fault_;               // why the last view was not believed
};

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_VALUE_FORMATTER_H_
