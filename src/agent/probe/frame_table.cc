// A hash table of chains that only grow. A node belongs to its bucket for ever; its range may be
// taken out and another put in, which a version count tells readers of (a sequence lock each).
#include "agent/probe/frame_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

namespace stillframe::probe {
namespace {

// A range is looked for at the block of the pc and at the one before, so none is longer: code that
// is longer has several.
constexpr uint32_t kBlockBytes = 512;
constexpr uint32_t kBuckets = 8192;

struct Node {
  std::atomic<uint32_t> version{0};     // odd while it changes
  std::atomic<uint32_t> size_bytes{0};  // 0: free
  std::atomic<uint64_t> start{0};
  std::atomic<uint64_t> code_start{0};  // of the code that this is a part of
  std::atomic<uint32_t> code_bytes{0};
  std::atomic<const uint8_t*> header{nullptr};
  // Of the first part, which owns the header. A removed one keeps it until the node is used again:
  // an unwinder may have looked it up just before.
  std::unique_ptr<uint8_t[]> owned;
  std::atomic<Node*> next{nullptr};
};

std::atomic<Node*> g_buckets[kBuckets];
uint32_t g_count = 0;

std::atomic<Node*>& Bucket(uint64_t block) {
  return g_buckets[(block * 0x9E3779B97F4A7C15u) >> (64 - 13)];
}
static_assert(kBuckets == 1u << 13);

bool FindIn(uint64_t block, uint64_t pc, FoundFrames& found) {
  for (const Node* node = Bucket(block).load(std::memory_order_acquire); node != nullptr;
       node = node->next.load(std::memory_order_acquire)) {
    const uint32_t version = node->version.load(std::memory_order_acquire);
    const uint64_t start = node->start.load(std::memory_order_relaxed);
    const uint32_t size_bytes = node->size_bytes.load(std::memory_order_relaxed);
    const FoundFrames frames{node->code_start.load(std::memory_order_relaxed),
                             node->code_bytes.load(std::memory_order_relaxed),
                             node->header.load(std::memory_order_relaxed)};
    std::atomic_thread_fence(std::memory_order_acquire);
    // One that changes just now is no range that a thread is in.
    if (version % 2 != 0 || node->version.load(std::memory_order_relaxed) != version) continue;
    if (pc - start >= size_bytes) continue;
    found = frames;
    return true;
  }
  return false;
}

Node* FindFree(std::atomic<Node*>& bucket) {
  for (Node* node = bucket.load(std::memory_order_relaxed); node != nullptr;
       node = node->next.load(std::memory_order_relaxed)) {
    if (node->size_bytes.load(std::memory_order_relaxed) == 0) return node;
  }
  Node* const node = new (std::nothrow) Node;
  if (node == nullptr) return nullptr;
  node->next.store(bucket.load(std::memory_order_relaxed), std::memory_order_relaxed);
  bucket.store(node, std::memory_order_release);
  return node;
}

template <typename Change>
void ChangeNode(Node& node, Change change) {
  const uint32_t version = node.version.load(std::memory_order_relaxed);
  node.version.store(version + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  change(node);
  node.version.store(version + 2, std::memory_order_release);
}

// version 1, the address of the .eh_frame as it is, no search table: it has one entry.
constexpr uint8_t kHeader[] = {1, 0x00 /* DW_EH_PE_absptr */, 0xFF, 0xFF /* DW_EH_PE_omit */};

std::unique_ptr<uint8_t[]> MakeHeader(const std::vector<uint8_t>& eh_frame) {
  constexpr size_t kFrameOffset = 16;  // behind the header and the address, aligned
  std::unique_ptr<uint8_t[]> made(new (std::nothrow) uint8_t[kFrameOffset + eh_frame.size()]());
  if (made == nullptr) return made;
  std::memcpy(made.get(), kHeader, sizeof kHeader);
  const auto address = reinterpret_cast<uint64_t>(made.get() + kFrameOffset);
  std::memcpy(made.get() + sizeof kHeader, &address, sizeof address);
  std::memcpy(made.get() + kFrameOffset, eh_frame.data(), eh_frame.size());
  return made;
}

}  // namespace

void AddFrames(uint64_t start, uint32_t size_bytes, const std::vector<uint8_t>& eh_frame) {
  RemoveFrames(start);
  std::unique_ptr<uint8_t[]> header = MakeHeader(eh_frame);
  if (header == nullptr) return;
  const uint8_t* const bytes = header.get();
  for (uint32_t offset = 0; offset < size_bytes; offset += kBlockBytes) {
    Node* const node = FindFree(Bucket((start + offset) / kBlockBytes));
    if (node == nullptr) return;
    ChangeNode(*node, [&](Node& changed) {
      changed.start.store(start + offset, std::memory_order_relaxed);
      changed.size_bytes.store(std::min(kBlockBytes, size_bytes - offset),
                               std::memory_order_relaxed);
      changed.code_start.store(start, std::memory_order_relaxed);
      changed.code_bytes.store(size_bytes, std::memory_order_relaxed);
      changed.header.store(bytes, std::memory_order_relaxed);
    });
    node->owned = std::move(header);  // empty but for the first
    ++g_count;
  }
}

void RemoveFrames(uint64_t start) {
  uint32_t code_bytes = 0;
  uint32_t offset = 0;
  do {
    Node* node = Bucket((start + offset) / kBlockBytes).load(std::memory_order_relaxed);
    for (; node != nullptr; node = node->next.load(std::memory_order_relaxed)) {
      if (node->size_bytes.load(std::memory_order_relaxed) != 0 &&
          node->start.load(std::memory_order_relaxed) == start + offset &&
          node->code_start.load(std::memory_order_relaxed) == start) {
        break;
      }
    }
    if (node == nullptr) return;
    code_bytes = node->code_bytes.load(std::memory_order_relaxed);
    ChangeNode(*node,
               [](Node& changed) { changed.size_bytes.store(0, std::memory_order_relaxed); });
    --g_count;
    offset += kBlockBytes;
  } while (offset < code_bytes);
}

bool FindFrames(uint64_t pc, FoundFrames& found) {
  const uint64_t block = pc / kBlockBytes;
  return FindIn(block, pc, found) || FindIn(block - 1, pc, found);
}

uint32_t FrameCount() { return g_count; }

}  // namespace stillframe::probe
