#include "agent/hit/interpreter.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>

namespace stillframe::hit {
namespace {

// Reads this process, but only from the ranges a test allows.
struct FakeMemory {
  uint64_t start = 0;
  uint64_t end = 0;
  uint32_t reads = 0;
  static bool Read(void* self, uint64_t address, void* out, uint32_t size_bytes) {
    auto* memory = static_cast<FakeMemory*>(self);
    ++memory->reads;
    if (address < memory->start || address + size_bytes > memory->end) return false;
    std::memcpy(out, reinterpret_cast<const void*>(address), size_bytes);
    return true;
  }
  MemoryReader reader() { return {&Read, this}; }
};

template <typename T>
FakeMemory MemoryOf(const T& object) {
  const auto address = reinterpret_cast<uint64_t>(&object);
  return {address, address + sizeof(T)};
}

Insn I(Op op, int64_t imm = 0, uint8_t a = 0, uint8_t b = 0) { return MakeInsn(op, imm, a, b); }

struct Machine {
  uint64_t registers[kRegisterCount] = {};
  FrameContext frame{registers, 0xffff,  1, {}, 0x7000,  0x10000,
                     nullptr,   nullptr, 0, 0,  nullptr, nullptr};
  FakeMemory memory;
  std::vector<StringRef> strings{{"", 0}};

  EvalResult Run(std::vector<Insn> code) {
    return Evaluate(code.data(), static_cast<uint32_t>(code.size()), frame, memory.reader(),
                    strings.data());
  }
};

uint64_t Must(EvalResult result) {
  EXPECT_EQ(result.error, Code::kOk);
  return result.value;
}

std::optional<uint64_t> Binary(Op op, uint64_t left, uint64_t right) {
  const EvalResult result =
      Machine().Run({I(Op::kConst, static_cast<int64_t>(left)),
                     I(Op::kConst, static_cast<int64_t>(right)), I(op), I(Op::kReturn)});
  if (result.error != Code::kOk) {
    EXPECT_EQ(result.error, Code::kBadExpression);
    return std::nullopt;
  }
  return result.value;
}

std::optional<uint64_t> Unary(Op op, uint64_t value, uint8_t a = 0, uint8_t b = 0) {
  const EvalResult result =
      Machine().Run({I(Op::kConst, static_cast<int64_t>(value)), I(op, 0, a, b), I(Op::kReturn)});
  if (result.error != Code::kOk) {
    EXPECT_EQ(result.error, Code::kBadExpression);
    return std::nullopt;
  }
  return result.value;
}

std::vector<uint64_t> InterestingIntegers() {
  std::vector<uint64_t> values = {
      0,          1,         2,          63,         64,    65,        127,        128,
      255,        256,       0x7fffffff, 0x80000000, ~0ull, ~0ull - 1, 1ull << 63, (1ull << 63) - 1,
      1ull << 52, 1ull << 32};
  std::mt19937_64 random(7);
  for (int i = 0; i < 20; ++i) values.push_back(random());
  return values;
}

std::vector<double> InterestingDoubles() {
  using Limits = std::numeric_limits<double>;
  std::vector<double> values = {0.0,
                                -0.0,
                                1.0,
                                -1.0,
                                0.5,
                                -0.75,
                                1e-310,
                                99.5,
                                Limits::max(),
                                Limits::lowest(),
                                Limits::min(),
                                Limits::denorm_min(),
                                Limits::infinity(),
                                -Limits::infinity(),
                                Limits::quiet_NaN(),
                                9223372036854775807.0,
                                -9223372036854775808.0,
                                -9223372036854777856.0,
                                18446744073709551615.0,
                                18446744073709549568.0,
                                4503599627370497.5,
                                1e300};
  std::mt19937_64 random(11);
  for (int i = 0; i < 40; ++i) values.push_back(std::bit_cast<double>(random()));
  for (int i = 0; i < 40; ++i) {
    values.push_back(static_cast<double>(static_cast<int64_t>(random())) / 977.0);
  }
  return values;
}

TEST(Interpreter, IntegerOperationsEqualThoseOfCpp) {
  for (const uint64_t l : InterestingIntegers()) {
    for (const uint64_t r : InterestingIntegers()) {
      const auto sl = static_cast<int64_t>(l);
      const auto sr = static_cast<int64_t>(r);
      EXPECT_EQ(Binary(Op::kAdd, l, r), l + r);
      EXPECT_EQ(Binary(Op::kSub, l, r), l - r);
      EXPECT_EQ(Binary(Op::kMul, l, r), l * r);
      EXPECT_EQ(Binary(Op::kAnd, l, r), l & r);
      EXPECT_EQ(Binary(Op::kOr, l, r), l | r);
      EXPECT_EQ(Binary(Op::kXor, l, r), l ^ r);
      EXPECT_EQ(Binary(Op::kShl, l, r), r < 64 ? l << r : 0);
      EXPECT_EQ(Binary(Op::kShrU, l, r), r < 64 ? l >> r : 0);
      EXPECT_EQ(Binary(Op::kShrS, l, r), static_cast<uint64_t>(sl >> (r < 64 ? r : 63)));
      EXPECT_EQ(Binary(Op::kEq, l, r), l == r);
      EXPECT_EQ(Binary(Op::kNe, l, r), l != r);
      EXPECT_EQ(Binary(Op::kLtS, l, r), sl < sr);
      EXPECT_EQ(Binary(Op::kLtU, l, r), l < r);
      EXPECT_EQ(Binary(Op::kLeS, l, r), sl <= sr);
      EXPECT_EQ(Binary(Op::kLeU, l, r), l <= r);
    }
  }
}

TEST(Interpreter, DivisionFailsExactlyWhereCppIsUndefined) {
  for (const uint64_t l : InterestingIntegers()) {
    for (const uint64_t r : InterestingIntegers()) {
      const auto sl = static_cast<int64_t>(l);
      const auto sr = static_cast<int64_t>(r);
      std::optional<uint64_t> div_u, mod_u, div_s, mod_s;
      if (r != 0) div_u = l / r;
      if (r != 0) mod_u = l % r;
      if (r != 0 && !(l == 1ull << 63 && sr == -1)) {
        div_s = static_cast<uint64_t>(sl / sr);
        mod_s = static_cast<uint64_t>(sl % sr);
      }
      EXPECT_EQ(Binary(Op::kDivU, l, r), div_u);
      EXPECT_EQ(Binary(Op::kModU, l, r), mod_u);
      EXPECT_EQ(Binary(Op::kDivS, l, r), div_s);
      EXPECT_EQ(Binary(Op::kModS, l, r), mod_s);
    }
  }
}

TEST(Interpreter, UnaryIntegerOperations) {
  for (const uint64_t v : InterestingIntegers()) {
    EXPECT_EQ(Unary(Op::kNeg, v), 0 - v);
    EXPECT_EQ(Unary(Op::kNot, v), ~v);
    EXPECT_EQ(Unary(Op::kLogicalNot, v), v == 0);
    EXPECT_EQ(Unary(Op::kBool, v), v != 0);
    EXPECT_EQ(Unary(Op::kExtend, v, 1, 0), static_cast<uint8_t>(v));
    EXPECT_EQ(Unary(Op::kExtend, v, 2, 0), static_cast<uint16_t>(v));
    EXPECT_EQ(Unary(Op::kExtend, v, 4, 0), static_cast<uint32_t>(v));
    EXPECT_EQ(Unary(Op::kExtend, v, 8, 0), v);
    EXPECT_EQ(Unary(Op::kExtend, v, 1, 1), static_cast<uint64_t>(static_cast<int8_t>(v)));
    EXPECT_EQ(Unary(Op::kExtend, v, 2, 1), static_cast<uint64_t>(static_cast<int16_t>(v)));
    EXPECT_EQ(Unary(Op::kExtend, v, 4, 1), static_cast<uint64_t>(static_cast<int32_t>(v)));
    EXPECT_EQ(Unary(Op::kExtend, v, 8, 1), v);
  }
}

// NaN payloads may differ between the compiler's code and ours; everything else is bit-equal.
void ExpectSameDouble(std::optional<uint64_t> bits, double expected) {
  ASSERT_TRUE(bits.has_value());
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(std::bit_cast<double>(*bits)));
  } else {
    EXPECT_EQ(*bits, std::bit_cast<uint64_t>(expected));
  }
}

TEST(Interpreter, DoubleOperationsEqualThoseOfCpp) {
  for (const double l : InterestingDoubles()) {
    for (const double r : InterestingDoubles()) {
      const auto bl = std::bit_cast<uint64_t>(l);
      const auto br = std::bit_cast<uint64_t>(r);
      ExpectSameDouble(Binary(Op::kFAdd, bl, br), l + r);
      ExpectSameDouble(Binary(Op::kFSub, bl, br), l - r);
      ExpectSameDouble(Binary(Op::kFMul, bl, br), l * r);
      ExpectSameDouble(Binary(Op::kFDiv, bl, br), l / r);
      EXPECT_EQ(Binary(Op::kFEq, bl, br), l == r) << l << " " << r;
      EXPECT_EQ(Binary(Op::kFNe, bl, br), l != r) << l << " " << r;
      EXPECT_EQ(Binary(Op::kFLt, bl, br), l < r) << l << " " << r;
      EXPECT_EQ(Binary(Op::kFLe, bl, br), l <= r) << l << " " << r;
    }
  }
}

TEST(Interpreter, DoubleConversionsEqualThoseOfCpp) {
  for (const double v : InterestingDoubles()) {
    const auto bits = std::bit_cast<uint64_t>(v);
    ExpectSameDouble(Unary(Op::kFNeg, bits), -v);
    std::optional<uint64_t> s64, u64;
    const double whole = std::trunc(v);
    if (whole >= -0x1p63 && whole < 0x1p63) {
      s64 = static_cast<uint64_t>(static_cast<int64_t>(whole));
    }
    if (whole >= 0 && whole < 0x1p64) u64 = static_cast<uint64_t>(whole);
    EXPECT_EQ(Unary(Op::kF64ToS64, bits), s64) << v;
    EXPECT_EQ(Unary(Op::kF64ToU64, bits), u64) << v;
    const auto narrow = static_cast<float>(v);
    if (!std::isnan(v)) {
      EXPECT_EQ(Unary(Op::kF64ToF32, bits), std::bit_cast<uint32_t>(narrow));
      ExpectSameDouble(Unary(Op::kF32ToF64, std::bit_cast<uint32_t>(narrow)), narrow);
    }
  }
  for (const uint64_t v : InterestingIntegers()) {
    ExpectSameDouble(Unary(Op::kS64ToF64, v), static_cast<double>(static_cast<int64_t>(v)));
    ExpectSameDouble(Unary(Op::kU64ToF64, v), static_cast<double>(v));
  }
}

TEST(Interpreter, FloatingPointLeavesTheHostsStateAloneAndNeverTraps) {
  const unsigned before = _mm_getcsr();
  // Unmask every exception and round up, as a numeric host may.
  const unsigned hostile = (before & ~0x1f80u & ~0x3fu) | 0x4000u;
  _mm_setcsr(hostile);
  const std::optional<uint64_t> inf = Binary(Op::kFDiv, std::bit_cast<uint64_t>(1.0), 0);
  const std::optional<uint64_t> third =
      Binary(Op::kFDiv, std::bit_cast<uint64_t>(1.0), std::bit_cast<uint64_t>(3.0));
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(after, hostile);
  EXPECT_EQ(inf, std::bit_cast<uint64_t>(std::numeric_limits<double>::infinity()));
  EXPECT_EQ(third, std::bit_cast<uint64_t>(1.0 / 3.0));
}

TEST(Interpreter, StackOperations) {
  const auto run = [](std::vector<Insn> tail) {
    std::vector<Insn> code = {I(Op::kConst, 10), I(Op::kConst, 20), I(Op::kConst, 30)};
    code.insert(code.end(), tail.begin(), tail.end());
    // Fold what is left so that order matters: top + 1000 * next + 1000000 * third.
    return Must(Machine().Run(code));
  };
  const Insn k = I(Op::kConst, 1000), mul = I(Op::kMul), add = I(Op::kAdd), ret = I(Op::kReturn);
  EXPECT_EQ(run({ret}), 30u);
  EXPECT_EQ(run({I(Op::kDup), k, mul, add, ret}), 30u * 1000 + 30);
  EXPECT_EQ(run({I(Op::kDrop), ret}), 20u);
  EXPECT_EQ(run({I(Op::kSwap), ret}), 20u);
  EXPECT_EQ(run({I(Op::kSwap), k, mul, add, ret}), 20u * 1000 + 30);
  EXPECT_EQ(run({I(Op::kOver), ret}), 20u);
  EXPECT_EQ(run({I(Op::kPick, 0, 0), ret}), 30u);
  EXPECT_EQ(run({I(Op::kPick, 0, 2), ret}), 10u);
  EXPECT_EQ(run({I(Op::kRot), ret}), 20u);
  EXPECT_EQ(run({I(Op::kRot), I(Op::kDrop), ret}), 10u);
  EXPECT_EQ(run({I(Op::kRot), I(Op::kDrop), I(Op::kDrop), ret}), 30u);
  EXPECT_EQ(run({I(Op::kAddImm, -5), ret}), 25u);
}

TEST(Interpreter, FrameValuesAndWhatIsMissing) {
  Machine m;
  for (uint64_t i = 0; i < kRegisterCount; ++i) m.registers[i] = 100 + i;
  for (uint8_t i = 0; i < kRegisterCount; ++i) {
    EXPECT_EQ(Must(m.Run({I(Op::kRegister, 0, i), I(Op::kReturn)})), 100u + i);
  }
  EXPECT_EQ(Must(m.Run({I(Op::kCfa), I(Op::kReturn)})), 0x7000u);
  EXPECT_EQ(Must(m.Run({I(Op::kModuleAddress, 0x234), I(Op::kReturn)})), 0x10234u);
  EXPECT_EQ(m.Run({I(Op::kXmm, 0, 1, 8), I(Op::kReturn)}).error, Code::kNotSaved);
  uint8_t xmm[kXmmCount][16] = {};
  const double d = -2.5;
  const float f = 1.25f;
  std::memcpy(xmm[1], &d, 8);
  std::memcpy(xmm[15], &f, 4);
  std::memset(xmm[15] + 4, 0xff, 12);
  m.frame.xmm = xmm;
  EXPECT_EQ(Must(m.Run({I(Op::kXmm, 0, 1, 8), I(Op::kReturn)})), std::bit_cast<uint64_t>(d));
  EXPECT_EQ(Must(m.Run({I(Op::kXmm, 0, 15, 4), I(Op::kReturn)})), std::bit_cast<uint32_t>(f));
  m.frame.valid_registers = 1u << 3;
  m.frame.cfa_known = 0;
  EXPECT_EQ(Must(m.Run({I(Op::kRegister, 0, 3), I(Op::kReturn)})), 103u);
  EXPECT_EQ(m.Run({I(Op::kRegister, 0, 4), I(Op::kReturn)}).error, Code::kNotSaved);
  EXPECT_EQ(m.Run({I(Op::kCfa), I(Op::kReturn)}).error, Code::kNotSaved);
}

TEST(Interpreter, LoadsOfEverySize) {
  const uint64_t cell = 0x8182838485868788;
  Machine m;
  m.memory = MemoryOf(cell);
  const auto address = reinterpret_cast<int64_t>(&cell);
  const auto load = [&](uint8_t size, uint8_t sign) {
    return Must(m.Run({I(Op::kConst, address), I(Op::kLoad, 0, size, sign), I(Op::kReturn)}));
  };
  EXPECT_EQ(load(1, 0), 0x88u);
  EXPECT_EQ(load(2, 0), 0x8788u);
  EXPECT_EQ(load(4, 0), 0x85868788u);
  EXPECT_EQ(load(8, 0), cell);
  EXPECT_EQ(load(1, 1), 0xffffffffffffff88u);
  EXPECT_EQ(load(2, 1), 0xffffffffffff8788u);
  EXPECT_EQ(load(4, 1), 0xffffffff85868788u);
  EXPECT_EQ(load(8, 1), cell);
  const EvalResult bad = m.Run({I(Op::kConst, address + 1), I(Op::kLoad, 0, 8, 0), I(Op::kReturn)});
  EXPECT_EQ(bad.error, Code::kUnreadable);
}

TEST(Interpreter, ControlFlowAndFailure) {
  const auto branch = [](int64_t condition, Op op) {
    return Must(Machine().Run({I(Op::kConst, condition), I(op, 3), I(Op::kConst, 1),
                               I(Op::kJump, 2), I(Op::kConst, 2), I(Op::kReturn)}));
  };
  EXPECT_EQ(branch(0, Op::kJumpIfZero), 2u);
  EXPECT_EQ(branch(7, Op::kJumpIfZero), 1u);
  EXPECT_EQ(branch(0, Op::kJumpIfNonZero), 1u);
  EXPECT_EQ(branch(7, Op::kJumpIfNonZero), 2u);
  const auto fail = static_cast<uint8_t>(Code::kOptimizedOut);
  EXPECT_EQ(Machine().Run({I(Op::kFail, 0, fail)}).error, Code::kOptimizedOut);
  EXPECT_EQ(Machine().Run({I(Op::kConst, 1)}).error, Code::kCorrupt);
}

TEST(Interpreter, StringEquality) {
  char text[] = "gold\0silver";
  Machine m;
  m.memory = MemoryOf(text);
  m.strings = {{"", 0}, {"gold", 4}, {"golf", 4}, {"gold\0silver", 11}};
  const auto address = reinterpret_cast<int64_t>(text);
  const auto equal = [&](int64_t length, int64_t literal) {
    return Must(m.Run({I(Op::kConst, address), I(Op::kConst, length), I(Op::kStringEq, literal),
                       I(Op::kReturn)}));
  };
  EXPECT_EQ(equal(4, 1), 1u);
  EXPECT_EQ(equal(4, 2), 0u);
  EXPECT_EQ(equal(5, 1), 0u);
  EXPECT_EQ(equal(11, 3), 1u);
  EXPECT_EQ(equal(0, 0), 1u);
  // A wrong length decides without a read: a garbage length costs nothing.
  m.memory.reads = 0;
  EXPECT_EQ(equal(int64_t{1} << 60, 1), 0u);
  EXPECT_EQ(m.memory.reads, 0u);
  const auto c_equal = [&](int64_t literal) {
    return Must(m.Run({I(Op::kConst, address), I(Op::kCStringEq, literal), I(Op::kReturn)}));
  };
  EXPECT_EQ(c_equal(1), 1u);
  EXPECT_EQ(c_equal(2), 0u);
  EXPECT_EQ(c_equal(0), 0u);
  EXPECT_EQ(c_equal(3), 0u);  // the target's string ends at its NUL
  EXPECT_EQ(m.Run({I(Op::kConst, 16), I(Op::kCStringEq, 1), I(Op::kReturn)}).error,
            Code::kUnreadable);
}

TEST(Interpreter, ShortStringAtTheEndOfAMappingIsReadable) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  void* map = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(map, MAP_FAILED);
  const auto start = reinterpret_cast<uint64_t>(map);
  std::memcpy(static_cast<char*>(map) + page - 4, "abc", 4);
  Machine m;
  m.memory = {start, start + page};
  const std::string literal = "abc" + std::string(200, 'x');
  m.strings = {{"", 0}, {"abc", 3}, {literal.data(), literal.size()}};
  const auto address = static_cast<int64_t>(start + page - 4);
  EXPECT_EQ(Must(m.Run({I(Op::kConst, address), I(Op::kCStringEq, 1), I(Op::kReturn)})), 1u);
  EXPECT_EQ(Must(m.Run({I(Op::kConst, address), I(Op::kCStringEq, 2), I(Op::kReturn)})), 0u);
  munmap(map, page);
}

TEST(Interpreter, LongStringsAreComparedToTheEnd) {
  std::string text(5000, 'a');
  std::string other = text;
  other.back() = 'b';
  Machine m;
  m.memory = {reinterpret_cast<uint64_t>(text.data()),
              reinterpret_cast<uint64_t>(text.data()) + text.size() + 1};
  m.strings = {{"", 0}, {text.data(), text.size()}, {other.data(), other.size()}};
  const auto address = reinterpret_cast<int64_t>(text.data());
  const auto c_equal = [&](int64_t literal) {
    return Must(m.Run({I(Op::kConst, address), I(Op::kCStringEq, literal), I(Op::kReturn)}));
  };
  EXPECT_EQ(c_equal(1), 1u);
  EXPECT_EQ(c_equal(2), 0u);
}

}  // namespace
}  // namespace stillframe::hit
