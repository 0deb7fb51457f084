// Users' formatters: files that say how a type's objects are shown. They are compiled into views of
// a plan (container_custom.cc) and never run as code: paths through members, and nothing else.
//
// Two forms are read. JSON:
//   {"formatters": [{"type": "shop::Ring<*>", "summary": "{count_} of {capacity_}",
//     "children": [{"name": "capacity", "path": "capacity_"}],
//     "items": {"kind": "array", "data": "storage_.data_", "size": "count_"}}]}
// with items of kind "array" (data, size), "range" (begin, end), "list" (head, next, value; size or
// a 0 pointer ends it) and "tree" (first, header, size, left, right, parent, value: a binary tree
// with parent links). And natvis (natvis_reader.h).
//
// Threads: read once, then any.
#ifndef STILLFRAME_SYMBOLIZER_FORMATTERS_H_
#define STILLFRAME_SYMBOLIZER_FORMATTERS_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace stillframe {

// Member names from the object inwards: "storage_.data_".
using MemberPath = std::vector<std::string>;

struct FormatterItems {
  enum class Kind { kNone, kArray, kRange, kList, kTree };
  Kind kind = Kind::kNone;
  MemberPath first;   // array: data; range: begin; list: head; tree: the first node in order
  MemberPath last;    // range: end; tree: the header that ends the order
  MemberPath size;    // element count; a list may do without
  MemberPath left;    // list: next; in a node
  MemberPath right;   // tree, in a node
  MemberPath parent;  // tree, in a node
  MemberPath value;   // list, tree: in a node; empty = the node itself
};

struct Formatter {
  std::string type;     // "shop::Ring<*>": * stands for any text
  std::string summary;  // "\1\1 of \1\2": the texts of summary_paths 0 and 1
  std::vector<MemberPath> summary_paths;
  struct Child {
    std::string name;
    MemberPath path;
  };
  std::vector<Child> children;
  FormatterItems items;
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
  std::vector<Formatter> all_;
};

// `pattern` with * for any text, over the whole of `text`; spaces do not count.
bool MatchesPattern(std::string_view pattern, std::string_view text);
// "a.b.c"; kInvalidArgument when it is anything but names and dots.
Result<MemberPath> ParseMemberPath(std::string_view text);
// Splits "{a.b} of {c}" into the text and the paths. "{{" and "}}" are braces.
Status ParseSummary(std::string_view text, Formatter& formatter);

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_FORMATTERS_H_
