// Thread-local storage as location programs see it.
#include <gtest/gtest.h>
#include <link.h>

#include <cstring>
#include <thread>

#include "agent/hit/arch.h"
#include "agent/hit/interpreter.h"

namespace stillframe::hit {
namespace {

bool ReadOwn(void*, uint64_t address, void* out, uint32_t size_bytes) {
  std::memcpy(out, reinterpret_cast<const void*>(address), size_bytes);
  return true;
}
constexpr MemoryReader kOwnMemory{&ReadOwn, nullptr};

Insn I(Op op, int64_t imm = 0, uint8_t a = 0) { return MakeInsn(op, imm, a); }

thread_local long t_marked = 0x1234;

// The number and the start of this program's thread-local block, as the loader tells them.
int FindOwnBlock(dl_phdr_info* info, size_t, void* out) {
  *static_cast<dl_phdr_info*>(out) = *info;
  return 1;  // the program comes first
}

EvalResult ReadThreadLocal(uint64_t thread_pointer, uint64_t module, int64_t offset) {
  FrameContext frame{};
  frame.thread_pointer = thread_pointer;
  frame.tls_module = module;
  const Insn code[] = {I(Op::kThreadLocal, offset), I(Op::kLoad, 0, 8), I(Op::kReturn)};
  return Evaluate(code, 3, frame, kOwnMemory, nullptr);
}

TEST(ThreadLocal, IsFoundForEachThreadWithoutAllocating) {
  dl_phdr_info info{};
  dl_iterate_phdr(FindOwnBlock, &info);
  ASSERT_NE(info.dlpi_tls_modid, 0u);
  const int64_t offset =
      reinterpret_cast<char*>(&t_marked) - static_cast<char*>(info.dlpi_tls_data);
  t_marked = 0x4321;
  EXPECT_EQ(ReadThreadLocal(stillframe_thread_pointer(), info.dlpi_tls_modid, offset).value,
            0x4321u);
  std::thread([&] {
    EXPECT_EQ(ReadThreadLocal(stillframe_thread_pointer(), info.dlpi_tls_modid, offset).value,
              0x1234u);
  }).join();
}

TEST(ThreadLocal, SaysWhenThereIsNone) {
  EXPECT_EQ(ReadThreadLocal(stillframe_thread_pointer(), 0, 0).error, Code::kUnsupportedLocation);
  // More modules than this process has.
  EXPECT_EQ(ReadThreadLocal(stillframe_thread_pointer(), 5000, 0).error,
            Code::kThreadLocalNotAllocated);
  // A thread control block whose DTV has one entry that is not allocated: -1, as glibc marks it.
  const uint64_t dtv[6] = {1, 0, 0, 0, ~uint64_t{0}, 0};
  const uint64_t control[2] = {0, reinterpret_cast<uint64_t>(dtv + 2)};
  EXPECT_EQ(ReadThreadLocal(reinterpret_cast<uint64_t>(control), 1, 0).error,
            Code::kThreadLocalNotAllocated);
}

}  // namespace
}  // namespace stillframe::hit
