#include "agent/dw_stubs/dw_stubs.h"

#include <dlfcn.h>

#include <iterator>

namespace stillframe::agent {
namespace {

constexpr const char* kNames[] = {
#define STILLFRAME_DW(name) #name,
#include "agent/dw_stubs/dw_functions.inc"
#undef STILLFRAME_DW
};

// What is called when the library is not there: null, or 0 matches, or "no such thing".
long Missing() { return 0; }

}  // namespace

// Filled by LoadDw, read by the jumps of x86_64.S; same order as the names.
extern "C" __attribute__((visibility("hidden"))) void* stillframe_dw_table[std::size(kNames)];
void* stillframe_dw_table[std::size(kNames)];

Status LoadDw() {
  if (stillframe_dw_table[0] != nullptr &&
      stillframe_dw_table[0] != reinterpret_cast<void*>(&Missing)) {
    return Status();
  }
  for (void*& entry : stillframe_dw_table) entry = reinterpret_cast<void*>(&Missing);
  // libdw brings libelf, whose functions are found through it.
  void* library = dlopen("libdw.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return Status(Code::kUnavailable, dlerror());
  void* found[std::size(kNames)];
  for (size_t i = 0; i < std::size(kNames); ++i) {
    found[i] = dlsym(library, kNames[i]);
    if (found[i] == nullptr) {
      return Status(Code::kUnavailable, std::string("libdw.so.1 has no ") + kNames[i]);
    }
  }
  for (size_t i = 0; i < std::size(kNames); ++i) stillframe_dw_table[i] = found[i];
  return Status();
}

}  // namespace stillframe::agent
