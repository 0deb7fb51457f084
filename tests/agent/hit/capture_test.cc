// What a capture copies, over real objects of this process.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <random>
#include <unordered_map>
#include <variant>

#include "tests/agent/hit/test_plan.h"

namespace stillframe::hit {
namespace {

class CaptureTest : public testing::Test {
 protected:
  // A second that lasts long: a test thread that has to wait for a processor does not run out of
  // time.
  void SetUp() override { ASSERT_TRUE(Initialize({uint64_t{1} << 40, 0, 0}).ok()); }
  void TearDown() override { TestRecord::Drain(); }

  TestRecord Capture() {
    TestProbe probe(plan_);
    probe.runtime().limits = limits_;
    RegisterFile registers;
    stillframe_test_registers(&registers);
    stillframe_hit(&probe.site(), &registers);
    EXPECT_EQ(probe.Sums().count[kCaptured], 1u);
    auto record = TestRecord::Take();
    EXPECT_TRUE(record.has_value());
    EXPECT_LE(record->header().size_bytes, limits_.bytes < 16384 ? 16384u : limits_.bytes);
    return *record;
  }

  TestPlan plan_;
  CaptureLimits limits_;
};

const std::string kLong = "a text that is too long for the small string buffer";

TEST_F(CaptureTest, StringsOnTheHeapAndVectorsOfThem) {
  auto texts = std::make_unique<std::vector<std::string>>();
  for (int i = 0; i < 20; ++i) texts->push_back(kLong + std::to_string(i));
  plan_.AddObject(plan_.AddVector(plan_.AddString()), texts.get());
  const TestRecord record = Capture();
  EXPECT_TRUE(record.Has(*texts));
  for (const std::string& text : *texts) {
    EXPECT_TRUE(record.Has(text));
    EXPECT_TRUE(record.HasBytes(text.data(), text.size()));
  }
  EXPECT_EQ(record.header().flags & kRecordTruncated, 0u);
}

TEST_F(CaptureTest, ItemsAndStringBytesAreLimits) {
  limits_.items = 3;
  limits_.string_bytes = 10;
  auto texts = std::make_unique<std::vector<std::string>>(8, std::string(600, 'x'));
  plan_.AddObject(plan_.AddVector(plan_.AddString()), texts.get());
  const TestRecord record = Capture();
  EXPECT_TRUE(record.Has((*texts)[2]));
  EXPECT_FALSE(record.Has((*texts)[3]));
  // Of a text more than is shown, to tell whether it is a secret.
  EXPECT_TRUE(record.HasBytes((*texts)[2].data(), kCheckedTextBytes + 1));
  EXPECT_EQ(record.Find((*texts)[2].data(), kCheckedTextBytes + 2), nullptr);
}

struct Node {
  Node* next;
  uint64_t number;
};

// Nodes far apart, so that none comes along with another.
struct Chain {
  explicit Chain(int count) {
    for (int i = 0; i < count; ++i) pages.push_back(std::make_unique<Page>());
    for (int i = 0; i + 1 < count; ++i) pages[i]->node.next = &pages[i + 1]->node;
  }
  struct Page {
    Node node{};
    char rest[20000] = {};
  };
  std::vector<std::unique_ptr<Page>> pages;
  const Node& operator[](int i) const { return pages[i]->node; }
};

TypeId AddNodeType(TestPlan& plan) {
  const TypeId node = plan.AddStruct(sizeof(Node), {});
  const TypeId pointer = plan.AddType(TypeKind::kPointer, 8, node);
  const TypeId number = plan.AddType(TypeKind::kUnsigned, 8);
  plan.SetFields(node, {{pointer, 0}, {number, 8}});
  return node;
}

TEST_F(CaptureTest, DepthCountsMembersAndPointees) {
  Chain chain(6);
  plan_.AddObject(AddNodeType(plan_), &chain[0]);
  for (const uint32_t depth : {0u, 1u, 2u, 3u, 4u}) {
    limits_.depth = depth;
    const TestRecord record = Capture();
    // Node 0 is at level 0, its pointer at 1, node 1 at 2, its pointer at 3, node 2 at 4.
    EXPECT_TRUE(record.Has(chain[0]));
    EXPECT_EQ(record.Has(chain[1]), depth >= 2) << depth;
    EXPECT_EQ(record.Has(chain[2]), depth >= 4) << depth;
    EXPECT_FALSE(record.Has(chain[3]));
  }
}

// Rows of pointers, of which the frame says how many there are: 6 x 5.
TEST_F(CaptureTest, RowsOfVariableLength) {
  constexpr uint32_t kRows = 6, kColumns = 5;
  Chain chain(kRows * kColumns);
  std::vector<const Node*> table;
  for (int i = 0; i < static_cast<int>(kRows * kColumns); ++i) table.push_back(&chain[i]);
  const TypeId pointer = plan_.AddType(TypeKind::kPointer, 8, AddNodeType(plan_), kFlagNeedsWalk);
  const auto array = [&](TypeId element) {
    return plan_.AddType(TypeKind::kArray, 0, element, kFlagCountedByVariable | kFlagNeedsWalk);
  };
  const TypeId rows = array(array(pointer));
  plan_.AddObject(rows, table.data());
  const auto capture = [&](int64_t first, int64_t second) {
    plan_.unit.extents.clear();
    for (const int64_t count : {first, second}) {
      plan_.unit.extents.push_back({static_cast<uint32_t>(plan_.unit.code.size()), 2});
      plan_.unit.code.push_back(I(Op::kConst, count));
      plan_.unit.code.push_back(I(Op::kReturn));
    }
    plan_.unit.variables.back().extent_count = 2;
    return Capture();
  };
  limits_.items = 3;
  const TestRecord record = capture(kRows, kColumns);
  for (uint32_t i = 0; i < kRows; ++i) {
    for (uint32_t j = 0; j < kColumns; ++j) {
      const auto index = static_cast<int>(i * kColumns + j);
      EXPECT_EQ(record.Has(chain[index]), i < 3 && j < 3) << i << ' ' << j;
    }
  }
  // What a garbled frame says is not followed: the decoder says how large it would be.
  for (const int64_t garbage : {INT64_MAX, INT64_MIN, int64_t{1} << 32, int64_t{0}}) {
    EXPECT_FALSE(capture(garbage, kColumns).Has(chain[0])) << garbage;
    EXPECT_FALSE(capture(kRows, garbage).Has(chain[0])) << garbage;
  }
  limits_.depth = 2;  // the pointers are on level 2, nothing there is followed
  EXPECT_FALSE(capture(kRows, kColumns).Has(chain[0]));
}

TEST_F(CaptureTest, ReferencesBasesAndAnonymousMembersCostNoLevel) {
  Chain chain(2);
  const TypeId node = AddNodeType(plan_);
  const Node* target = &chain[0];
  const TypeId reference = plan_.AddType(TypeKind::kReference, 8, node);
  const TypeId inner = plan_.AddStruct(8, {{reference, 0, kMemberBase}});
  const TypeId outer = plan_.AddStruct(8, {{inner, 0, kMemberAnonymous}});
  plan_.AddObject(outer, &target);
  limits_.depth = 2;  // the node is at level 0 still, its pointer at 1, the next node at 2
  const TestRecord record = Capture();
  EXPECT_TRUE(record.Has(chain[0]));
  EXPECT_TRUE(record.Has(chain[1]));
}

TEST_F(CaptureTest, ACycleEnds) {
  auto node = std::make_unique<Node>();
  node->next = node.get();
  plan_.AddObject(AddNodeType(plan_), node.get());
  limits_.depth = 200;
  const TestRecord record = Capture();
  EXPECT_TRUE(record.Has(*node));
  EXPECT_LE(record.Chunks().size(), 4u);  // found again, not copied again
}

TEST_F(CaptureTest, RedactedVariablesAndMembersAreNotFollowed) {
  Chain chain(3);
  const Node* first = &chain[0];
  const Node* second = &chain[1];
  const TypeId node = AddNodeType(plan_);
  const TypeId pointer = plan_.AddType(TypeKind::kPointer, 8, node);
  plan_.AddObject(pointer, &first).flags = kVariableRedacted;
  plan_.AddObject(plan_.AddStruct(8, {{pointer, 0, kMemberRedacted}}), &second);
  const TypeId secret = plan_.AddType(TypeKind::kPointer, 8, node);
  plan_.unit.types[secret].flags |= kFlagRedacted;
  const Node* third = &chain[2];
  plan_.AddObject(secret, &third);
  const TestRecord record = Capture();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(record.Has(chain[i])) << i;
}

TEST_F(CaptureTest, CStringsStopAtAnUnreadablePage) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* map = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(map, MAP_FAILED);
  ASSERT_EQ(mprotect(static_cast<char*>(map) + page, page, PROT_NONE), 0);
  char* const text = static_cast<char*>(map) + page - 6;
  std::memcpy(text, "hello", 6);
  const char* pointer = text;
  plan_.AddObject(plan_.AddType(TypeKind::kPointer, 8, plan_.AddType(TypeKind::kChar, 1)),
                  &pointer);
  const TestRecord record = Capture();
  EXPECT_TRUE(record.HasBytes(text, 6));
  munmap(map, 2 * page);
}

TEST_F(CaptureTest, BadPointersAreMarkedAndTheRestIsCopied) {
  Chain chain(3);
  std::vector<const Node*> pointers = {&chain[0], reinterpret_cast<Node*>(0x10),
                                       &chain[1], reinterpret_cast<Node*>(0xdead'beef'0000'0000),
                                       nullptr,   &chain[2]};
  const TypeId pointer = plan_.AddType(TypeKind::kPointer, 8, AddNodeType(plan_));
  plan_.AddObject(plan_.AddVector(pointer), &pointers);
  const TestRecord record = Capture();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(record.Has(chain[i])) << i;
  EXPECT_TRUE(record.IsUnreadable(0x10));
  EXPECT_TRUE(record.IsUnreadable(0xdead'beef'0000'0000));
}

TEST_F(CaptureTest, MapsInOrderAndChainsOfHashNodes) {
  const TypeId number = plan_.AddType(TypeKind::kSigned, 8);
  const TypeId pair = plan_.AddStruct(16, {{number, 0}, {number, 8}});
  View tree;
  tree.kind = ViewKind::kTree;
  tree.key_value = 1;
  tree.a = 24;
  tree.b = 40;
  tree.c = 32;
  tree.d = 8;
  tree.parent = 8;
  tree.left = 16;
  tree.right = 24;
  tree.element = pair;
  View hash;
  hash.kind = ViewKind::kHash;
  hash.key_value = 1;
  hash.a = 16;
  hash.b = 24;
  hash.c = 8;
  hash.element = pair;
  std::map<int64_t, int64_t> map;
  std::unordered_map<int64_t, int64_t> table;
  for (int64_t i = 0; i < 200; ++i) {
    map[i * 7919 % 200] = i;
    table[i * 7919 % 200] = i;
  }
  plan_.AddObject(plan_.AddView(sizeof map, tree), &map);
  plan_.AddObject(plan_.AddView(sizeof table, hash), &table);
  limits_.items = 150;
  const TestRecord record = Capture();
  int i = 0;
  for (const auto& entry : map) EXPECT_EQ(record.Has(entry), i++ < 150) << entry.first;
  i = 0;
  for (const auto& entry : table) EXPECT_EQ(record.Has(entry), i++ < 150) << entry.first;
}

TEST_F(CaptureTest, OptionalAndVariantPayloads) {
  Chain chain(3);
  const TypeId pointer = plan_.AddType(TypeKind::kPointer, 8, AddNodeType(plan_));
  View optional;
  optional.kind = ViewKind::kOptional;
  optional.a = 8;
  optional.element = pointer;
  std::optional<const Node*> full = &chain[0];
  std::optional<const Node*> empty = &chain[1];
  empty.reset();
  const TypeId optional_type = plan_.AddView(sizeof full, optional);
  plan_.AddObject(optional_type, &full);
  plan_.AddObject(optional_type, &empty);
  View variant;
  variant.kind = ViewKind::kVariant;
  variant.size_bytes = 1;
  variant.a = 8;
  variant.first_member = static_cast<uint32_t>(plan_.unit.members.size());
  variant.member_count = 2;
  for (const TypeId type : {plan_.AddType(TypeKind::kSigned, 8), pointer}) {
    Member member;
    member.type = type;
    plan_.unit.members.push_back(member);
  }
  limits_.depth = 2;  // far enough for the nodes, too short for the one behind the first
  std::variant<int64_t, const Node*> choice = &chain[2];
  plan_.AddObject(plan_.AddView(sizeof choice, variant), &choice);
  const TestRecord record = Capture();
  EXPECT_TRUE(record.Has(chain[0]));
  EXPECT_FALSE(record.Has(chain[1]));
  EXPECT_TRUE(record.Has(chain[2]));
}

TEST_F(CaptureTest, SharedPointersBringTheirCounts) {
  auto shared = std::make_shared<Node>();
  View view;
  view.kind = ViewKind::kSharedPtr;
  view.b = 8;
  view.element = AddNodeType(plan_);
  plan_.AddObject(plan_.AddView(sizeof shared, view), &shared);
  const TestRecord record = Capture();
  EXPECT_TRUE(record.Has(*shared));
  const void* control = nullptr;
  std::memcpy(&control, reinterpret_cast<const char*>(&shared) + 8, 8);
  EXPECT_TRUE(record.HasBytes(control, 16));
}

TEST_F(CaptureTest, PointersInRegistersPiecesAndMemoryReadByLocations) {
  Chain chain(4);
  const TypeId node = AddNodeType(plan_);
  const TypeId pointer = plan_.AddType(TypeKind::kPointer, 8, node);
  const auto bits = [&](int i) { return reinterpret_cast<int64_t>(&chain[i]); };
  plan_.AddVariable(pointer, LocationKind::kValue, {I(Op::kConst, bits(0)), I(Op::kReturn)});
  // A struct of two pointers in two pieces: one is a value, one in memory.
  const auto in_memory = std::make_unique<const Node*>(&chain[2]);
  Piece pieces[2];
  pieces[0].kind = LocationKind::kValue;
  pieces[0].size_bytes = 8;
  pieces[0].program = plan_.AddCode({I(Op::kConst, bits(1)), I(Op::kReturn)});
  pieces[1].kind = LocationKind::kMemory;
  pieces[1].size_bytes = 8;
  pieces[1].program =
      plan_.AddCode({I(Op::kConst, reinterpret_cast<int64_t>(in_memory.get())), I(Op::kReturn)});
  plan_.unit.pieces.assign(pieces, pieces + 2);
  const TypeId two = plan_.AddStruct(16, {{pointer, 0}, {pointer, 8}});
  Variable& split = plan_.AddVariable(two, LocationKind::kPieces, {});
  split.location.piece_count = 2;
  // The location loads a pointer from the heap: the decoder must find that word again.
  const auto indirect = std::make_unique<const Node*>(&chain[3]);
  plan_.AddVariable(node, LocationKind::kMemory,
                    {I(Op::kConst, reinterpret_cast<int64_t>(indirect.get())),
                     I(Op::kLoad, 0, 8, 0), I(Op::kReturn)});
  const TestRecord record = Capture();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(record.Has(chain[i])) << i;
  EXPECT_TRUE(record.Has(*in_memory));
  EXPECT_TRUE(record.Has(*indirect));
}

TEST_F(CaptureTest, TheByteLimitCutsAndSaysSo) {
  limits_.bytes = 20000;
  std::vector<std::string> texts(90, std::string(250, 'x'));
  plan_.AddObject(plan_.AddVector(plan_.AddString()), &texts);
  const TestRecord record = Capture();
  EXPECT_NE(record.header().flags & kRecordTruncated, 0u);
  EXPECT_LE(record.header().size_bytes, 20000u);
  EXPECT_TRUE(record.HasBytes(texts[0].data(), 250));
}

// Objects full of random bytes and of pointers into themselves: whatever they say, a capture ends,
// stays inside its slot and within its limits.
TEST_F(CaptureTest, GarbageObjectsAreHarmless) {
  const TypeId string = plan_.AddString();
  const TypeId node = AddNodeType(plan_);
  View tree;
  tree.kind = ViewKind::kTree;
  tree.a = 24;
  tree.b = 40;
  tree.c = 32;
  tree.d = 8;
  tree.parent = 8;
  tree.left = 16;
  tree.right = 24;
  tree.element = node;
  View hash;
  hash.kind = ViewKind::kHash;
  hash.a = 16;
  hash.b = 24;
  hash.c = 8;
  hash.element = string;
  View shared;
  shared.kind = ViewKind::kSharedPtr;
  shared.b = 8;
  shared.element = plan_.AddView(48, tree);
  const TypeId all =
      plan_.AddStruct(256, {{plan_.AddVector(string), 0},
                            {plan_.AddVector(plan_.AddVector(node)), 24},
                            {plan_.AddView(48, tree), 48},
                            {plan_.AddView(56, hash), 96},
                            {plan_.AddView(16, shared), 152},
                            {plan_.AddArray(plan_.AddType(TypeKind::kPointer, 8, node), 11), 168}});
  auto words = std::make_unique<std::array<uint64_t, 512>>();
  plan_.AddObject(all, words->data());
  TestProbe probe(plan_);
  probe.runtime().limits.depth = 6;
  RegisterFile registers;
  stillframe_test_registers(&registers);
  std::mt19937_64 random(3);
  for (int round = 0; round < 3000; ++round) {
    for (uint64_t& word : *words) {
      const uint64_t r = random();
      const auto self = reinterpret_cast<uint64_t>(words->data());
      word = r % 3 == 0 ? random() : r % 3 == 1 ? self + random() % 4096 : random() % 5000;
    }
    stillframe_hit(&probe.site(), &registers);
    const auto record = TestRecord::Take();
    ASSERT_TRUE(record.has_value());
    ASSERT_LE(record->header().size_bytes, 65536u);
    ASSERT_EQ(record->Chunks().size(), record->header().chunk_count);
  }
  ExpectAccounted(probe.Sums());
}

}  // namespace
}  // namespace stillframe::hit
