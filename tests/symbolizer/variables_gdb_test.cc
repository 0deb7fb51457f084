// Every variable of every frame at the same instruction: what a plan's programs yield over the
// stopped process's registers and memory, against what GDB prints.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "agent/hit/interpreter.h"
#include "gtest/gtest.h"
#include "plan/verifier.h"
#include "symbolizer/frame_compiler.h"
#include "symbolizer/type_builder_simplify.h"
#include "tests/symbolizer/variables_support.h"

namespace stillframe::variables_test {
namespace {

// Bytes of a variable, each with its own validity.
struct Image {
  std::vector<uint8_t> bytes;
  std::vector<bool> valid;
  std::vector<bool> hole;  // the debug information says that there is nothing
  explicit Image(size_t size) : bytes(size), valid(size), hole(size) {}
  void Put(size_t at, const uint8_t* data, size_t size) {
    for (size_t i = 0; i < size && at + i < bytes.size(); ++i) {
      bytes[at + i] = data[i];
      valid[at + i] = true;
    }
  }
};

// Runs locations over one machine frame of a stop.
class Evaluator {
 public:
  Evaluator(const PlanUnit& unit, const GdbStop& stop, const GdbMachineFrame& frame, bool innermost)
      : unit_(unit), stop_(stop) {
    context_.registers = frame.registers.data();
    context_.valid_registers = frame.valid;
    context_.cfa_known = 1;
    context_.cfa = frame.cfa;
    context_.load_bias = stop.bias;
    context_.xmm = innermost ? stop.xmm : nullptr;
    context_.thread_pointer = stop.thread_pointer;
    context_.tls_module = 1;  // the program itself
    for (const std::string& text : unit.strings) strings_.push_back({text.data(), text.size()});
    reader_ = {&Evaluator::ReadMemory, this};
  }

  Image Read(const Location& location, uint32_t size_bytes) {
    Image image(size_bytes);
    if (location.kind == LocationKind::kPieces) {
      size_t at = 0;
      for (uint32_t i = 0; i < location.piece_count; ++i) {
        const Piece& piece = unit_.pieces[location.first_piece + i];
        if (piece.kind == LocationKind::kUnavailable && piece.reason == Code::kOptimizedOut) {
          const size_t end = std::min<size_t>(at + piece.size_bytes, size_bytes);
          std::fill(image.hole.begin() + at, image.hole.begin() + end, true);
        }
        Place(image, at, piece.kind, piece.reg, piece.bytes, piece.program, piece.size_bytes);
        at += piece.size_bytes;
      }
    } else {
      Place(image, 0, location.kind, location.reg, location.bytes, location.program, size_bytes);
    }
    return image;
  }

 private:
  static bool ReadMemory(void* self, uint64_t address, void* out, uint32_t size) {
    const auto& memory = static_cast<Evaluator*>(self)->stop_.memory;
    auto at = memory.upper_bound(address);
    if (at == memory.begin()) return false;
    --at;
    const uint64_t offset = address - at->first;
    if (offset > at->second.size() || size > at->second.size() - offset) return false;
    std::memcpy(out, at->second.data() + offset, size);
    return true;
  }

  void Place(Image& image, size_t at, LocationKind kind, uint8_t reg, StringId bytes,
             const Program& program, uint32_t size) {
    if (kind == LocationKind::kBytes) {
      const std::string& text = unit_.strings[bytes];
      image.Put(at, reinterpret_cast<const uint8_t*>(text.data()),
                std::min<size_t>(size, text.size()));
    }
    if (kind == LocationKind::kXmm && context_.xmm != nullptr) {
      image.Put(at, context_.xmm[reg], std::min(size, 16u));
    }
    if (kind != LocationKind::kMemory && kind != LocationKind::kValue) return;
    const hit::EvalResult result = hit::Evaluate(unit_.code.data() + program.first, program.count,
                                                 context_, reader_, strings_.data());
    if (result.error != Code::kOk) return;
    if (kind == LocationKind::kValue) {
      image.Put(at, reinterpret_cast<const uint8_t*>(&result.value), std::min(size, 8u));
      return;
    }
    std::vector<uint8_t> data(size);
    if (ReadMemory(this, result.value, data.data(), size)) image.Put(at, data.data(), size);
  }

  const PlanUnit& unit_;
  const GdbStop& stop_;
  hit::FrameContext context_{};
  hit::MemoryReader reader_{};
  std::vector<hit::StringRef> strings_;
};

struct Tally {
  size_t stops = 0;
  size_t frames = 0;
  size_t both = 0;  // leaves that both have, and agree on
  size_t only_gdb = 0;
  size_t only_gdb_rewritten = 0;  // of these, of Rewritten's counter
  // Bytes of no piece: GDB 13 says "optimized out" between pieces, but behind the last one it shows
  // zeros (0 for a member that holds 77).
  size_t invented = 0;
  size_t only_ours = 0;
  size_t neither = 0;
  size_t gdb_variables = 0;  // of GDB's
  size_t unlisted = 0;       // variables that only GDB lists
  size_t wrong = 0;
};

class GdbComparison {
 public:
  explicit GdbComparison(const std::string& program) : file_(TargetPath(program)) {
    const std::vector<uint64_t> pcs = file_.Statements("values.cc", 220);
    EXPECT_GT(pcs.size(), 50u);
    for (const GdbStop& stop : AskGdb(TargetPath(program), pcs)) CompareStop(stop);
  }

  const Tally& tally() const { return tally_; }

 private:
  void CompareStop(const GdbStop& stop) {
    ++tally_.stops;
    for (size_t level = 0; level < stop.machine_frames.size(); ++level) {
      const GdbMachineFrame& machine = stop.machine_frames[level];
      const LinkAddress pc(machine.pc - stop.bias);
      const LinkAddress lookup = level == 0 ? pc : pc - 1;
      Dwarf_Die* unit_die = file_.UnitAt(lookup.value);
      if (unit_die == nullptr) continue;  // the C library
      PlanUnit unit;
      const auto compiler = FrameCompiler::Create(file_.dwarf(), nullptr, unit);
      const Result<uint32_t> index = compiler->AddFrame(unit_die, pc, lookup, level == 0);
      ASSERT_TRUE(index.ok()) << index.status().ToString();
      const Status verified = VerifyUnit(unit);
      ASSERT_TRUE(verified.ok()) << verified.ToString();
      CompareMachineFrame(unit, unit.frames[*index], stop, machine, level == 0);
    }
  }

  void CompareMachineFrame(const PlanUnit& unit, const FramePlan& plan, const GdbStop& stop,
                           const GdbMachineFrame& machine, bool innermost) {
    char where[32];
    snprintf(where, sizeof where, "0x%lx", plan.pc.value);
    Evaluator evaluator(unit, stop, machine, innermost);
    // At the first instruction of an inlined body GDB shows the frame as not entered yet, so it
    // may have fewer frames than the debug information; they are matched from the outside.
    const size_t count = std::min<size_t>(plan.virtual_count, machine.frames.size());
    for (size_t i = 0; i < count; ++i) {
      const GdbFrame& theirs = machine.frames[machine.frames.size() - 1 - i];
      const VirtualFrame& ours =
          unit.virtual_frames[plan.first_virtual + plan.virtual_count - 1 - i];
      ++tally_.frames;
      const bool same_depth = plan.virtual_count == machine.frames.size();
      EXPECT_TRUE(!same_depth || ours.line == theirs.line)
          << where << " " << theirs.function << ": " << ours.line << ", GDB " << theirs.line;
      CompareFrame(unit, ours, theirs, evaluator, where);
    }
  }

  void CompareFrame(const PlanUnit& unit, const VirtualFrame& ours, const GdbFrame& theirs,
                    Evaluator& evaluator, const char* where) {
    for (const GdbVariable& expected : theirs.variables) {
      ++tally_.gdb_variables;
      const Variable* found = nullptr;
      for (uint32_t i = 0; i < ours.variable_count; ++i) {
        const Variable& variable = unit.variables[ours.first_variable + i];
        if (unit.strings[variable.name] == expected.name) found = &variable;
      }
      // GDB shows what is declared further down already, and then hides what is outside.
      if (found == nullptr || (expected.line > ours.line && ours.line == theirs.line)) {
        ++tally_.unlisted;  // declared after the line, or artificial
        continue;
      }
      const TypeNode& type = unit.types[found->type];
      // GDB 13 takes GCC's decltype(nullptr) for int.
      if (type.kind != TypeKind::kNullptr) {
        EXPECT_EQ(unit.strings[type.name], dwarf::SimplifyTypeName(expected.type)) << expected.name;
      }
      const Image image = evaluator.Read(found->location, type.size_bytes);
      for (const Leaf& leaf : expected.leaves) {
        CompareLeaf(image, leaf, where + (" " + theirs.function + " " + expected.name));
      }
    }
  }

  void CompareLeaf(const Image& image, const Leaf& leaf, const std::string& what) {
    const bool field = leaf.bit_size != 0;
    const size_t bits = field ? leaf.bit_size : leaf.bytes ? leaf.bytes->size() * 8 : 8;
    bool ours = true;
    bool equal = true;
    for (size_t i = 0; i < bits; ++i) {
      const size_t at = leaf.bit_position + i;
      if (at / 8 >= image.bytes.size() || !image.valid[at / 8]) {
        ours = false;
        break;
      }
      const bool bit = (image.bytes[at / 8] >> at % 8 & 1) != 0;
      if (leaf.bytes) equal &= bit == (((*leaf.bytes)[i / 8] >> i % 8 & 1) != 0);
    }
    if (!ours && !leaf.bytes) ++tally_.neither;
    if (!ours && leaf.bytes) {
      if (what.find("Rewritten round") != std::string::npos) ++tally_.only_gdb_rewritten;
      const size_t at = leaf.bit_position / 8;
      ++(at < image.hole.size() && image.hole[at] ? tally_.invented : tally_.only_gdb);
    }
    if (ours && !leaf.bytes) ++tally_.only_ours;
    if (!ours || !leaf.bytes) return;
    tally_.both += equal ? 1 : 0;
    tally_.wrong += equal ? 0 : 1;
    EXPECT_TRUE(equal) << what << leaf.path;
  }

  DwarfFileHandle file_;
  Tally tally_;
};

class VariablesAgainstGdb : public testing::TestWithParam<const char*> {};

TEST_P(VariablesAgainstGdb, EveryValueAgrees) {
  const GdbComparison comparison(GetParam());
  const Tally& t = comparison.tally();
  printf(
      "%s: %zu stops, %zu frames; values: %zu agree, %zu wrong, %zu GDB only, %zu invented by it, "
      "%zu ours only, %zu in neither; %zu of %zu variables of GDB not listed\n",
      GetParam(), t.stops, t.frames, t.both, t.wrong, t.only_gdb, t.invented, t.only_ours,
      t.neither, t.unlisted, t.gdb_variables);
  EXPECT_GT(t.stops, 50u);
  EXPECT_GT(t.both, 500u);
  EXPECT_EQ(t.wrong, 0u);
  // In the callee GDB takes GCC's from a register that need not be kept.
  if (std::string_view(GetParam()).find("clang") != std::string_view::npos) {
    EXPECT_EQ(t.only_gdb_rewritten, 0u);
  }
  // What GDB recovers from call sites is all that may be missing.
  EXPECT_LE(t.only_gdb * 10, t.both);
}

INSTANTIATE_TEST_SUITE_P(Programs, VariablesAgainstGdb,
                         testing::Values("values_gcc_O0_dwarf5", "values_gcc_O1_dwarf4",
                                         "values_gcc_O2_dwarf4", "values_gcc_O2_dwarf5",
                                         "values_gcc_O3_dwarf5", "values_clang_O0_dwarf4",
                                         "values_clang_O2_dwarf4", "values_clang_O2_dwarf5"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace stillframe::variables_test
