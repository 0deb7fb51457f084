#include "tests/symbolizer/variables_support.h"

#include <dwarf.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "gtest/gtest.h"

namespace stillframe::variables_test {
namespace {

std::string TestFolder() {
  char self[PATH_MAX] = {};
  if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0) abort();
  const std::string path(self);
  return path.substr(0, path.rfind('/'));
}

std::vector<uint8_t> Unhex(const std::string& text) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}

uint64_t Hex(const std::string& text) { return std::stoull(text, nullptr, 16); }

// Reads the oracle's lines; see tests/targets/variables/oracle.py.
class OracleReader {
 public:
  void Read(const std::vector<std::string>& f) {
    if (f[0] == "STOP") {
      stops_.emplace_back();
      Stop().link_pc = Hex(f.at(1));
      Stop().bias = Hex(f.at(2));
    } else if (f[0] == "X") {
      ReadXmm(f);
    } else if (f[0] == "T") {
      Stop().thread_pointer = Hex(f.at(1));
    } else if (f[0] == "M") {
      Stop().memory[Hex(f.at(1))] = Unhex(f.at(2));
    } else if (f[0] == "R") {
      ReadRegisters(f);
    } else if (f[0] == "F") {
      const auto line = static_cast<uint32_t>(std::stoul(f.at(3)));
      Machine().frames.push_back({f.at(2), line, {}});
    } else if (f[0] == "V") {
      Machine().frames.back().variables.push_back(
          {f.at(1), f.at(2), static_cast<uint32_t>(std::stoul(f.at(3))), {}});
    } else if (f[0] == "L") {
      ReadLeaf(f);
    }
  }

  std::vector<GdbStop> Take() { return std::move(stops_); }

 private:
  GdbStop& Stop() { return stops_.back(); }
  GdbMachineFrame& Machine() { return Stop().machine_frames.back(); }

  void ReadXmm(const std::vector<std::string>& f) {
    for (size_t i = 0; i < 16; ++i) {
      const std::vector<uint8_t> bytes = Unhex(f.at(i + 1));
      for (size_t j = 0; j < 16; ++j) Stop().xmm[i][15 - j] = bytes.at(j);
    }
  }

  void ReadRegisters(const std::vector<std::string>& f) {
    GdbMachineFrame frame;
    frame.pc = Hex(f.at(2));
    frame.valid = static_cast<uint32_t>(Hex(f.at(3)));
    frame.cfa = Hex(f.at(4));
    for (size_t i = 0; i < 16; ++i) frame.registers[i] = Hex(f.at(5 + i));
    Stop().machine_frames.push_back(frame);
  }

  void ReadLeaf(const std::vector<std::string>& f) {
    Leaf leaf;
    leaf.path = f.at(1);
    leaf.bit_position = static_cast<uint32_t>(std::stoul(f.at(2)));
    leaf.bit_size = static_cast<uint32_t>(std::stoul(f.at(3)));
    if (f.at(4) != "-") leaf.bytes = Unhex(f.at(4));
    Machine().frames.back().variables.back().leaves.push_back(std::move(leaf));
  }

  std::vector<GdbStop> stops_;
};

}  // namespace

std::string TargetPath(const std::string& name) {
  return TestFolder() + "/targets/variables_" + name;
}

DwarfFileHandle::DwarfFileHandle(const std::string& path) {
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ >= 0) dwarf_ = dwarf_begin(fd_, DWARF_C_READ);
  if (dwarf_ == nullptr) {
    ADD_FAILURE() << "no debug information in " << path;
    abort();
  }
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  uint8_t type = 0;
  while (dwarf_get_units(dwarf_, unit, &unit, nullptr, &type, &die, nullptr) == 0) {
    if (type == DW_UT_compile) units_.push_back(die);
  }
}

DwarfFileHandle::~DwarfFileHandle() {
  dwarf_end(dwarf_);
  close(fd_);
}

Dwarf_Die* DwarfFileHandle::UnitAt(uint64_t pc) {
  for (Dwarf_Die& unit : units_) {
    if (dwarf_haspc(&unit, pc) == 1) return &unit;
  }
  return nullptr;
}

std::vector<uint64_t> DwarfFileHandle::Statements(const std::string& file, size_t max) {
  std::set<uint64_t> found;
  for (Dwarf_Die& unit : units_) {
    Dwarf_Lines* lines = nullptr;
    size_t count = 0;
    if (dwarf_getsrclines(&unit, &lines, &count) != 0) continue;
    for (size_t i = 0; i < count; ++i) {
      Dwarf_Line* line = dwarf_onesrcline(lines, i);
      bool statement = false;
      bool end = false;
      Dwarf_Addr address = 0;
      dwarf_linebeginstatement(line, &statement);
      dwarf_lineendsequence(line, &end);
      dwarf_lineaddr(line, &address);
      const char* path = dwarf_linesrc(line, nullptr, nullptr);
      if (!statement || end || path == nullptr || !std::string(path).ends_with("/" + file))
        continue;
      found.insert(address);
    }
  }
  const std::vector<uint64_t> all(found.begin(), found.end());
  if (all.size() <= max) return all;
  std::vector<uint64_t> out;
  for (size_t i = 0; i < max; ++i) out.push_back(all[i * all.size() / max]);
  return out;
}

uint64_t DwarfFileHandle::AddressOf(const std::string& file, int wanted) {
  uint64_t best = 0;
  for (Dwarf_Die& unit : units_) {
    Dwarf_Lines* lines = nullptr;
    size_t count = 0;
    if (dwarf_getsrclines(&unit, &lines, &count) != 0) continue;
    for (size_t i = 0; i < count; ++i) {
      Dwarf_Line* line = dwarf_onesrcline(lines, i);
      int number = 0;
      bool end = false;
      Dwarf_Addr address = 0;
      dwarf_lineno(line, &number);
      dwarf_lineendsequence(line, &end);
      dwarf_lineaddr(line, &address);
      const char* path = dwarf_linesrc(line, nullptr, nullptr);
      if (number != wanted || end || path == nullptr) continue;
      if (!std::string(path).ends_with("/" + file)) continue;
      if (best == 0 || address < best) best = address;
    }
  }
  return best;
}

int LineWith(const std::string& source_path, const std::string& text) {
  std::ifstream in(source_path);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.find(text) != std::string::npos) return number;
  }
  ADD_FAILURE() << "no line of " << source_path << " holds " << text;
  return 0;
}

std::vector<GdbStop> AskGdb(const std::string& program, const std::vector<uint64_t>& pcs) {
  const std::string stem = testing::TempDir() + "variables_" + std::to_string(getpid());
  const std::string listing = stem + ".pcs";
  const std::string answer = stem + ".out";
  {
    std::ofstream out(listing);
    for (const uint64_t pc : pcs) out << std::hex << pc << "\n";
  }
  const std::string command = "gdb -nx -q -batch -ex 'set $oracle_pcs = \"" + listing +
                              "\"' -ex 'set $oracle_out = \"" + answer + "\"' -ex 'source " +
                              TestFolder() + "/targets/variables_oracle.py' " + program + " > " +
                              stem + ".log 2>&1";
  const int status = std::system(command.c_str());
  std::ifstream log(stem + ".log");
  EXPECT_EQ(status, 0) << command << "\n" << std::string(std::istreambuf_iterator<char>(log), {});
  OracleReader reader;
  std::ifstream in(answer);
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string field; std::getline(parts, field, '\t');) fields.push_back(field);
    if (!fields.empty()) reader.Read(fields);
  }
  for (const char* suffix : {".pcs", ".out", ".log"}) std::remove((stem + suffix).c_str());
  return reader.Take();
}

}  // namespace stillframe::variables_test
