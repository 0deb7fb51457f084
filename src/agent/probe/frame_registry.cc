#include "agent/probe/frame_registry.h"

#include <dlfcn.h>

#include <new>

namespace stillframe::probe {
namespace {

// The name appeared with GCC 13's libgcc_s, on x86-64 and on AArch64.
constexpr const char* kLockFreeSince = "GCC_13.0.0";
constexpr const char* kLockFreeWitness = "__truncsfbf2";
constexpr const char* kSymbolVersion = "GCC_3.0";

}  // namespace

FrameRegistry FrameRegistry::Find() {
  FrameRegistry registry;
  void* const add = dlvsym(RTLD_DEFAULT, "__register_frame", kSymbolVersion);
  void* const find = dlvsym(RTLD_DEFAULT, "_Unwind_Find_FDE", kSymbolVersion);
  if (add == nullptr || find == nullptr) {
    registry.reason_ = "the program does not use libgcc_s to unwind";
  } else if (dlvsym(RTLD_DEFAULT, kLockFreeWitness, kLockFreeSince) == nullptr) {
    registry.reason_ =
        "libgcc_s before GCC 13 would take a lock in every unwind, which can hang profilers";
  } else {
    registry.register_ = reinterpret_cast<void (*)(void*)>(add);
    registry.find_ = reinterpret_cast<const void* (*)(void*, void*)>(find);
  }
  return registry;
}

void FrameRegistry::Add(std::vector<uint8_t> eh_frame, uint64_t address) {
  if (!usable() || eh_frame.size() <= 4) return;
  auto* const kept = new (std::nothrow) std::vector<uint8_t>(std::move(eh_frame));
  if (kept == nullptr) return;
  register_(kept->data());
  void* bases[3] = {};  // struct dwarf_eh_bases
  find_(reinterpret_cast<void*>(address), bases);
}

}  // namespace stillframe::probe
