// What the tests of variables share: the target programs, libdw handles, GDB's answers.
#ifndef STILLFRAME_TESTS_SYMBOLIZER_VARIABLES_SUPPORT_H_
#define STILLFRAME_TESTS_SYMBOLIZER_VARIABLES_SUPPORT_H_

#include <elfutils/libdw.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace stillframe::variables_test {

// Programs are built beside the tests: <build>/tests/targets/variables_NAME.
std::string TargetPath(const std::string& name);

// An open program: its Dwarf lives as long as this.
class DwarfFileHandle {
 public:
  explicit DwarfFileHandle(const std::string& path);
  ~DwarfFileHandle();
  DwarfFileHandle(const DwarfFileHandle&) = delete;
  DwarfFileHandle& operator=(const DwarfFileHandle&) = delete;

  Dwarf* dwarf() const { return dwarf_; }
  // The compile unit that covers pc; nullptr when none does.
  Dwarf_Die* UnitAt(uint64_t pc);
  // Distinct statement addresses of a source file (by its last path component), ascending, at most
  // `max` of them, evenly spread.
  std::vector<uint64_t> Statements(const std::string& file, size_t max);
  // The lowest statement address of file:line; 0 when the line has no code.
  uint64_t AddressOf(const std::string& file, int line);

 private:
  int fd_ = -1;
  Dwarf* dwarf_ = nullptr;
  std::vector<Dwarf_Die> units_;
};

// The line of `source` (a path below the build's source of targets) that contains `text`.
int LineWith(const std::string& source_path, const std::string& text);

// A scalar in a variable, as GDB sees it.
struct Leaf {
  std::string path;
  uint32_t bit_position = 0;
  uint32_t bit_size = 0;                      // 0: not a bit-field
  std::optional<std::vector<uint8_t>> bytes;  // of the whole scalar; nullopt: GDB has no value
};
struct GdbVariable {
  std::string name;
  std::string type;
  uint32_t line = 0;  // of its declaration
  std::vector<Leaf> leaves;
};
struct GdbFrame {
  std::string function;
  uint32_t line = 0;
  std::vector<GdbVariable> variables;
};
struct GdbMachineFrame {
  uint64_t pc = 0;
  uint32_t valid = 0;
  uint64_t cfa = 0;
  std::array<uint64_t, 16> registers{};
  std::vector<GdbFrame> frames;
};
struct GdbStop {
  uint64_t link_pc = 0;
  uint64_t bias = 0;
  uint8_t xmm[16][16] = {};
  uint64_t thread_pointer = 0;
  std::map<uint64_t, std::vector<uint8_t>> memory;  // by start address
  std::vector<GdbMachineFrame> machine_frames;
};

// Runs the program under GDB, one stop at each address that is reached.
std::vector<GdbStop> AskGdb(const std::string& program, const std::vector<uint64_t>& pcs);

}  // namespace stillframe::variables_test

#endif  // STILLFRAME_TESTS_SYMBOLIZER_VARIABLES_SUPPORT_H_
