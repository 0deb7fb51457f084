// The hit path's seam to the machine, implemented in probe/arch/<arch>/hit/. All of it is signal
// safe and leaves errno and the vector registers alone.
#ifndef STILLFRAME_AGENT_HIT_ARCH_H_
#define STILLFRAME_AGENT_HIT_ARCH_H_

#include <cstdint>

extern "C" {
// A raw system call. Returns what the kernel does: a value, or minus an errno.
int64_t stillframe_syscall(int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5, uint64_t a6);
uint64_t stillframe_read_ticks();
uint64_t stillframe_thread_pointer();
// 1, or 0 when it faulted (then out's bytes are undefined). Only while the guard's handler is
// installed and this thread does not block SIGSEGV and SIGBUS.
uint64_t stillframe_guarded_copy(void* out, uint64_t address, uint64_t size_bytes);
// Forward copy; may overlap when out is below from.
void stillframe_copy(void* out, const void* from, uint64_t size_bytes);
void stillframe_save_xmm(void* out);  // 256 bytes
// The low 8 bytes of xmm0 to xmm5: the vector registers of hit::kStashCells.
void stillframe_save_arguments(void* out);
// The x87 stack from its top on, 16 bytes each, behind 32 bytes of other state. `area`: 512 bytes,
// 16-aligned.
void stillframe_save_x87(void* area);
// Code range of the guarded copy, and where a fault in it goes on.
extern const char stillframe_guarded_begin;
extern const char stillframe_guarded_end;
extern const char stillframe_guarded_failed;
}

namespace stillframe::hit {

// Moves the interrupted context past a fault in the guarded copy; false: the fault is not ours.
// `context` is the ucontext_t of a signal handler.
bool SkipGuardedFault(void* context);

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_ARCH_H_
