// Capstone's static library starts every architecture that it knows through a table, so all of them
// are linked in: 2 MB of rodata and 78,000 relocations that each process would apply at start, 10
// ms and 4 MB (measured). Defined here, hidden and first in the link, the other architectures
// answer CS_ERR_ARCH, and the linker leaves theirs out. x86 stays Capstone's own.

extern "C" {

#define STILLFRAME_NO_ARCHITECTURE(name)                                              \
  __attribute__((visibility("hidden"))) int name##_global_init(void*);                \
  __attribute__((visibility("hidden"))) int name##_option(void*, int, unsigned long); \
  int name##_global_init(void*) { return 2; }                                         \
  int name##_option(void*, int, unsigned long) { return 2; }

STILLFRAME_NO_ARCHITECTURE(ARM)
STILLFRAME_NO_ARCHITECTURE(AArch64)
STILLFRAME_NO_ARCHITECTURE(EVM)
STILLFRAME_NO_ARCHITECTURE(M680X)
STILLFRAME_NO_ARCHITECTURE(M68K)
STILLFRAME_NO_ARCHITECTURE(Mips)
STILLFRAME_NO_ARCHITECTURE(PPC)
STILLFRAME_NO_ARCHITECTURE(Sparc)
STILLFRAME_NO_ARCHITECTURE(SystemZ)
STILLFRAME_NO_ARCHITECTURE(TMS320C64x)
STILLFRAME_NO_ARCHITECTURE(XCore)

#undef STILLFRAME_NO_ARCHITECTURE

}  // extern "C"
