// Random programs for compiled conditions.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_PROGRAM_GENERATOR_H_
#define STILLFRAME_TESTS_AGENT_PROBE_PROGRAM_GENERATOR_H_

#include <random>
#include <vector>

#include "tests/agent/probe/probe_code_fixture.h"

namespace stillframe::probe::code_test {

// Programs that the verifier would accept: depth is kept, jumps go forward to equal depths.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  std::vector<Insn> Make() {
    code_.clear();
    depth_ = 0;
    Leaf();
    const int steps = static_cast<int>(random_() % 12);
    for (int i = 0; i < steps; ++i) Step();
    while (depth_ > 1) Binary();
    code_.push_back(I(Op::kReturn));
    return code_;
  }

 private:
  uint8_t Size() { return static_cast<uint8_t>(1 << random_() % 4); }

  void Leaf() {
    switch (random_() % 6) {
      case 0: {
        const int64_t values[] = {0, 1, -1, 5, 127, -128, INT32_MAX, INT64_MIN, 1 << 20};
        code_.push_back(I(Op::kConst, random_() % 2 == 0 ? values[random_() % 9]
                                                         : static_cast<int64_t>(random_())));
        break;
      }
      case 1:
        code_.push_back(I(Op::kCfa));
        code_.push_back(I(Op::kAddImm, static_cast<int64_t>(random_() % 32) * 8 - 8));
        if (random_() % 2 == 0) code_.push_back(I(Op::kLoad, 0, Size(), random_() % 2));
        break;
      case 2:  // a member behind a pointer in a register, and perhaps one more hop
        code_.push_back(I(Op::kRegister, 0, static_cast<uint8_t>(random_() % 16)));
        code_.push_back(I(Op::kAddImm, static_cast<int64_t>(random_() % 8) * 8));
        code_.push_back(I(Op::kLoad, 0, Size(), random_() % 2));
        break;
      case 3:
        code_.push_back(
            I(Op::kModuleAddress,
              static_cast<int64_t>(reinterpret_cast<uint64_t>(g_buffer) + random_() % 4088)));
        code_.push_back(I(Op::kLoad, 0, Size(), random_() % 2));
        break;
      default:
        code_.push_back(I(Op::kRegister, 0, static_cast<uint8_t>(random_() % 16)));
        if (random_() % 2 == 0) code_.push_back(I(Op::kExtend, 0, Size(), random_() % 2));
    }
    ++depth_;
  }

  void Binary() {
    static constexpr Op kOps[] = {Op::kAdd,  Op::kSub,  Op::kMul,  Op::kAnd,  Op::kOr,   Op::kXor,
                                  Op::kShl,  Op::kShrU, Op::kShrS, Op::kEq,   Op::kNe,   Op::kLtS,
                                  Op::kLtU,  Op::kLeS,  Op::kLeU,  Op::kDivS, Op::kDivU, Op::kModS,
                                  Op::kModU, Op::kFEq,  Op::kFLt,  Op::kFLe,  Op::kFNe};
    code_.push_back(I(kOps[random_() % std::size(kOps)]));
    --depth_;
  }

  void Step() {
    const uint64_t choice = random_() % 16;
    if (choice < 4 && depth_ < 6) return Leaf();
    if (choice < 8 && depth_ >= 2) return Binary();
    if (choice == 8 && depth_ >= 2) return code_.push_back(I(Op::kSwap));
    if (choice == 9 && depth_ >= 3) return code_.push_back(I(Op::kRot));
    if (choice == 10 && depth_ < 6) {
      code_.push_back(I(Op::kPick, 0, static_cast<uint8_t>(random_() % depth_)));
      ++depth_;
      return;
    }
    if (choice == 11 && depth_ < 6) {
      code_.push_back(I(Op::kDup));
      ++depth_;
      return;
    }
    if (choice == 12 && depth_ >= 2) return ShortCircuit();
    static constexpr Op kUnary[] = {Op::kNeg, Op::kNot, Op::kLogicalNot, Op::kBool};
    code_.push_back(I(kUnary[random_() % 4]));
  }

  // x ? y : z, as && and || are compiled.
  void ShortCircuit() {
    const bool zero = random_() % 2 == 0;
    if (random_() % 2 == 0) code_.push_back(I(Op::kBool));
    const size_t jump = code_.size();
    code_.push_back(I(zero ? Op::kJumpIfZero : Op::kJumpIfNonZero));
    --depth_;
    Leaf();
    const size_t skip = code_.size();
    code_.push_back(I(Op::kJump));
    --depth_;
    code_[jump].imm = static_cast<int64_t>(code_.size() - jump);
    Leaf();
    code_[skip].imm = static_cast<int64_t>(code_.size() - skip);
  }

  std::mt19937_64 random_;
  std::vector<Insn> code_;
  uint64_t depth_ = 0;
};

}  // namespace stillframe::probe::code_test

#endif  // STILLFRAME_TESTS_AGENT_PROBE_PROGRAM_GENERATOR_H_
