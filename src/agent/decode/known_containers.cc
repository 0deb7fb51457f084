#include "agent/decode/known_containers.h"

namespace stillframe::decode {
namespace {

// A snapshot shows at most 5,000 values.
constexpr size_t kMostContainers = 5000;

// Whether an iterator there shows an element; the one before it when it goes backwards.
bool ShowsElement(const Position& at, bool reversed) {
  return reversed ? at.index != 0 : at.index != at.count;
}

// One answer of several containers; false when they differ.
bool Agree(std::optional<Position>& all, const Position& one, bool reversed) {
  if (all && ShowsElement(*all, reversed) != ShowsElement(one, reversed)) return false;
  all = one;
  return true;
}

}  // namespace

void KnownContainers::AddArray(uint64_t begin, uint64_t count, uint64_t stride) {
  if (closed_ || begin == 0 || stride == 0 || arrays_.size() >= kMostContainers) return;
  arrays_.push_back({begin, count, stride});
}

void KnownContainers::AddBits(uint64_t begin, uint64_t count) {
  if (closed_ || begin == 0 || bits_.size() >= kMostContainers) return;
  bits_.push_back({begin, count, 0});
}

void KnownContainers::AddDeque(const DequeExtent& extent) {
  if (closed_ || extent.map == 0 || extent.per_block == 0) return;
  if (deques_.size() < kMostContainers) deques_.push_back(extent);
}

void KnownContainers::AddListNode(uint64_t node) {
  if (!closed_ && nodes_.size() < kMostContainers) nodes_.insert(node);
}

void KnownContainers::AddListEnd(uint64_t node) {
  if (!closed_ && ends_.size() < kMostContainers) ends_.insert(node);
}

std::optional<Position> KnownContainers::InArray(uint64_t address, uint64_t stride, bool reversed) {
  asked_ = true;
  std::optional<Position> found;
  for (const Array& array : arrays_) {
    const uint64_t offset = address - array.begin;
    if (array.stride != stride || address < array.begin || offset % stride != 0) continue;
    const Position at{offset / stride, array.count};
    if (at.index <= at.count && !Agree(found, at, reversed)) return std::nullopt;
  }
  return found;
}

std::optional<Position> KnownContainers::OfBit(uint64_t word, uint64_t bit, bool reversed) {
  asked_ = true;
  std::optional<Position> found;
  for (const Array& bits : bits_) {
    if (word < bits.begin || (word - bits.begin) % 8 != 0) continue;
    const Position at{(word - bits.begin) * 8 + bit, bits.count};
    if (at.index <= at.count && !Agree(found, at, reversed)) return std::nullopt;
  }
  return found;
}

std::optional<Position> KnownContainers::InDeque(uint64_t block, uint64_t offset, bool reversed) {
  asked_ = true;
  std::optional<Position> found;
  for (const DequeExtent& deque : deques_) {
    if (block < deque.map || (block - deque.map) % 8 != 0) continue;
    const uint64_t blocks = (block - deque.map) / 8;
    if (blocks > deque.start + deque.count) continue;
    const uint64_t index = blocks * deque.per_block + offset;
    if (index < deque.start) continue;
    const Position at{index - deque.start, deque.count};
    if (at.index <= at.count && !Agree(found, at, reversed)) return std::nullopt;
  }
  return found;
}

bool KnownContainers::IsListNode(uint64_t node) {
  asked_ = true;
  return nodes_.count(node) != 0;
}

bool KnownContainers::IsListEnd(uint64_t node) {
  asked_ = true;
  return ends_.count(node) != 0;
}

}  // namespace stillframe::decode
