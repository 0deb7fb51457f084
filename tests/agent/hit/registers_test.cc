#include "tests/agent/hit/test_plan.h"

asm(R"(
    .text
    .globl stillframe_test_registers
    .hidden stillframe_test_registers
    .type stillframe_test_registers, @function
stillframe_test_registers:
    movq %rax, 0(%rdi)
    movq %rdx, 8(%rdi)
    movq %rcx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rsi, 32(%rdi)
    movq %rdi, 40(%rdi)
    movq %rbp, 48(%rdi)
    leaq 8(%rsp), %rax
    movq %rax, 56(%rdi)
    movq %r8, 64(%rdi)
    movq %r9, 72(%rdi)
    movq %r10, 80(%rdi)
    movq %r11, 88(%rdi)
    movq %r12, 96(%rdi)
    movq %r13, 104(%rdi)
    movq %r14, 112(%rdi)
    movq %r15, 120(%rdi)
    movq (%rsp), %rax
    movq %rax, 128(%rdi)
    movq $0, 136(%rdi)
    ret
    .size stillframe_test_registers, . - stillframe_test_registers
)");

namespace stillframe::hit {
namespace {

TEST(TestRegisters, AreThoseOfTheCaller) {
  RegisterFile registers;
  stillframe_test_registers(&registers);
  const auto here = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  EXPECT_LT(registers.gpr[7], here + 4096);
  EXPECT_GT(registers.gpr[7] + 65536, here);
}

}  // namespace
}  // namespace stillframe::hit
