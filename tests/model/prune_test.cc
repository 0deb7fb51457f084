#include "model/prune.h"

#include <gtest/gtest.h>

namespace stillframe::model {
namespace {

Value Tree(uint32_t depth, uint32_t width) {
  Value value;
  value.name = "level" + std::to_string(depth);
  value.type = "Node";
  for (uint32_t i = 0; depth > 0 && i < width; ++i)
    value.children.push_back(Tree(depth - 1, width));
  return value;
}

uint32_t DepthOf(const Value& value) {
  uint32_t deepest = 0;
  for (const Value& child : value.children) deepest = std::max(deepest, 1 + DepthOf(child));
  return deepest;
}

Snapshot Example() {
  Snapshot snapshot;
  for (uint32_t i = 0; i < 3; ++i) {
    Frame& frame = snapshot.frames.emplace_back();
    frame.function = "F" + std::to_string(i);
    frame.variables = {Tree(3, 8), Tree(1, 2), Tree(0, 0)};
  }
  return snapshot;
}

TEST(Prune, LeavesWhatFits) {
  Snapshot snapshot = Example();
  EXPECT_FALSE(Prune(snapshot, SizeOf(snapshot)));
  EXPECT_FALSE(snapshot.truncated);
  EXPECT_EQ(DepthOf(snapshot.frames[0].variables[0]), 3u);
}

TEST(Prune, TakesTheDeepestFirstAndSaysSo) {
  Snapshot snapshot = Example();
  const uint64_t limit = SizeOf(snapshot) - 1;
  EXPECT_TRUE(Prune(snapshot, limit));
  EXPECT_LE(SizeOf(snapshot), limit);
  EXPECT_TRUE(snapshot.truncated);
  for (const Frame& frame : snapshot.frames) {
    EXPECT_EQ(DepthOf(frame.variables[0]), 2u);
    EXPECT_EQ(frame.variables[0].children[0].children[0].status, ValueStatus::kTruncated);
    EXPECT_EQ(frame.variables[0].children[0].children[0].reason, "PRUNED");
    EXPECT_EQ(frame.variables[0].status, ValueStatus::kExact);
    EXPECT_EQ(DepthOf(frame.variables[1]), 1u);  // shallow ones are whole
    EXPECT_EQ(frame.variables[1].status, ValueStatus::kExact);
  }
}

TEST(Prune, GivesUpOuterFramesLast) {
  Snapshot snapshot = Example();
  Snapshot bare = Example();
  for (Frame& frame : bare.frames) {
    for (Value& value : frame.variables) value.children.clear();
  }
  const uint64_t limit = SizeOf(bare);  // not even that fits: the marks take room as well
  EXPECT_TRUE(Prune(snapshot, limit));
  EXPECT_LE(SizeOf(snapshot), limit);
  EXPECT_EQ(snapshot.frames[0].variables.size(), 3u);
  EXPECT_EQ(snapshot.frames[2].variables.size(), 0u);
  EXPECT_EQ(snapshot.frames[2].variables_reason, "PRUNED");
}

TEST(Prune, NeverLosesTheFrames) {
  Snapshot snapshot = Example();
  EXPECT_TRUE(Prune(snapshot, 1));
  EXPECT_EQ(snapshot.frames.size(), 3u);
  for (const Frame& frame : snapshot.frames) EXPECT_EQ(frame.variables_reason, "PRUNED");
}

}  // namespace
}  // namespace stillframe::model
