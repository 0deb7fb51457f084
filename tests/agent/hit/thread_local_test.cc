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

// A thread and a loader made up of plain words, as glibc lays them out.
struct FakeThreads {
  uint64_t near_map[2] = {0, 64};                  // link maps: the distance in the second word
  uint64_t far_map[2] = {0, 0};                    // no distance is decided
  uint64_t refused_map[2] = {0, ~uint64_t{0}};     // and never will be
  uint64_t more[4] = {1, 0, 9, Address(far_map)};  // module 5, which came as the ninth change
  uint64_t list[12] = {5, Address(more),    0, 0, 0, Address(near_map),
                       2, Address(far_map), 3, 0, 4, Address(refused_map)};
  uint64_t dtv[14] = {5, 0,      4, 0, ~uint64_t{0}, 0, 0x2000, 0, 0x3000, 0, ~uint64_t{0},
                      0, 0x5000, 0};
  uint64_t control[2] = {0, Address(dtv + 2)};
  TlsModules modules{Address(list), 8};

  template <typename T>
  static uint64_t Address(const T* of) {
    return reinterpret_cast<uint64_t>(of);
  }
  EvalResult Block(uint64_t module) const {
    FrameContext frame{};
    frame.thread_pointer = Address(control);
    frame.tls_modules = &modules;
    const Insn code[] = {I(Op::kConst, static_cast<int64_t>(module)), I(Op::kThreadBlock),
                         I(Op::kReturn)};
    return Evaluate(code, 3, frame, kOwnMemory, nullptr);
  }
};

TEST(ThreadLocal, GoesByTheModulesThatTheLoaderKnows) {
  FakeThreads threads;
  EXPECT_EQ(threads.Block(0).error, Code::kUnsupportedLocation);
  // At one distance in all threads, although this one's DTV does not have it.
  EXPECT_EQ(threads.Block(1).value, FakeThreads::Address(threads.control) - 64);
  EXPECT_EQ(threads.Block(2).value, 0x2000u);
  EXPECT_EQ(threads.Block(3).error, Code::kThreadLocalNotAllocated);  // its module is gone
  EXPECT_EQ(threads.Block(4).error, Code::kThreadLocalNotAllocated);
  // What the thread has was another module's: it has not looked since this one came.
  EXPECT_EQ(threads.Block(5).error, Code::kThreadLocalNotAllocated);
  threads.dtv[2] = 9;
  EXPECT_EQ(threads.Block(5).value, 0x5000u);
  EXPECT_EQ(threads.Block(6).error, Code::kThreadLocalNotAllocated);
  threads.more[1] = FakeThreads::Address(threads.more);  // damaged: leads back
  EXPECT_EQ(threads.Block(70).error, Code::kThreadLocalNotAllocated);
}

TEST(ThreadLocal, IsBelowTheThreadPointer) {
  FrameContext frame{};
  const auto at = [&frame](int64_t offset) {
    const Insn code[] = {I(Op::kConst, offset), I(Op::kThreadOffset), I(Op::kReturn)};
    return Evaluate(code, 3, frame, kOwnMemory, nullptr);
  };
  EXPECT_EQ(at(-8).error, Code::kUnsupportedLocation);  // of an unknown thread
  frame.thread_pointer = 4096;
  EXPECT_EQ(at(-8).value, 4088u);
  // What stays in the table for a weak symbol that nobody defines.
  EXPECT_EQ(at(0).error, Code::kThreadLocalNotAllocated);
}

}  // namespace
}  // namespace stillframe::hit
