// Hit-path contract: no allocation, lock, lazy TLS, logging, exception; no call out of hit/;
// bounded by the work that is left; general registers only.
#include "agent/hit/text_ops.h"

#include "agent/ring/hit_path.h"

namespace stillframe::hit {
SF_HIT_PATH_BEGIN
namespace {

constexpr uint64_t kPageBytes = 4096;

SF_HIT_INLINE uint64_t Min(uint64_t a, uint64_t b) { return a < b ? a : b; }
SF_HIT_INLINE uint64_t ToPageEnd(uint64_t address) {
  return kPageBytes - (address & (kPageBytes - 1));
}

SF_HIT_INLINE bool Spend(SideWork& work, uint64_t units) {
  if (work.left < units) return false;
  work.left -= units;
  return true;
}

// How much of the text from `at` can be had in one piece.
SF_HIT_INLINE uint64_t PieceSize(const Text& text, uint64_t at, uint64_t wanted) {
  return text.literal != nullptr ? wanted : Min(wanted, ToPageEnd(text.address + at));
}

SF_HIT_INLINE const uint8_t* Piece(const MemoryReader& memory, const Text& text, uint64_t at,
                                   uint64_t size, uint8_t* buffer) {
  if (text.literal != nullptr) return reinterpret_cast<const uint8_t*>(text.literal) + at;
  const auto bytes = static_cast<uint32_t>(size);
  return memory.read(memory.self, text.address + at, buffer, bytes) ? buffer : nullptr;
}

// The first difference of `size` bytes: of `one` from `from` on, of `other` from its beginning.
// Negative, 0 or positive.
__attribute__((noinline)) Code CompareRanges(const MemoryReader& memory, SideWork& work,
                                             uint64_t from, uint64_t size, int64_t& difference) {
  difference = 0;
  for (uint64_t done = 0; done < size;) {
    uint64_t step = Min(size - done, sizeof work.pieces[0]);
    step = PieceSize(work.one, from + done, step);
    step = PieceSize(work.other, done, step);
    if (!Spend(work, step)) return Code::kLimit;
    const uint8_t* const left = Piece(memory, work.one, from + done, step, work.pieces[0]);
    const uint8_t* const right = Piece(memory, work.other, done, step, work.pieces[1]);
    if (left == nullptr || right == nullptr) return Code::kUnreadable;
    for (uint64_t i = 0; i < step; ++i) {
      if (left[i] == right[i]) continue;
      difference = int64_t{left[i]} - int64_t{right[i]};
      return Code::kOk;
    }
    done += step;
  }
  return Code::kOk;
}

// The naive search, paid byte by byte: memory for a cleverer one would have to come from somewhere.
__attribute__((noinline)) Code FindText(const MemoryReader& memory, SideWork& work,
                                        uint64_t& result) {
  uint8_t first = 0;
  const uint8_t* const head = Piece(memory, work.other, 0, 1, &first);
  if (head == nullptr) return Code::kUnreadable;
  first = *head;
  const uint64_t places = work.one.size_bytes - work.other.size_bytes + 1;
  for (uint64_t at = 0; at < places;) {
    const uint64_t step = PieceSize(work.one, at, Min(places - at, sizeof work.window));
    if (!Spend(work, step)) return Code::kLimit;
    const uint8_t* const bytes = Piece(memory, work.one, at, step, work.window);
    if (bytes == nullptr) return Code::kUnreadable;
    for (uint64_t i = 0; i < step; ++i) {
      if (bytes[i] != first) continue;
      int64_t difference = 0;
      const Code code = CompareRanges(memory, work, at + i, work.other.size_bytes, difference);
      if (code != Code::kOk) return code;
      if (difference == 0) {
        result = 1;
        return Code::kOk;
      }
    }
    at += step;
  }
  return Code::kOk;
}

SF_HIT_INLINE bool Follow(const MemoryReader& memory, uint64_t from, uint64_t offset,
                          uint64_t& to) {
  return memory.read(memory.self, from + offset, &to, 8);
}

}  // namespace

Code TestTexts(const MemoryReader& memory, SideWork& work, TextTest test, uint64_t& result) {
  const uint64_t size = work.one.size_bytes;
  const uint64_t other = work.other.size_bytes;
  result = 0;
  if (test == TextTest::kOrder) {
    int64_t difference = 0;
    const Code code = CompareRanges(memory, work, 0, Min(size, other), difference);
    if (difference == 0) difference = size < other ? -1 : size > other ? 1 : 0;
    result = static_cast<uint64_t>(difference);
    return code;
  }
  if (test == TextTest::kEqual ? size != other : size < other) return Code::kOk;
  if (other == 0) {
    result = 1;
    return Code::kOk;
  }
  if (test == TextTest::kContains) return FindText(memory, work, result);
  int64_t difference = 0;
  const uint64_t from = test == TextTest::kEndsWith ? size - other : 0;
  const Code code = CompareRanges(memory, work, from, other, difference);
  result = difference == 0 ? 1 : 0;
  return code;
}

Code TestName(const MemoryReader& memory, SideWork& work, uint64_t& result) {
  const uint64_t size = Min(work.one.size_bytes, sizeof work.window);
  // Each of its bytes may be compared with each line of the list.
  if (!Spend(work, size * kStepWork)) return Code::kLimit;
  for (uint64_t done = 0; done < size;) {
    const uint64_t step = Min(size - done, ToPageEnd(work.one.address + done));
    if (!memory.read(memory.self, work.one.address + done, work.window + done,
                     static_cast<uint32_t>(step))) {
      return Code::kUnreadable;
    }
    done += step;
  }
  const auto* const name = reinterpret_cast<const char*>(work.window);
  result = IsOnNameList(work.other.literal, work.other.size_bytes, name, size) ? 1 : 0;
  return Code::kOk;
}

Code MeasureText(const MemoryReader& memory, SideWork& work, uint64_t max_bytes, bool is_array,
                 uint64_t& address) {
  for (uint64_t at = 0; at < max_bytes;) {
    const uint64_t wanted = Min(max_bytes - at, sizeof work.window);
    const uint64_t step = Min(wanted, ToPageEnd(address + at));
    if (!Spend(work, step)) return Code::kLimit;
    if (!memory.read(memory.self, address + at, work.window, static_cast<uint32_t>(step))) {
      return Code::kUnreadable;
    }
    for (uint64_t i = 0; i < step; ++i) {
      if (work.window[i] != 0) continue;
      address = at + i;
      return Code::kOk;
    }
    at += step;
  }
  address = max_bytes;
  return is_array ? Code::kOk : Code::kLimit;
}

Code NextInOrder(const MemoryReader& memory, SideWork& work, const Insn& insn, uint64_t& node) {
  uint64_t next = 0;
  if (!Follow(memory, node, insn.b, next)) return Code::kUnreadable;
  if (next != 0) {  // the leftmost one below the right link
    for (uint64_t left = next; left != 0;) {
      if (!Spend(work, kNodeWork)) return Code::kLimit;
      next = left;
      if (!Follow(memory, next, insn.a, left)) return Code::kUnreadable;
    }
    node = next;
    return Code::kOk;
  }
  for (;;) {  // the first one above of which this is not to the right
    if (!Spend(work, kNodeWork)) return Code::kLimit;
    uint64_t right = 0;
    if (!Follow(memory, node, static_cast<uint64_t>(insn.imm), next)) return Code::kUnreadable;
    if (!Follow(memory, next, insn.b, right)) return Code::kUnreadable;
    const bool is_right = right == node;
    node = next;
    if (!is_right) return Code::kOk;
  }
}

SF_HIT_PATH_END
}  // namespace stillframe::hit
