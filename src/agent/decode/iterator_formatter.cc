// Iterators: the element that one shows, as GDB's printers do, but never what is behind the end.
//
// Trees and hash tables tell from a node whether it is an element. Of other containers an iterator
// is known to be at one when the snapshot shows that container (known_containers.h); if not, it is
// shown as the pointer that it is.
#include "agent/decode/scalar_text.h"
#include "agent/decode/value_formatter.h"
#include "agent/decode/value_text.h"

namespace stillframe::decode {
namespace {

using model::Value;
using model::ValueStatus;

// Balanced trees are no deeper than 128.
constexpr int kMostTreeSteps = 128;

struct NodeLinks {
  uint64_t left = 0;
  uint64_t right = 0;
  uint64_t parent = 0;
  bool is_red = false;  // libstdc++: its header always, the root never
};

// What a pointer to a node of a tree is.
enum class NodeKind { kElement, kEnd, kNeither, kUnknown };

class Tree {
 public:
  Tree(const RecordView& record, const View& view) : record_(record), view_(view) {}

  NodeKind Classify(uint64_t node) const {
    NodeLinks links;
    const Code code = Links(node, links);
    if (code != Code::kOk) return code == Code::kUnreadable ? NodeKind::kNeither : kUnknown;
    return view_.layout == kInTree ? Classify(node, links) : ClassifyLibcxx(node, links);
  }

  // The element before `node`, which is an element or the end; kEnd when it is the first.
  NodeKind Previous(uint64_t& node) const {
    const NodeKind kind = Classify(node);
    NodeLinks links;
    if (kind == NodeKind::kNeither || kind == kUnknown) return kind;
    if (Links(node, links) != Code::kOk) return kUnknown;
    if (kind == NodeKind::kEnd && view_.layout == kInTree) {
      if (links.right == node) return NodeKind::kEnd;  // an empty tree
      node = links.right;
      return Classify(node);
    }
    if (kind == NodeKind::kEnd && links.left == 0) return NodeKind::kEnd;
    if (links.left != 0) {
      node = links.left;
      for (int i = 0; i < kMostTreeSteps; ++i) {
        if (Links(node, links) != Code::kOk) return kUnknown;
        if (links.right == 0) return Classify(node);
        node = links.right;
      }
      return NodeKind::kNeither;
    }
    for (int i = 0; i < kMostTreeSteps; ++i) {
      const uint64_t child = node;
      node = links.parent;
      const Code code = Links(node, links);
      if (code != Code::kOk) return code == Code::kUnreadable ? NodeKind::kNeither : kUnknown;
      // Only what is above a left child may be the end.
      const bool from_right = links.right == child && links.left != child;
      const NodeKind above = from_right ? NodeKind::kElement : Classify(node);
      if (above != NodeKind::kElement || links.left != child) return above;
    }
    return NodeKind::kNeither;
  }

 private:
  static constexpr NodeKind kUnknown = NodeKind::kUnknown;

  Code Links(uint64_t node, NodeLinks& links) const {
    uint64_t words[4];
    if (node == 0) return Code::kUnreadable;
    const Code code = record_.Read(node, words, sizeof words);
    links.left = words[view_.left / 8 & 3];
    links.right = words[view_.right / 8 & 3];
    links.parent = words[view_.parent / 8 & 3];
    links.is_red = (words[0] & 0xff) == 0;
    return code;
  }

  NodeKind Classify(uint64_t node, const NodeLinks& links) const {
    if (links.parent == 0) {  // of an empty tree's header
      return links.is_red && links.left == node && links.right == node ? NodeKind::kEnd
                                                                       : NodeKind::kNeither;
    }
    NodeLinks above;
    const Code code = Links(links.parent, above);
    if (code != Code::kOk) return code == Code::kUnreadable ? NodeKind::kNeither : kUnknown;
    if (above.parent == node) return links.is_red ? NodeKind::kEnd : NodeKind::kElement;
    return above.left == node || above.right == node ? NodeKind::kElement : NodeKind::kNeither;
  }

  // The end node is three words of the container, of which the left one leads to the root.
  NodeKind ClassifyLibcxx(uint64_t node, const NodeLinks& links) const {
    const NodeKind by_left = ChildKnows(links.left, node);
    const NodeKind by_right = ChildKnows(links.right, node);
    NodeKind by_parent = NodeKind::kNeither;
    NodeLinks above;
    const Code code = Links(links.parent, above);
    if (code == Code::kOk && (above.left == node || above.right == node)) {
      by_parent = NodeKind::kElement;
    } else if (code != Code::kOk && code != Code::kUnreadable) {
      by_parent = kUnknown;
    }
    const NodeKind all[] = {by_left, by_right, by_parent};
    if (by_left == NodeKind::kNeither) return NodeKind::kNeither;
    if (by_right != NodeKind::kNeither && by_parent != NodeKind::kNeither) {
      for (const NodeKind kind : all) {
        if (kind == kUnknown) return kUnknown;
      }
      return NodeKind::kElement;
    }
    if (links.left != 0) return by_left == kUnknown ? kUnknown : NodeKind::kEnd;
    uint64_t first = 0;
    const Code before = record_.Read(node - 8, &first, sizeof first);
    if (before != Code::kOk && before != Code::kUnreadable) return kUnknown;
    return before == Code::kOk && first == node && links.right == 0 ? NodeKind::kEnd
                                                                    : NodeKind::kNeither;
  }

  // Whether the child's parent is `node`; kElement when there is no child.
  NodeKind ChildKnows(uint64_t child, uint64_t node) const {
    if (child == 0) return NodeKind::kElement;
    NodeLinks links;
    const Code code = Links(child, links);
    if (code != Code::kOk) return code == Code::kUnreadable ? NodeKind::kNeither : kUnknown;
    return links.parent == node ? NodeKind::kElement : NodeKind::kNeither;
  }

  const RecordView& record_;
  const View& view_;
};

void SetEnd(Value& value, bool reversed) { Set(value, reversed ? "rend()" : "end()"); }

}  // namespace

// The element stands for the iterator: its value, its children.
void ValueFormatter::ShowElementAt(Value& value, const View& view, uint64_t address,
                                   uint32_t level) {
  if (level >= context_.limits.depth) {
    Set(value, HexText(address));
    return Truncate(value);
  }
  Value element =
      Format(value.name, view.element, Object::InMemory(*context_.record, address), level + 1);
  element.type = value.type;
  value = std::move(element);
}

// Whether there is an element is not known: as a pointer, so that nothing is claimed.
void ValueFormatter::ShowPosition(Value& value, const View& view, uint64_t address,
                                  uint32_t level) {
  Set(value, HexText(address));
  if (!Expands(value, level)) return;
  Value element = Format("*" + value.name, view.element,
                         Object::InMemory(*context_.record, address), level + 1);
  if (element.has_value || element.children.empty()) {
    return value.children.push_back(std::move(element));
  }
  if (element.status == ValueStatus::kTruncated) Truncate(value);
  value.children = std::move(element.children);
}

bool ValueFormatter::FormatIterator(Value& value, const View& view, const Object& object,
                                    uint32_t level) {
  uint64_t at = 0;
  if (!ReadWord(value, object, view.a, at)) return true;
  const bool reversed = view.keys != 0;
  const uint64_t size = Node(view.element).size_bytes;
  if (at == 0) {
    // Of these a null pointer is the end; of others it is an iterator that was never set, or one of
    // a container that never had an element.
    const bool is_end = view.layout == kInChain || view.layout == kInForwardList;
    Set(value, is_end ? "end()" : "no element");
    return true;
  }
  switch (view.layout) {
    case kAtElement: {
      if (size == 0) return Corrupt("its element has no size");
      const auto position = context_.containers.InArray(at, size, reversed);
      return ShowAt(value, view, position, reversed ? at - size : at, level);
    }
    case kAtBit:
      return FormatBitIterator(value, view, object, at);
    case kInDeque:
      return FormatDequeIterator(value, view, object, level);
    case kInTree:
    case kInLibcxxTree: {
      const Tree tree(*context_.record, view);
      uint64_t node = at;
      switch (reversed ? tree.Previous(node) : tree.Classify(node)) {
        case NodeKind::kElement:
          ShowElementAt(value, view, node + view.c, level);
          return true;
        case NodeKind::kEnd:
          SetEnd(value, reversed);
          return true;
        case NodeKind::kNeither:
          return Corrupt("its node at " + HexText(at) + " is in no tree");
        case NodeKind::kUnknown:
          Set(value, HexText(at));
          Truncate(value);
          return true;
      }
      return false;
    }
    case kInList:
    case kInForwardList: {
      uint64_t node = at;
      if (reversed && context_.record->Read(at + view.left, &node, sizeof node) != Code::kOk) {
        Set(value, HexText(at));
        Truncate(value);
        return true;
      }
      const bool forward = view.layout == kInForwardList;
      const bool is_end = context_.containers.IsListEnd(node);
      if (is_end && forward) {
        Set(value, "before_begin()");
      } else if (is_end) {
        SetEnd(value, reversed);
      } else if (context_.containers.IsListNode(node)) {
        ShowElementAt(value, view, node + view.c, level);
      } else {
        ShowPosition(value, view, node + view.c, level);
      }
      return true;
    }
    default:
      ShowElementAt(value, view, at + view.c, level);
      return true;
  }
}

bool ValueFormatter::ShowAt(Value& value, const View& view, const std::optional<Position>& position,
                            uint64_t address, uint32_t level) {
  const bool reversed = view.keys != 0;
  if (!position) {
    ShowPosition(value, view, address, level);
  } else if (reversed ? position->index == 0 : position->index == position->count) {
    SetEnd(value, reversed);
  } else {
    ShowElementAt(value, view, address, level);
  }
  return true;
}

bool ValueFormatter::FormatDequeIterator(Value& value, const View& view, const Object& object,
                                         uint32_t level) {
  const uint64_t size = Node(view.element).size_bytes;
  const bool reversed = view.keys != 0;
  uint64_t at = 0, block = 0, first = 0;
  if (!ReadWord(value, object, view.a, at) || !ReadWord(value, object, view.b, block)) return true;
  if (size == 0 || view.c == 0) return Corrupt("its element has no size");
  const Code code = context_.record->Read(block, &first, sizeof first);
  if (code == Code::kUnreadable)
    return Corrupt("its block at " + HexText(block) + " is not mapped");
  if (code != Code::kOk) {
    Set(value, HexText(at));
    Truncate(value);
    return true;
  }
  // A libc++ end iterator may be behind the last element of its block.
  if (at < first || (at - first) % size != 0 || (at - first) / size > view.c) {
    return Corrupt("it is outside of its block");
  }
  const auto position = context_.containers.InDeque(block, (at - first) / size, reversed);
  if (reversed && at == first) {
    // The last element of the block before.
    if (position && position->index == 0) {
      SetEnd(value, true);
      return true;
    }
    if (context_.record->Read(block - 8, &first, sizeof first) != Code::kOk) {
      Set(value, HexText(at));
      Truncate(value);
      return true;
    }
    at = first + uint64_t{view.c} * size;
  }
  return ShowAt(value, view, position, reversed ? at - size : at, level);
}

bool ValueFormatter::FormatBitIterator(Value& value, const View& view, const Object& object,
                                       uint64_t word) {
  uint32_t bit = 0;
  const bool reversed = view.keys != 0;
  if (const Code code = object.Read(view.b, &bit, sizeof bit); code != Code::kOk) {
    value = Unavailable(value.name, value.type, code);
    return true;
  }
  if (bit > 63) return Corrupt("its bit is " + std::to_string(bit) + " of a word");
  const auto position = context_.containers.OfBit(word, bit, reversed);
  if (position && (reversed ? position->index == 0 : position->index == position->count)) {
    SetEnd(value, reversed);
    return true;
  }
  if (reversed && bit == 0) word -= 8;
  if (reversed) bit = (bit + 63) % 64;
  uint8_t byte = 0;
  const Code code = context_.record->Read(word + bit / 8, &byte, 1);
  const std::string text = (byte >> bit % 8 & 1) != 0 ? "true" : "false";
  if (position && code == Code::kOk) {
    Set(value, text);
    return true;
  }
  Set(value, HexText(word) + ", bit " + std::to_string(bit));
  if (code != Code::kOk) {
    Truncate(value);
    return true;
  }
  Value element;
  element.name = "*" + value.name;
  element.type = "bool";
  Set(element, text);
  value.children.push_back(std::move(element));
  return true;
}

}  // namespace stillframe::decode
