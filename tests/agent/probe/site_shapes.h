// One piece of code for every way in which control leaves a probed instruction. Each begins with
// the site and ends at MachineExit(); where a register or the stack must hold a target it says so.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_SITE_SHAPES_H_
#define STILLFRAME_TESTS_AGENT_PROBE_SITE_SHAPES_H_

#include <cstring>
#include <string>
#include <vector>

#include "tests/agent/probe/machine_run.h"

namespace stillframe::probe {

// Bytes of a shape's block, and where the things around the site stand in it.
inline constexpr uint64_t kShapeBytes = 128;
inline constexpr uint64_t kShapeTarget = 64;  // of branches: another way to the exit

enum class TargetIn : uint8_t { kNowhere, kR11, kStackTop, kMemory };  // kMemory: at [rbx+0x140]

struct SiteShape {
  std::string text;
  std::string site;
  TargetIn target_in = TargetIn::kNowhere;
  bool is_call = false;     // pushes; what lies below the pushed address is dead then
  uint8_t relative_at = 0;  // a rel8 or rel32 to the target, counted from the end
  uint8_t relative_bytes = 0;
  bool operand_is_data = false;  // the rel32 leads to the data page instead
};

inline std::vector<SiteShape> SiteShapes() {
  using namespace std::string_literals;
  return {
      {"nop", "\x90"s},
      {"mov eax, ecx", "\x89\xC8"s},
      {"add rax, rcx", "\x48\x01\xC8"s},
      {"cmp eax, imm32", "\x3D\x10\x20\x30\x40"s},
      {"mov rax, imm32", "\x48\xC7\xC0\x2A\x00\x00\x00"s},
      {"movabs rax, imm64", "\x48\xB8\x88\x77\x66\x55\x44\x33\x22\x11"s},
      {"mov rax, [rip+x]", "\x48\x8B\x05\x00\x00\x00\x00"s, TargetIn::kNowhere, false, 3, 4, true},
      {"call rel32", "\xE8\x00\x00\x00\x00"s, TargetIn::kNowhere, true, 1, 4},
      {"call r11", "\x41\xFF\xD3"s, TargetIn::kR11, true},
      {"call [rbx+0x140]", "\xFF\x93\x40\x01\x00\x00"s, TargetIn::kMemory, true},
      {"jmp rel8", "\xEB\x00"s, TargetIn::kNowhere, false, 1, 1},
      {"jmp rel32", "\xE9\x00\x00\x00\x00"s, TargetIn::kNowhere, false, 1, 4},
      {"jmp r11", "\x41\xFF\xE3"s, TargetIn::kR11},
      {"jmp [rbx+0x140]", "\xFF\xA3\x40\x01\x00\x00"s, TargetIn::kMemory},
      {"je rel8", "\x74\x00"s, TargetIn::kNowhere, false, 1, 1},
      {"jg rel32", "\x0F\x8F\x00\x00\x00\x00"s, TargetIn::kNowhere, false, 2, 4},
      {"loop rel8", "\xE2\x00"s, TargetIn::kNowhere, false, 1, 1},
      {"jrcxz rel8", "\xE3\x00"s, TargetIn::kNowhere, false, 1, 1},
      {"ret", "\xC3"s, TargetIn::kStackTop},
      {"ret imm16", "\xC2\x08\x00"s, TargetIn::kStackTop},
  };
}

inline std::string JumpToExit() {
  std::string code("\xFF\x25\x00\x00\x00\x00", 6);
  const uint64_t exit = MachineExit();
  return code.append(reinterpret_cast<const char*>(&exit), sizeof exit);
}

// The block's bytes when it stands at `address`. The target counts itself in r15.
inline std::string ShapeCode(const SiteShape& shape, uint64_t address, uint64_t data) {
  std::string site = shape.site;
  const uint64_t to = shape.operand_is_data ? data + 64 : address + kShapeTarget;
  const auto distance = static_cast<uint32_t>(to - (address + site.size()));
  std::memcpy(site.data() + shape.relative_at, &distance, shape.relative_bytes);
  // nopl 0(%rax,%rax): as a jump's displacement it leads some megabytes up.
  const std::string filler("\x0f\x1f\x44\x00\x00\x0f\x1f\x44\x00\x00", 10);
  std::string code = site + filler + JumpToExit();
  code.resize(kShapeTarget, '\xCC');
  code += "\x49\xFF\xC7" + JumpToExit();
  code.resize(kShapeBytes, '\xCC');
  return code;
}

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_SITE_SHAPES_H_
