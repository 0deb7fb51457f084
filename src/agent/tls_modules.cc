#include "agent/tls_modules.h"

#include <dlfcn.h>

#include <cstring>
#include <string>

namespace stillframe::agent {
namespace {

// Of a field, as libthread_db has it.
struct FieldDescriptor {
  uint32_t size_bits;
  uint32_t elements;
  uint32_t offset;
};

bool Find(const char* field, FieldDescriptor& out) {
  const std::string symbol = std::string("_thread_db_") + field;
  const void* const found = dlsym(RTLD_DEFAULT, symbol.c_str());
  if (found == nullptr) return false;
  std::memcpy(&out, found, sizeof out);
  return true;
}

bool IsWordAt(const char* field, uint32_t offset) {
  FieldDescriptor found{};
  return Find(field, found) && found.size_bits == 64 && found.offset == offset;
}

// What hit/thread_locals.cc takes for granted.
bool HasKnownLayout() {
  FieldDescriptor slots{};
  const void* const slot_bytes = dlsym(RTLD_DEFAULT, "_thread_db_sizeof_dtv_slotinfo");
  uint32_t size_bytes = 0;
  if (slot_bytes != nullptr) std::memcpy(&size_bytes, slot_bytes, sizeof size_bytes);
  return IsWordAt("dtv_slotinfo_list_len", 0) && IsWordAt("dtv_slotinfo_list_next", 8) &&
         Find("dtv_slotinfo_list_slotinfo", slots) && slots.offset == 16 && size_bytes == 16 &&
         IsWordAt("dtv_slotinfo_gen", 0) && IsWordAt("dtv_slotinfo_map", 8) &&
         IsWordAt("dtv_t_counter", 0) && IsWordAt("dtv_t_pointer_val", 0) &&
         IsWordAt("pthread_dtvp", 8);
}

}  // namespace

TlsModules FindTlsModules() {
  FieldDescriptor list{};
  FieldDescriptor offset{};
  const auto* const loader = static_cast<const char*>(dlsym(RTLD_DEFAULT, "_rtld_global"));
  if (loader == nullptr || !HasKnownLayout() ||
      !Find("rtld_global__dl_tls_dtv_slotinfo_list", list) || list.size_bits != 64 ||
      !Find("link_map_l_tls_offset", offset) || offset.size_bits != 64) {
    return {0, 0};
  }
  TlsModules out{0, offset.offset};
  std::memcpy(&out.list, loader + list.offset, sizeof out.list);  // later pieces hang on the first
  return out;
}

}  // namespace stillframe::agent
