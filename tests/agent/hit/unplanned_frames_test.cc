// What a capture copies for callers whose code nobody has looked at yet.
#include "agent/hit/unplanned_frames.h"

#include <sys/mman.h>

#include <array>
#include <random>

#include "tests/agent/hit/test_plan.h"

namespace stillframe::hit {
namespace {

struct Node {
  Node* next;
  uint64_t number;
  uint64_t rest[30];
};

// A caller's part of the stack, with whatever words a test puts there.
class UnplannedFramesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Initialize({uint64_t{1} << 40, 0, 0}).ok());
    ASSERT_TRUE(SetGuardedReads(true).ok());  // makes the agent look at what is readable
    words_.fill(0);
    slot_.resize(ring::kSlotBytes / 8);
  }
  void TearDown() override { ASSERT_TRUE(SetGuardedReads(false).ok()); }

  uint64_t* words() { return words_.data(); }
  static uint64_t Address(const void* object) { return reinterpret_cast<uint64_t>(object); }

  // Of a frame that is all of words_, with this value in rbx.
  RecordWriter& Capture(uint64_t rbx = 0, uint32_t limit_bytes = 64 * 1024) {
    record_.emplace(reinterpret_cast<uint8_t*>(slot_.data()), limit_bytes);
    record_->EndFrames(1);
    UnplannedFrames frames(*record_, nullptr, ~uint64_t{0});
    FrameRecord frame{};
    frame.rsp = Address(words_.data());
    frame.cfa = frame.rsp + sizeof words_;
    frame.valid = 1;
    frame.saved[0] = rbx;
    frames.Add(frame);
    frames.Run();
    record_->Finish();
    return *record_;
  }

  bool Has(const void* object, uint32_t size_bytes) {
    const uint8_t* at = record_->slot() + sizeof(RecordHeader) + sizeof(FrameRecord);
    for (uint32_t i = 0; i < record_->header().chunk_count; ++i) {
      ChunkHeader chunk;
      std::memcpy(&chunk, at, sizeof chunk);
      at += sizeof chunk;
      if (chunk.status != kChunkOk) continue;
      const uint64_t offset = Address(object) - chunk.address;
      if (offset < chunk.size_bytes && size_bytes <= chunk.size_bytes - offset &&
          std::memcmp(at + offset, object, size_bytes) == 0) {
        return true;
      }
      at += (chunk.size_bytes + 7) & ~7u;
    }
    return false;
  }

  std::array<uint64_t, 64> words_;
  std::vector<uint64_t> slot_;
  std::optional<RecordWriter> record_;
};

TEST_F(UnplannedFramesTest, TheFrameAndWhatItsWordsAndRegistersLeadTo) {
  std::array<std::unique_ptr<Node>, 6> chain;
  for (auto& node : chain) node = std::make_unique<Node>();
  for (int i = 0; i < 5; ++i) chain[i]->next = chain[i + 1].get();
  auto by_register = std::make_unique<Node>();
  by_register->number = 17;
  words_[9] = Address(chain[0].get());
  Capture(Address(by_register.get()));
  EXPECT_TRUE(Has(words(), sizeof words_));
  EXPECT_TRUE(Has(by_register.get(), sizeof(Node)));
  EXPECT_TRUE(Has(chain[0].get(), sizeof(Node)));  // near: whole
  EXPECT_TRUE(Has(chain[1].get(), 96));            // far: its beginning
  EXPECT_TRUE(Has(chain[2].get(), 96));
  EXPECT_FALSE(Has(chain[3].get(), 16));
  EXPECT_EQ(record_->header().flags & kRecordTruncated, 0u);
}

TEST_F(UnplannedFramesTest, WordsThatAreNoAddressesAreLeftAlone) {
  words_[0] = 5;
  words_[1] = 0xffff;
  words_[2] = ~uint64_t{0};
  words_[3] = uint64_t{1} << 63;
  words_[4] = 0x3ff8'0000'0000'0000;  // 1.5
  Capture();
  EXPECT_EQ(record_->header().chunk_count, 1u);
}

TEST_F(UnplannedFramesTest, TheSameObjectIsCopiedOnce) {
  auto node = std::make_unique<Node>();
  node->next = node.get();
  for (uint64_t& word : words_) word = Address(node.get());
  Capture(Address(node.get()));
  EXPECT_EQ(record_->header().chunk_count, 2u);
}

TEST_F(UnplannedFramesTest, MemoryThatIsNewIsTriedWithinABound) {
  // Mapped after the look at the maps; one page of it is unreadable.
  constexpr size_t kPage = 4096;
  void* map = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(map, MAP_FAILED);
  ASSERT_EQ(mprotect(static_cast<char*>(map) + kPage, kPage, PROT_NONE), 0);
  auto* node = static_cast<Node*>(map);
  node->number = 99;
  words_[3] = Address(node);
  words_[4] = Address(map) + kPage + 64;
  Capture();
  EXPECT_TRUE(Has(node, 16));
  EXPECT_FALSE(Has(&node, 8));
  munmap(map, 2 * kPage);
}

TEST_F(UnplannedFramesTest, TakesWhatIsLeftOfTheLimitAndSaysNothingOfIt) {
  std::vector<std::unique_ptr<Node>> nodes;
  for (uint64_t& word : words_) {
    nodes.push_back(std::make_unique<Node>());
    word = Address(nodes.back().get());
  }
  Capture(0, 1);  // the least that a record has, which is not enough for all of them
  EXPECT_EQ(record_->header().flags & kRecordTruncated, 0u);
  EXPECT_TRUE(Has(nodes[0].get(), sizeof(Node)));
  EXPECT_FALSE(Has(nodes[63].get(), sizeof(Node)));
  EXPECT_LE(record_->header().size_bytes, 16u * 1024);
}

TEST_F(UnplannedFramesTest, GarbageIsHarmless) {
  std::mt19937_64 random(5);
  auto heap = std::make_unique<std::array<uint64_t, 4096>>();
  for (int round = 0; round < 2000; ++round) {
    for (uint64_t& word : words_) {
      const uint64_t r = random();
      word = r % 3 == 0   ? random() >> (random() % 64)
             : r % 3 == 1 ? Address(heap->data()) + random() % sizeof *heap
                          : Address(words()) + random() % 8192 - 4096;
    }
    for (uint64_t& word : *heap) word = Address(heap->data()) + random() % 65'536 - 16'384;
    Capture(random());
    ASSERT_LE(record_->header().size_bytes, 36u * 1024);
  }
}

}  // namespace
}  // namespace stillframe::hit
