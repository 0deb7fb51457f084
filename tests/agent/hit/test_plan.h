// A plan made by hand and the runtime objects for it; and a reader of records.
#ifndef STILLFRAME_TESTS_AGENT_HIT_TEST_PLAN_H_
#define STILLFRAME_TESTS_AGENT_HIT_TEST_PLAN_H_

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/ring/ring.h"
#include "agent/unit_view.h"
#include "plan/plan.h"
#include "plan/record.h"

namespace stillframe::hit {

inline constexpr uint64_t kTicksPerSecond = 2'000'000'000;

inline Insn I(Op op, int64_t imm = 0, uint8_t a = 0, uint8_t b = 0) {
  return MakeInsn(op, imm, a, b);
}

// Grow it first, then call View() once: it points into the vectors.
class TestPlan {
 public:
  PlanUnit unit;
  std::vector<SitePlan> sites{SitePlan{}};

  TestPlan() {
    unit.frames.push_back(FramePlan{});
    unit.virtual_frames.push_back(VirtualFrame{});
    unit.frames[0].virtual_count = 1;
  }

  Program AddCode(std::vector<Insn> code) {
    const Program program{static_cast<uint32_t>(unit.code.size()),
                          static_cast<uint32_t>(code.size())};
    unit.code.insert(unit.code.end(), code.begin(), code.end());
    return program;
  }
  TypeId AddType(TypeKind kind, uint32_t size_bytes, TypeId target = kVoidType, uint8_t flags = 0) {
    TypeNode node;
    node.kind = kind;
    node.size_bytes = size_bytes;
    node.target = target;
    node.flags = flags;
    if (kind == TypeKind::kPointer || kind == TypeKind::kReference) {
      node.flags |= kFlagNeedsWalk;
    }
    unit.types.push_back(node);
    return static_cast<TypeId>(unit.types.size() - 1);
  }
  TypeId AddArray(TypeId element, uint64_t count) {
    const uint32_t size = unit.types[element].size_bytes;
    const TypeId id = AddType(TypeKind::kArray, static_cast<uint32_t>(size * count), element,
                              unit.types[element].flags & kFlagNeedsWalk);
    unit.types[id].count = count;
    return id;
  }
  struct Field {
    TypeId type;
    uint32_t offset_bytes;
    uint8_t flags = 0;
  };
  TypeId AddStruct(uint32_t size_bytes, std::vector<Field> fields) {
    const TypeId id = AddType(TypeKind::kStruct, size_bytes, kVoidType, kFlagNeedsWalk);
    SetFields(id, fields);
    return id;
  }
  void SetFields(TypeId id, const std::vector<Field>& fields) {
    unit.types[id].first_member = static_cast<uint32_t>(unit.members.size());
    unit.types[id].member_count = static_cast<uint32_t>(fields.size());
    for (const Field& field : fields) {
      Member member;
      member.type = field.type;
      member.offset_bytes = field.offset_bytes;
      member.flags = field.flags;
      unit.members.push_back(member);
    }
  }
  TypeId AddView(uint32_t size_bytes, const View& view) {
    const TypeId id = AddStruct(size_bytes, {});
    unit.types[id].view = static_cast<uint32_t>(unit.views.size());
    unit.views.push_back(view);
    return id;
  }
  // libstdc++'s std::string.
  TypeId AddString() {
    View view;
    view.kind = ViewKind::kString;
    view.b = 8;
    view.element = AddType(TypeKind::kChar, 1);
    return AddView(sizeof(std::string), view);
  }
  TypeId AddVector(TypeId element) {
    View view;
    view.kind = ViewKind::kSequence;
    view.b = 8;
    view.element = element;
    return AddView(24, view);
  }
  Variable& AddVariable(TypeId type, LocationKind kind, std::vector<Insn> code) {
    Variable variable;
    variable.type = type;
    variable.location.kind = kind;
    variable.location.program = AddCode(std::move(code));
    unit.variables.push_back(variable);
    unit.virtual_frames[0].variable_count = static_cast<uint32_t>(unit.variables.size());
    return unit.variables.back();
  }
  Variable& AddObject(TypeId type, const void* object) {
    return AddVariable(type, LocationKind::kMemory,
                       {I(Op::kConst, reinterpret_cast<int64_t>(object)), I(Op::kReturn)});
  }

  UnitView MakeView() {
    arrays_.emplace(unit);
    return arrays_->view();
  }

 private:
  std::optional<agent::UnitArrays> arrays_;
};

// A probe with one site, ready for stillframe_hit.
class TestProbe {
 public:
  explicit TestProbe(TestPlan& plan, uint64_t probe_id = 1) : runtime_(new ProbeRuntime) {
    runtime_->probe_id = probe_id;
    runtime_->unit = plan.MakeView();
    runtime_->sites = plan.sites.data();
    list_.count = 1;
    list_.entries[0] = {runtime_.get(), 0};
    site_.list.store(&list_);
  }
  ProbeRuntime& runtime() { return *runtime_; }
  SiteRuntime& site() { return site_; }
  CounterSums Sums() const { return SumCounters(*runtime_); }
  void SetMaxHits(uint64_t max_hits) {
    runtime_->max_hits = max_hits;
    runtime_->captures_left.store(max_hits);
  }

 private:
  std::unique_ptr<ProbeRuntime> runtime_;
  SiteProbeList list_{};
  SiteRuntime site_;
};

// hits = the sum of all the others.
inline void ExpectAccounted(const CounterSums& sums) {
  uint64_t others = 0;
  for (int i = 1; i < kCounterCount; ++i) others += sums.count[i];
  EXPECT_EQ(sums.count[kHits], others);
}

// A record copied out of the ring.
class TestRecord {
 public:
  // Takes the oldest one; nullopt when there is none.
  static std::optional<TestRecord> Take() {
    ring::Slot slot;
    if (!ring::Take(slot)) return std::nullopt;
    const auto* header = reinterpret_cast<const RecordHeader*>(slot.data);
    TestRecord record;
    EXPECT_LE(header->size_bytes, 64u * 1024);
    record.bytes_.assign(slot.data, slot.data + header->size_bytes);
    ring::Release(slot);
    return record;
  }
  static void Drain() {
    ring::Slot slot;
    while (ring::Take(slot)) ring::Release(slot);
  }

  const RecordHeader& header() const {
    return *reinterpret_cast<const RecordHeader*>(bytes_.data());
  }
  const FrameRecord& frame(uint32_t i) const {
    return reinterpret_cast<const FrameRecord*>(bytes_.data() + sizeof(RecordHeader))[i];
  }
  struct Chunk {
    ChunkHeader header;
    const uint8_t* bytes;
  };
  std::vector<Chunk> Chunks() const {
    std::vector<Chunk> chunks;
    size_t at = sizeof(RecordHeader) + header().frame_count * sizeof(FrameRecord);
    for (uint32_t i = 0; i < header().chunk_count; ++i) {
      Chunk chunk;
      if (at + sizeof(ChunkHeader) > bytes_.size()) {
        ADD_FAILURE() << "chunk " << i << " is behind the end";
        return chunks;
      }
      std::memcpy(&chunk.header, bytes_.data() + at, sizeof(ChunkHeader));
      chunk.bytes = bytes_.data() + at + sizeof(ChunkHeader);
      at += sizeof(ChunkHeader);
      if (chunk.header.status == kChunkOk) at += (chunk.header.size_bytes + 7) & ~7u;
      chunks.push_back(chunk);
    }
    EXPECT_EQ(at, bytes_.size());
    return chunks;
  }
  // Bytes at an address of the target, from whichever chunk holds them all; nullptr = not copied.
  const uint8_t* Find(const void* address, size_t size_bytes) const {
    const auto start = reinterpret_cast<uint64_t>(address);
    for (const Chunk& chunk : Chunks()) {
      if (chunk.header.status == kChunkOk && start >= chunk.header.address &&
          start + size_bytes <= chunk.header.address + chunk.header.size_bytes) {
        return chunk.bytes + (start - chunk.header.address);
      }
    }
    return nullptr;
  }
  template <typename T>
  bool Has(const T& object) const {
    return HasBytes(&object, sizeof(T));
  }
  bool HasBytes(const void* address, size_t size_bytes) const {
    const uint8_t* bytes = Find(address, size_bytes);
    return bytes != nullptr && std::memcmp(bytes, address, size_bytes) == 0;
  }
  bool IsUnreadable(uint64_t address) const {
    for (const Chunk& chunk : Chunks()) {
      if (chunk.header.status == kChunkUnreadable && address >= chunk.header.address &&
          address < chunk.header.address + chunk.header.size_bytes) {
        return true;
      }
    }
    return false;
  }

 private:
  std::vector<uint8_t> bytes_;
};

// The caller's registers: rip is the return address, rsp as after the return.
extern "C" void stillframe_test_registers(RegisterFile* out);

}  // namespace stillframe::hit

#endif  // STILLFRAME_TESTS_AGENT_HIT_TEST_PLAN_H_
