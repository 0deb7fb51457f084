// What the tests of this folder share: a hit that looks closely, and code made at run time.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_PROBE_TESTING_H_
#define STILLFRAME_TESTS_AGENT_PROBE_PROBE_TESTING_H_

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/hit/hit.h"
#include "agent/probe/installer.h"
#include "plan/record.h"

namespace stillframe::probe {

// What the last hit saw. One thread at a time, but for `count`.
struct HitLog {
  uint64_t count = 0;  // atomically

  uint64_t Count() const { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
  RegisterFile registers{};
  hit::SiteRuntime* runtime = nullptr;
  uint64_t entry_flags = 0;
  uint64_t entry_rsp = 0;
};
inline HitLog g_hits;

#define SF_TEST_GENERAL_REGS \
  __attribute__((target("general-regs-only"), no_sanitize("address", "undefined", "thread")))

// Records, then destroys everything that the calling convention lets it destroy.
SF_TEST_GENERAL_REGS inline void RecordingHit(hit::SiteRuntime* runtime, void* registers) {
  uint64_t flags = 0;
  uint64_t rsp = 0;
  asm volatile("pushfq\n\tpopq %0\n\tmovq %%rsp, %1" : "=r"(flags), "=r"(rsp));
  __atomic_fetch_add(&g_hits.count, 1, __ATOMIC_RELAXED);
  const auto* words = static_cast<const uint64_t*>(registers);
  auto* copy = reinterpret_cast<volatile uint64_t*>(&g_hits.registers);
  for (size_t i = 0; i < sizeof(RegisterFile) / 8; ++i) copy[i] = words[i];
  g_hits.runtime = runtime;
  g_hits.entry_flags = flags;
  g_hits.entry_rsp = rsp;
  asm volatile(
      "movq $-1, %%rax\n\tmovq $-2, %%rcx\n\tmovq $-3, %%rdx\n\tmovq $-4, %%rsi\n\t"
      "movq $-5, %%rdi\n\tmovq $-6, %%r8\n\tmovq $-7, %%r9\n\tmovq $-8, %%r10\n\t"
      "movq $-9, %%r11\n\taddq $1, %%rax\n\t" ::
          : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc", "memory");
}

SF_TEST_GENERAL_REGS inline void CountingHit(hit::SiteRuntime*, void*) {
  __atomic_fetch_add(&g_hits.count, 1, __ATOMIC_RELAXED);
}

// Counts as the real hit path does: a site without a list is out of force.
SF_TEST_GENERAL_REGS inline void ListedHit(hit::SiteRuntime* runtime, void*) {
  if (runtime->list.load(std::memory_order_acquire) == nullptr) return;
  __atomic_fetch_add(&g_hits.count, 1, __ATOMIC_RELAXED);
}
inline constexpr hit::SiteProbeList kSomeList{};

SF_TEST_GENERAL_REGS inline void EmptyHit(hit::SiteRuntime*, void*) {}

inline std::unique_ptr<Installer> MakeInstaller(HitFunction hit = RecordingHit) {
  auto writer = TextWriter::Create(MakeLinuxTextSystem());
  EXPECT_TRUE(writer.ok()) << writer.status().ToString();
  return std::make_unique<Installer>(hit, std::move(*writer));
}

// Executable memory that plays a module: code is put in, then it is sealed. Each lives at an
// address of its own with nothing near, and is never unmapped (trampolines refer to it).
class TestModule {
 public:
  explicit TestModule(size_t size_bytes = 1 << 16) : size_(size_bytes) {
    static std::atomic<uint64_t> next{kFirst};
    void* const wanted = reinterpret_cast<void*>(next.fetch_add(uint64_t{1} << 36));
    void* got = mmap(wanted, size_ + kDataBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    EXPECT_EQ(got, wanted);
    base_ = reinterpret_cast<uint64_t>(got);
    std::memset(got, 0xCC, size_);
  }

  void Put(uint64_t offset, std::string_view code) {
    ASSERT_LE(offset + code.size(), size_);
    std::memcpy(reinterpret_cast<void*>(base_ + offset), code.data(), code.size());
  }
  void Seal() {
    ASSERT_EQ(mprotect(reinterpret_cast<void*>(base_), size_, PROT_READ | PROT_EXEC), 0);
    original_.assign(bytes(), bytes() + size_);
  }
  uint64_t at(uint64_t offset) const { return base_ + offset; }
  // A writable page behind the text.
  uint64_t data() const { return base_ + size_; }
  RuntimeAddress site(uint64_t offset) const { return RuntimeAddress(base_ + offset); }
  ModuleText text() const {
    return ModuleText{"test module", RuntimeAddress(base_), RuntimeAddress(base_ + size_)};
  }
  const uint8_t* bytes() const { return reinterpret_cast<const uint8_t*>(base_); }
  bool IsOriginal() const { return std::equal(original_.begin(), original_.end(), bytes()); }
  template <typename R = uint64_t, typename... Args>
  R Call(uint64_t offset, Args... args) const {
    return reinterpret_cast<R (*)(Args...)>(base_ + offset)(args...);
  }

 private:
  // Where nothing else lies, the shadow of a sanitizer included (asan_mapping.h; tsan_platform.h
  // has room for mappings in its lowest half TiB).
#if defined(__SANITIZE_THREAD__)
  static constexpr uint64_t kFirst = 0x2000000000;
#else
  static constexpr uint64_t kFirst = 0x200000000000;
#endif
  static constexpr size_t kDataBytes = 4096;
  size_t size_;
  uint64_t base_ = 0;
  std::vector<uint8_t> original_;
};

// Prepared and armed, or the reason.
inline Status PrepareAndArm(ProbeInstaller& installer, RuntimeAddress site,
                            const ModuleText& module, Method* method = nullptr) {
  auto prepared = installer.Prepare(site, module);
  if (!prepared.ok()) return prepared.status();
  if (method != nullptr) *method = prepared->method;
  return installer.Arm(site);
}

using namespace std::string_view_literals;

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_PROBE_TESTING_H_
