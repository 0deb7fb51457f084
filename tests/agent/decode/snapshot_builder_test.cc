// A record of this very program, decoded with the plan of its own debug information; then the same
// record damaged in every way that a wild store could damage it.
#include "agent/decode/snapshot_builder.h"

#include <gtest/gtest.h>
#include <link.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {

// Heap of the code under observation: one chunk of the record.
alignas(64) uint8_t g_arena[1 << 15];
size_t g_used = 0;
bool g_in_arena = false;

void* Allocate(size_t size) {
  if (!g_in_arena) return std::malloc(size);
  void* at = g_arena + g_used;
  g_used += (size + 15) & ~size_t{15};
  if (g_used > sizeof g_arena) std::abort();
  return at;
}

void Free(void* at) {
  const uint64_t offset = reinterpret_cast<uint64_t>(at) - reinterpret_cast<uint64_t>(g_arena);
  asm volatile("" : "+r"(at));  // GCC takes g_arena for what is freed
  if (offset >= sizeof g_arena) std::free(at);
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void operator delete(void* at) noexcept { Free(at); }
void operator delete(void* at, size_t) noexcept { Free(at); }

namespace stillframe::decode {
namespace {

enum class Tier { kBasic, kGold };
struct Item {
  std::string sku;
  int quantity = 0;
};
struct Order {
  long id = 0;
  std::vector<Item> items;
  std::map<std::string, int> tags;
  std::unordered_map<int, std::string> names;
  std::optional<double> rate;
  std::variant<int, std::string> payment;
  std::shared_ptr<Order> parent;
  std::unique_ptr<Item> gift;
  Order* self = nullptr;  // a cycle
  Tier tier = Tier::kBasic;
  int cells[2][3] = {};
  unsigned low : 3;
  unsigned high : 5;
};

void Append(std::vector<uint8_t>& out, const void* bytes, size_t size) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  out.insert(out.end(), from, from + size);
}

void AppendChunk(std::vector<uint8_t>& out, const void* bytes, uint32_t size) {
  const ChunkHeader header{reinterpret_cast<uint64_t>(bytes), size, kChunkOk};
  Append(out, &header, sizeof header);
  Append(out, bytes, size);
  out.resize((out.size() + 7) & ~size_t{7});
}

constexpr const char* kFile = "tests/agent/decode/snapshot_builder_test.cc";
constexpr uint32_t kLine = __LINE__ + 20;

// Its frame and everything it points to, as a hit at kLine would leave them.
__attribute__((noinline)) std::vector<uint8_t> Observe() {
  g_in_arena = true;
  Order order;
  order.id = 17;
  order.items = {{"sku-1", 2}, {"a sku that is too long to be stored in place", 3}};
  order.tags = {{"a", 1}, {"b", 2}};
  order.names = {{5, "five"}};
  order.rate = 1.5;
  order.payment = std::string("card");
  order.parent = std::make_shared<Order>();
  order.gift = std::make_unique<Item>(Item{"gift", 1});
  order.self = &order;
  order.tier = Tier::kGold;
  order.cells[1][2] = 42;
  order.low = 5;
  order.high = 17;
  g_in_arena = false;
  asm volatile("" : : "r"(&order) : "memory");  // kLine
  std::vector<uint8_t> record(sizeof(RecordHeader));
  FrameRecord frame{};
  frame.cfa = reinterpret_cast<uint64_t>(__builtin_dwarf_cfa());
  Append(record, &frame, sizeof frame);
  AppendChunk(record, &order, sizeof order);
  AppendChunk(record, g_arena, sizeof g_arena);
  RecordHeader header{};
  header.magic = kRecordMagic;
  header.size_bytes = static_cast<uint32_t>(record.size());
  header.frame_count = 1;
  header.chunk_count = 2;
  header.thread_id = 7;
  // What locations may be based on, by DWARF's numbers: the CFA, rsp or rbp (Clang), any register
  // that calls preserve (AddressSanitizer's frames).
  uint64_t* const gpr = header.registers.gpr;
  asm("mov %%rsp, %0\n\tmov %%rbp, %1\n\tmov %%rbx, %2" : "=m"(gpr[7]), "=m"(gpr[6]), "=m"(gpr[3]));
  asm("mov %%r12, %0\n\tmov %%r13, %1\n\tmov %%r14, %2\n\tmov %%r15, %3"
      : "=m"(gpr[12]), "=m"(gpr[13]), "=m"(gpr[14]), "=m"(gpr[15]));
  std::memcpy(record.data(), &header, sizeof header);
  return record;
}

class SnapshotBuilderTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    record_ = new std::vector<uint8_t>(Observe());
    symbolizer_ = Symbolizer::Create({}).release();
    auto module = symbolizer_->OpenModule("/proc/self/exe", "");
    ASSERT_TRUE(module.ok()) << module.status().ToString();
    PlanRequest request;
    request.file = kFile;
    request.line = kLine;
    request.expressions = {"order.id", "order.items.size()"};
    auto plan = (*module)->Compile(request);
    ASSERT_TRUE(plan.ok()) << plan.status().ToString();
    plan_ = new ProbePlan(std::move(*plan));
    for (size_t i = 0; i < plan_->sites.size(); ++i) {
      const auto function = plan_->unit.strings[plan_->sites[i].function];
      if (function.find("Observe") != std::string::npos) site_ = static_cast<uint32_t>(i);
    }
  }

  static uint64_t LoadBias() {
    uint64_t bias = 0;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* out) {
          *static_cast<uint64_t*>(out) = info->dlpi_addr;
          return 1;  // the executable comes first
        },
        &bias);
    return bias;
  }

  static Result<model::Snapshot> Build(std::vector<uint8_t> record) {
    std::memcpy(record.data() + offsetof(RecordHeader, site_index), &site_, sizeof site_);
    return BuildDamaged(record);
  }

  static Result<model::Snapshot> BuildDamaged(std::span<const uint8_t> record) {
    BuildInput input;
    input.record = record;
    input.plan = plan_;
    input.load_bias = LoadBias();
    input.limits.depth = 6;
    return BuildSnapshot(input);
  }

  static const model::Value* Find(const model::Value& in, std::string_view name) {
    for (const model::Value& child : in.children) {
      if (child.name == name) return &child;
    }
    return nullptr;
  }

  static std::vector<uint8_t>* record_;
  static Symbolizer* symbolizer_;
  static ProbePlan* plan_;
  static uint32_t site_;
};

std::vector<uint8_t>* SnapshotBuilderTest::record_ = nullptr;
Symbolizer* SnapshotBuilderTest::symbolizer_ = nullptr;
ProbePlan* SnapshotBuilderTest::plan_ = nullptr;
uint32_t SnapshotBuilderTest::site_ = 0;

TEST_F(SnapshotBuilderTest, ShowsWhatWasThere) {
  const auto snapshot = Build(*record_);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_EQ(snapshot->thread_id, 7u);
  ASSERT_FALSE(snapshot->frames.empty());
  const model::Frame& frame = snapshot->frames[0];
  EXPECT_EQ(frame.line, kLine);
  const model::Value* order = nullptr;
  for (const model::Value& variable : frame.variables) {
    if (variable.name == "order") order = &variable;
  }
  ASSERT_NE(order, nullptr);
  const std::pair<const char*, const char*> expected[] = {
      {"id", "17"},    {"items", "size=2"}, {"tags", "size=2"}, {"names", "size=1"},
      {"rate", "1.5"}, {"low", "5"},        {"high", "17"}};
  for (const auto& [name, text] : expected) {
    const model::Value* value = Find(*order, name);
    ASSERT_NE(value, nullptr) << name;
    EXPECT_EQ(value->value, text) << name;
  }
  const model::Value* items = Find(*order, "items");
  ASSERT_EQ(items->children.size(), 2u);
  EXPECT_EQ(Find(items->children[1], "sku")->value,
            "\"a sku that is too long to be stored in place\"");
  EXPECT_EQ(Find(*Find(*order, "tags"), "[\"b\"]")->value, "2");
  EXPECT_NE(Find(*order, "tier")->value.find("kGold"), std::string::npos);
  ASSERT_EQ(snapshot->expressions.size(), 2u);
  EXPECT_EQ(snapshot->expressions[0].value, "17");
  EXPECT_EQ(snapshot->expressions[1].value, "2");
}

TEST_F(SnapshotBuilderTest, TruncatedRecordsAreRefusedOrPartial) {
  for (size_t size = 0; size < record_->size(); size += size < 2000 ? 1 : 509) {
    std::vector<uint8_t> cut(record_->begin(), record_->begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(BuildDamaged(cut).ok()) << size;
  }
}

TEST_F(SnapshotBuilderTest, DamageIsSurvivedInBoundedTime) {
  const char* rounds_text = std::getenv("STILLFRAME_FUZZ_ROUNDS");
  const int rounds = rounds_text == nullptr ? 3'000 : std::atoi(rounds_text);
  std::mt19937_64 random(20261123);
  // What is looked at is mostly in front: header, frames, the object itself.
  const size_t front = sizeof(RecordHeader) + sizeof(FrameRecord) + sizeof(Order) + 1024;
  const uint64_t interesting[] = {0,
                                  1,
                                  ~uint64_t{0},
                                  uint64_t{1} << 63,
                                  0x7fff'ffff'ffff,
                                  reinterpret_cast<uint64_t>(g_arena),
                                  record_->size()};
  size_t decoded = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<uint8_t> record = *record_;
    std::memcpy(record.data() + offsetof(RecordHeader, site_index), &site_, sizeof site_);
    const int changes = 1 + static_cast<int>(random() % 12);
    for (int i = 0; i < changes; ++i) {
      const size_t within = random() % 4 == 0 ? record.size() : std::min(front, record.size());
      const size_t at = random() % (within - 8);
      if (random() % 2 == 0) {
        record[at] = static_cast<uint8_t>(random());
      } else {
        const uint64_t value = interesting[random() % std::size(interesting)];
        std::memcpy(record.data() + (at & ~size_t{7}), &value, sizeof value);
      }
    }
    const auto start = std::chrono::steady_clock::now();
    decoded += BuildDamaged(record).ok() ? 1 : 0;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2)) << round;
  }
  EXPECT_GT(decoded, static_cast<size_t>(rounds) / 10);  // else it tests nothing
}

}  // namespace
}  // namespace stillframe::decode
