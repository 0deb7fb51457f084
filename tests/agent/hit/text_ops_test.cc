// Texts, trees and loops of the bytecode, against the standard library.
#include "agent/hit/text_ops.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "plan/verifier.h"

namespace stillframe::hit {
namespace {

Insn I(Op op, int64_t imm = 0, uint8_t a = 0, uint8_t b = 0) { return MakeInsn(op, imm, a, b); }

// Two pages of which the second cannot be read: whoever reads too far is found out.
class Fence {
 public:
  Fence()
      : size_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
        base_(static_cast<char*>(
            mmap(nullptr, 2 * size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    mprotect(base_ + size_, size_, PROT_NONE);
  }
  ~Fence() { munmap(base_, 2 * size_); }
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;
  // Ends at the fence.
  uint64_t Place(const std::string& text) {
    char* const at = base_ + size_ - text.size();
    std::memcpy(at, text.data(), text.size());
    return reinterpret_cast<uint64_t>(at);
  }
  bool Holds(uint64_t address, uint64_t size) const {
    const auto start = reinterpret_cast<uint64_t>(base_);
    return address >= start && address + size <= start + size_;
  }

 private:
  size_t size_;
  char* base_;
};

class TextOps : public testing::Test {
 protected:
  EvalResult Run(const std::vector<Insn>& code, const std::string& literal = "") {
    const Program program{0, static_cast<uint32_t>(code.size())};
    EXPECT_EQ(VerifyProgram(code, program, 2).ToString(), "OK");
    const StringRef strings[] = {{"", 0}, {literal.data(), literal.size()}};
    FrameContext frame{};
    frame.facts = facts;
    const MemoryReader memory{[](void* self, uint64_t address, void* out, uint32_t size_bytes) {
                                const auto* test = static_cast<TextOps*>(self);
                                if (!test->anywhere && !test->one.Holds(address, size_bytes) &&
                                    !test->other.Holds(address, size_bytes)) {
                                  return false;
                                }
                                std::memcpy(out, reinterpret_cast<const void*>(address),
                                            size_bytes);
                                return true;
                              },
                              this};
    return Evaluate(code.data(), program.count, frame, memory, strings);
  }
  EvalResult Test(TextTest test, const std::string& left, const std::string& right, bool literal) {
    std::vector<Insn> code = {I(Op::kConst, static_cast<int64_t>(one.Place(left))),
                              I(Op::kConst, static_cast<int64_t>(left.size()))};
    if (!literal) {
      code.push_back(I(Op::kConst, static_cast<int64_t>(other.Place(right))));
      code.push_back(I(Op::kConst, static_cast<int64_t>(right.size())));
    }
    code.push_back(I(Op::kTextTest, literal ? 1 : -1, static_cast<uint8_t>(test)));
    code.push_back(I(Op::kReturn));
    return Run(code, right);
  }

  Fence one, other;
  bool anywhere = false;
  const HitFacts* facts = nullptr;
};

TEST_F(TextOps, AgreeWithTheStandardLibrary) {
  std::mt19937 random(7);
  const auto make = [&](uint32_t most) {
    std::string text(random() % most, '\0');
    for (char& c : text) c = static_cast<char>("ab\x80"[random() % 3]);
    return text;
  };
  for (int round = 0; round < 20'000; ++round) {
    const std::string left = make(round % 2 == 0 ? 6 : 150);
    std::string right = make(round % 3 == 0 ? 150 : 4);
    if (round % 5 == 0) right = left.substr(left.size() / 2);
    const bool literal = round % 7 < 3;
    const auto run = [&](TextTest test) {
      const EvalResult result = Test(test, left, right, literal);
      EXPECT_EQ(result.error, Code::kOk);
      return result.value;
    };
    ASSERT_EQ(run(TextTest::kEqual), left == right ? 1u : 0u);
    ASSERT_EQ(run(TextTest::kStartsWith), left.starts_with(right) ? 1u : 0u);
    ASSERT_EQ(run(TextTest::kEndsWith), left.ends_with(right) ? 1u : 0u);
    ASSERT_EQ(run(TextTest::kContains), left.find(right) != std::string::npos ? 1u : 0u);
    const auto order = static_cast<int64_t>(run(TextTest::kOrder));
    const int expected = left.compare(right);
    ASSERT_EQ(order < 0, expected < 0);
    ASSERT_EQ(order > 0, expected > 0);
  }
}

TEST_F(TextOps, LengthsEndAtTheNulOrTheBound) {
  const auto measure = [&](const std::string& text, int64_t bound, bool array) {
    return Run({I(Op::kConst, static_cast<int64_t>(one.Place(text))),
                I(Op::kTextLength, bound, 0, array ? 1 : 0), I(Op::kReturn)});
  };
  EXPECT_EQ(measure(std::string("abc\0", 4), 4096, false).value, 3u);
  EXPECT_EQ(measure(std::string("abc\0x", 5), 5, true).value, 3u);
  EXPECT_EQ(measure("abcd", 4, true).value, 4u);
  EXPECT_EQ(measure(std::string(100, 'a'), 4096, false).error, Code::kUnreadable);
  EXPECT_EQ(measure(std::string(100, 'a'), 50, false).error, Code::kLimit);
}

TEST_F(TextOps, WorkIsBounded) {
  // A search that would go on for a million steps, and a loop without an end.
  const std::string hay(4000, 'a');
  EXPECT_EQ(Test(TextTest::kContains, hay, std::string(2000, 'a') + "b", true).error, Code::kLimit);
  EXPECT_EQ(Run({I(Op::kJump, 1), I(Op::kLoop, -1)}).error, Code::kLimit);
  // while (i != n) ++i
  const auto count = [&](int64_t rounds) {
    return Run({I(Op::kConst), I(Op::kSetLocal), I(Op::kGetLocal), I(Op::kConst, rounds),
                I(Op::kEq), I(Op::kJumpIfNonZero, 5), I(Op::kGetLocal), I(Op::kAddImm, 1),
                I(Op::kSetLocal), I(Op::kLoop, -7), I(Op::kGetLocal), I(Op::kReturn)});
  };
  EXPECT_EQ(count(1000).value, 1000u);
  EXPECT_EQ(count(1001).error, Code::kLimit);
}

TEST_F(TextOps, NamesAreFoundOnTheList) {
  const std::string list = "=token\n~password\n*iban*\n!tokenizer*\n";
  const auto test = [&](const std::string& name) {
    return Run(
        {I(Op::kConst, static_cast<int64_t>(one.Place(name))),
         I(Op::kConst, static_cast<int64_t>(name.size())), I(Op::kNameTest, 1), I(Op::kReturn)},
        list);
  };
  for (const char* name : {"token", "accessToken", "m_tokens2", "dbpassword1", "IbanOfBob"}) {
    EXPECT_EQ(test(name).value, 1u) << name;
  }
  for (const char* name : {"", "tokenizer", "tokenizer_token", "order", "_", "tok"}) {
    EXPECT_EQ(test(name).error, Code::kOk) << name;
    EXPECT_EQ(test(name).value, 0u) << name;
  }
  // The beginning of a long one; what is behind it is not read.
  EXPECT_EQ(test("token " + std::string(3000, 'x')).value, 1u);
  EXPECT_EQ(test(std::string(3000, '_') + "token").value, 0u);
  // What cannot be read is no harmless name.
  EXPECT_EQ(
      Run({I(Op::kConst, 8), I(Op::kConst, 5), I(Op::kNameTest, 1), I(Op::kReturn)}, list).error,
      Code::kUnreadable);
}

// The links of libstdc++'s trees: colour, parent, left, right.
TEST_F(TextOps, TreesInOrder) {
  std::map<int, int> tree;
  std::mt19937 random(3);
  while (tree.size() < 200) tree[static_cast<int>(random())] = 1;
  std::vector<uint64_t> nodes;
  for (const auto& entry : tree) nodes.push_back(reinterpret_cast<uint64_t>(&entry) - 32);
  anywhere = true;
  for (size_t i = 0; i + 1 < nodes.size(); ++i) {
    const EvalResult next = Run({I(Op::kConst, static_cast<int64_t>(nodes[i])),
                                 I(Op::kTreeNext, 8, 16, 24), I(Op::kReturn)});
    ASSERT_EQ(next.error, Code::kOk);
    ASSERT_EQ(next.value, nodes[i + 1]);
  }
  // A node that is its own parent and child.
  uint64_t cycle[4] = {};
  cycle[1] = cycle[2] = cycle[3] = reinterpret_cast<uint64_t>(cycle);
  EXPECT_EQ(Run({I(Op::kConst, static_cast<int64_t>(reinterpret_cast<uint64_t>(cycle))),
                 I(Op::kTreeNext, 8, 16, 24), I(Op::kReturn)})
                .error,
            Code::kLimit);
}

TEST_F(TextOps, FactsOfTheHit) {
  const auto fact = [&](Fact which) {
    return Run({I(Op::kFact, 0, static_cast<uint8_t>(which)), I(Op::kReturn)});
  };
  EXPECT_EQ(fact(Fact::kThreadId).error, Code::kUnavailable);
  TraceContextRecord trace{};
  HitFacts known{17, 3, 0, &trace, 0, {}};
  facts = &known;
  EXPECT_EQ(fact(Fact::kThreadId).value, 17u);
  EXPECT_EQ(fact(Fact::kHits).value, 3u);
  EXPECT_EQ(fact(Fact::kDuration).error, Code::kUnavailable);
  EXPECT_EQ(fact(Fact::kTrace0).value, 0u);
  trace.valid = 1;
  trace.trace_id[4] = 0x1f;
  const EvalResult digits = fact(Fact::kTrace1);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(&digits.value), 8), "1f000000");
}

}  // namespace
}  // namespace stillframe::hit
