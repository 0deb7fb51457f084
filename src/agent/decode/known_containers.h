// Where the containers of a snapshot are, so that an iterator can be told to be at an element or at
// the end: most iterators do not tell that themselves.
#ifndef STILLFRAME_AGENT_DECODE_KNOWN_CONTAINERS_H_
#define STILLFRAME_AGENT_DECODE_KNOWN_CONTAINERS_H_

#include <cstdint>
#include <optional>
#include <unordered_set>
#include <vector>

namespace stillframe::decode {

// Position `index` of `count` elements; at `count` is the end.
struct Position {
  uint64_t index = 0;
  uint64_t count = 0;
};

// Elements of a std::deque: in blocks of `per_block`, which a map of pointers lists.
struct DequeExtent {
  uint64_t map = 0;    // address of the first block's pointer
  uint64_t start = 0;  // elements of that block in front of the first
  uint64_t count = 0;
  uint64_t per_block = 0;
};

class KnownContainers {
 public:
  // Elements of `stride` bytes in a row.
  void AddArray(uint64_t begin, uint64_t count, uint64_t stride);
  void AddBits(uint64_t begin, uint64_t count);
  void AddDeque(const DequeExtent& extent);
  void AddListNode(uint64_t node);
  // What the end of a list, or the place before a forward_list, points to.
  void AddListEnd(uint64_t node);
  // Nothing more is added: what was met is all there is.
  void Close() { closed_ = true; }

  // nullopt: no container has such a position, or several have it and differ about it. Containers
  // that would help are asked for (asked()).
  std::optional<Position> InArray(uint64_t address, uint64_t stride, bool reversed);
  std::optional<Position> OfBit(uint64_t word, uint64_t bit, bool reversed);
  // `block`: address of the block's pointer; `offset`: elements in front of it in the block.
  std::optional<Position> InDeque(uint64_t block, uint64_t offset, bool reversed);
  bool IsListNode(uint64_t node);
  bool IsListEnd(uint64_t node);

  bool empty() const {
    return arrays_.empty() && bits_.empty() && deques_.empty() && ends_.empty();
  }
  bool asked() const { return asked_; }

 private:
  struct Array {
    uint64_t begin;
    uint64_t count;
    uint64_t stride;
  };

  bool closed_ = false;
  bool asked_ = false;
  std::vector<Array> arrays_;
  std::vector<Array> bits_;
  std::vector<DequeExtent> deques_;
  std::unordered_set<uint64_t> nodes_;
  std::unordered_set<uint64_t> ends_;
};

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_KNOWN_CONTAINERS_H_
