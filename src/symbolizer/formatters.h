// Users' formatters: files that say how a type's objects are shown. They are compiled into views of
// a plan (container_custom.cc) and never run as code: paths through members, and nothing else.
//
// Two forms are read: JSON, which docs/formatters.md describes, and natvis (natvis_reader.h).
//
// Threads: read once, then any.
#ifndef STILLFRAME_SYMBOLIZER_FORMATTERS_H_
#define STILLFRAME_SYMBOLIZER_FORMATTERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace stillframe {

// Member names from the object inwards: "storage_.data_". A part "(type)" means the same bytes as
// another type, which is named as in FormatterItems::node.
using MemberPath = std::vector<std::string>;

// The number at the path, or a part of it: "size_ >> 1 & 3".
struct FormatterNumber {
  MemberPath path;
  uint8_t shift = 0;
  uint8_t bits = 0;  // 0 = all
};

struct FormatterCondition {
  FormatterNumber number;
  uint64_t value = 0;
  bool equal = false;  // the number is `value`, or it is not
};

struct FormatterItems {
  enum class Kind {
    kNone,
    kArray,
    kRange,
    kText,
    kList,
    kTree,
    kRootedTree,  // without links upwards
    kSlots,
    kBuckets,
    kRing,
    kDeque,
    kOptional,
    kVariant,
    kPointer,
    kSharedPointer,
    kWeakPointer,
  };
  Kind kind = Kind::kNone;
  std::optional<FormatterCondition> when;  // else the next items are tried
  // What the names in JSON are is said by the table in formatter_items.cc.
  MemberPath first;
  MemberPath last;
  MemberPath third;
  MemberPath left;    // in a node
  MemberPath right;   // in a node
  MemberPath parent;  // in a node
  MemberPath value;   // in a node or a slot; empty = the node itself
  FormatterNumber size;
  // What nodes really are, in place of what the pointers to them are declared to point to: "name",
  // a type declared in the container's class, or "path<0><1>", the template argument 1 of the
  // argument 0 of the type at the path ("<0>": of the container's own).
  std::string node;
  bool in_place = false;          // array, text: the elements are at the path, not behind it
  bool is_map = false;            // elements are pairs, shown as [first] = second
  bool behind_pointers = false;   // slots
  bool in_groups = false;         // slots
  bool may_be_valueless = false;  // variant
  uint8_t tag_bits = 0;           // tree: of a parent link, what is no address
  uint8_t first_mark = 0;         // slots: which control bytes mark an element
  uint8_t last_mark = 127;
  std::string none_text;  // optional
};

struct Formatter {
  std::string type;     // "shop::Ring<*>": * stands for any text, and spaces do not count
  std::string summary;  // "\1\1 of \1\2": the texts of summary_paths 0 and 1
  std::vector<MemberPath> summary_paths;
  struct Child {
    std::string name;
    MemberPath path;
  };
  std::vector<Child> children;
  std::vector<FormatterItems> items;  // of which the first whose condition holds is shown
  bool raw = false;                   // as if there were no formatter
};

class Formatters {
 public:
  // Adds what the file says. On an error (kIoError, kCorrupt, kOverLimit; the message names the
  // file and what is wrong) nothing of it is added.
  Status AddFile(const std::string& path);
  Status AddJson(std::string_view text);
  Status AddNatvis(std::string_view text);
  // The first that fits the type's name as people write it; nullptr when none does.
  const Formatter* Find(std::string_view type_name) const;
  bool empty() const { return all_.empty(); }

 private:
  void Add(std::vector<Formatter> read);
  std::vector<Formatter> all_;
};

// `pattern` with * for any text, over the whole of `text`; spaces do not count.
bool MatchesPattern(std::string_view pattern, std::string_view text);
// "a.b.c"; kInvalidArgument when it is anything but names and dots.
Result<MemberPath> ParseMemberPath(std::string_view text);
// The same with "(type)" among its parts, for JSON.
Result<MemberPath> ParseTypedPath(std::string_view text);
// A path with ">> n" and "& mask" behind it, a mask being ones alone.
Result<FormatterNumber> ParseNumber(std::string_view text);
// A number with "== n" or "!= n" behind it; without either it is not 0.
Result<FormatterCondition> ParseCondition(std::string_view text);
// Splits "{a.b} of {c}" into the text and the paths. "{{" and "}}" are braces.
Status ParseSummary(std::string_view text, Formatter& formatter);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FORMATTERS_H_
