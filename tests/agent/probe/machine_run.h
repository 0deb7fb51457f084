// Runs machine code from a chosen state of the whole processor and returns the state that it
// leaves: general registers with any stack pointer, flags, everything XSAVE knows (x87, MXCSR, XMM
// to ZMM, mask registers). Code ends by jumping to MachineExit(); a fault ends it as well and is
// reported. One thread of the process only: the runner's variables are static.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_MACHINE_RUN_H_
#define STILLFRAME_TESTS_AGENT_PROBE_MACHINE_RUN_H_

#include <cstdint>
#include <cstring>
#include <string>

namespace stillframe::probe {

inline constexpr uint32_t kXsaveBytes = 4096 - 192;  // AVX-512 needs 2,696; AMX is left out

struct alignas(64) MachineState {
  uint64_t gpr[16];  // DWARF order, as RegisterFile; rsp included
  uint64_t rflags;
  uint64_t pad[7];
  alignas(64) uint8_t xsave[kXsaveBytes];  // standard format (SDM volume 1 §13.4)
};

inline constexpr uint64_t kRflagsStatus = 0x8D5;  // OF SF ZF AF PF CF
inline constexpr uint64_t kRflagsDirection = 0x400;
inline constexpr int kStateRbx = 3, kStateRbp = 6, kStateRsp = 7, kStateR11 = 11;

// How the code ended: by jumping to MachineExit (signal 0) or by a fault.
struct MachineFault {
  int signal = 0;
  int code = 0;
  uint64_t address = 0;  // si_addr
  uint64_t rip = 0;
};

// What this processor and kernel let user code have, once per process.
struct MachineFeatures {
  uint64_t xsave_mask = 0;   // components that are saved and compared; 0: no XSAVE
  uint32_t xsave_bytes = 0;  // of the standard format with these
  bool fsgsbase = false;     // WRFSBASE may be used
};
const MachineFeatures& Machine();

// Call once before the first run; false with a reason when the machine has no XSAVE.
bool StartMachine(std::string* why_not);
uint64_t MachineExit();
// fs_base: 0 leaves FS alone; otherwise it is in force while the code runs.
MachineFault RunMachine(const MachineState& in, MachineState& out, uint64_t code,
                        uint64_t fs_base = 0);

// xorshift64*: two orders of magnitude faster than filling kilobytes from mt19937_64.
class FastRandom {
 public:
  explicit FastRandom(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u | 1) {}
  uint64_t operator()() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  uint64_t Below(uint64_t bound) { return (*this)() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  void Fill(void* out, size_t size_bytes) {
    auto* words = static_cast<uint8_t*>(out);
    for (size_t i = 0; i + 8 <= size_bytes; i += 8) {
      const uint64_t word = (*this)();
      std::memcpy(words + i, &word, sizeof word);
    }
  }

 private:
  uint64_t state_;
};

// Random registers, flags and extended state. `unmask`: floating-point exceptions may be unmasked
// and pending (code without floating-point instructions does not notice).
void RandomizeState(FastRandom& random, MachineState& state, bool unmask);
// "" when both are bit-identical, else what differs first.
std::string DescribeDifference(const MachineState& expected, const MachineState& actual);
bool SameState(const MachineState& a, const MachineState& b);

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_MACHINE_RUN_H_
