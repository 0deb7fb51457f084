// Runs machine code from a chosen register state and returns the state that it leaves.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_CPU_STATE_H_
#define STILLFRAME_TESTS_AGENT_PROBE_CPU_STATE_H_

#include <cstdint>
#include <cstring>

#include "plan/record.h"

namespace stillframe::probe {

struct CpuState {
  uint64_t gpr[16];  // DWARF order, as RegisterFile
  uint64_t rflags;
  uint64_t mxcsr;
  uint8_t xmm[16][16];
  friend bool operator==(const CpuState& a, const CpuState& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
};
static_assert(sizeof(CpuState) == 16 * 8 + 16 + 256);

inline constexpr uint64_t kStatusFlags = 0x8D5;  // OF SF ZF AF PF CF
inline constexpr uint64_t kDirectionFlag = 0x400;

// Loads everything of `in` but rsp, calls `code`, stores everything to `out`.
__attribute__((naked, noinline, no_sanitize("address"))) inline void RunWithState(
    const CpuState* /*in: rdi*/, CpuState* /*out: rsi*/, uint64_t /*code: rdx*/) {
  asm volatile(R"(
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $40, %rsp
    movq %rsi, 0(%rsp)
    movq %rdx, 8(%rsp)
    movdqu 144(%rdi), %xmm0
    movdqu 160(%rdi), %xmm1
    movdqu 176(%rdi), %xmm2
    movdqu 192(%rdi), %xmm3
    movdqu 208(%rdi), %xmm4
    movdqu 224(%rdi), %xmm5
    movdqu 240(%rdi), %xmm6
    movdqu 256(%rdi), %xmm7
    movdqu 272(%rdi), %xmm8
    movdqu 288(%rdi), %xmm9
    movdqu 304(%rdi), %xmm10
    movdqu 320(%rdi), %xmm11
    movdqu 336(%rdi), %xmm12
    movdqu 352(%rdi), %xmm13
    movdqu 368(%rdi), %xmm14
    movdqu 384(%rdi), %xmm15
    ldmxcsr 136(%rdi)
    pushq 128(%rdi)
    popfq
    movq 0(%rdi), %rax
    movq 8(%rdi), %rdx
    movq 16(%rdi), %rcx
    movq 24(%rdi), %rbx
    movq 32(%rdi), %rsi
    movq 48(%rdi), %rbp
    movq 64(%rdi), %r8
    movq 72(%rdi), %r9
    movq 80(%rdi), %r10
    movq 88(%rdi), %r11
    movq 96(%rdi), %r12
    movq 104(%rdi), %r13
    movq 112(%rdi), %r14
    movq 120(%rdi), %r15
    movq 40(%rdi), %rdi
    call *8(%rsp)
    movq %rdi, 16(%rsp)
    movq 0(%rsp), %rdi
    movq %rax, 0(%rdi)
    movq %rdx, 8(%rdi)
    movq %rcx, 16(%rdi)
    movq %rbx, 24(%rdi)
    movq %rsi, 32(%rdi)
    movq 16(%rsp), %rax
    movq %rax, 40(%rdi)
    movq %rbp, 48(%rdi)
    movq %rsp, 56(%rdi)
    movq %r8, 64(%rdi)
    movq %r9, 72(%rdi)
    movq %r10, 80(%rdi)
    movq %r11, 88(%rdi)
    movq %r12, 96(%rdi)
    movq %r13, 104(%rdi)
    movq %r14, 112(%rdi)
    movq %r15, 120(%rdi)
    pushfq
    popq 128(%rdi)
    cld
    movq $0, 136(%rdi)
    stmxcsr 136(%rdi)
    movdqu %xmm0, 144(%rdi)
    movdqu %xmm1, 160(%rdi)
    movdqu %xmm2, 176(%rdi)
    movdqu %xmm3, 192(%rdi)
    movdqu %xmm4, 208(%rdi)
    movdqu %xmm5, 224(%rdi)
    movdqu %xmm6, 240(%rdi)
    movdqu %xmm7, 256(%rdi)
    movdqu %xmm8, 272(%rdi)
    movdqu %xmm9, 288(%rdi)
    movdqu %xmm10, 304(%rdi)
    movdqu %xmm11, 320(%rdi)
    movdqu %xmm12, 336(%rdi)
    movdqu %xmm13, 352(%rdi)
    movdqu %xmm14, 368(%rdi)
    movdqu %xmm15, 384(%rdi)
    addq $40, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
  )");
}

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_CPU_STATE_H_
