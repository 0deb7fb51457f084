// One DWARF expression without pieces -> bytecode, by interpreting it over the types of its stack
// cells (DWARF 5 §2.5.1: the generic type and base types).
#ifndef STILLFRAME_SYMBOLIZER_LOCATION_COMPILER_EXPRESSION_H_
#define STILLFRAME_SYMBOLIZER_LOCATION_COMPILER_EXPRESSION_H_

#include <elfutils/libdw.h>

#include <map>
#include <span>
#include <vector>

#include "base/status.h"
#include "plan/program.h"
#include "symbolizer/location_compiler.h"

namespace stillframe::dwarf {

// Type of a stack cell. Integers are held extended to 64 bits, floats of both sizes as the bits of
// a double.
struct CellType {
  uint8_t size_bytes = 0;  // 0: the generic type (an address)
  bool is_signed = false;
  bool is_float = false;
  bool generic() const { return size_bytes == 0; }
  friend bool operator==(const CellType&, const CellType&) = default;
};

class ExpressionCompiler {
 public:
  explicit ExpressionCompiler(const LocationContext& context) : context_(context) {}

  // Compiles all of `ops`, which belong to `attribute`. kOk, or the reason why there is no value.
  Code Run(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops);
  // The same of what a variable of up to 8 bytes holds, which is no floating number.
  Code RunVariable(const Dwarf_Die& variable);
  // After kOk: the program, ended by kReturn; a value (DW_OP_stack_value) or an address.
  std::vector<Insn> TakeProgram();
  bool is_value() const { return is_value_; }

 private:
  static constexpr int kMaxDepth = 4;        // of expressions in expressions
  static constexpr size_t kTemporaries = 2;  // cells that an operation may need meanwhile
  ExpressionCompiler(const LocationContext& context, int depth, size_t below)
      : context_(context), depth_(depth), below_(below) {}
  // Of an expression in the middle of this one.
  ExpressionCompiler Inner() const { return {context_, depth_ + 1, below_ + cells_.size()}; }
  using Handler = Code (ExpressionCompiler::*)(const Dwarf_Op&);
  Code Step(const Dwarf_Op& op);
  // Each returns kUnsupported when the operator is none of its own.
  Code Constant(const Dwarf_Op& op);
  Code Register(const Dwarf_Op& op);
  Code FrameState(const Dwarf_Op& op);
  Code Memory(const Dwarf_Op& op);
  Code StackMove(const Dwarf_Op& op);
  Code Unary(const Dwarf_Op& op);
  Code Binary(const Dwarf_Op& op);
  Code Comparison(const Dwarf_Op& op);
  Code Typed(const Dwarf_Op& op);
  Code Control(const Dwarf_Op& op);

  Code PushRegister(uint64_t reg, int64_t offset);
  Code FrameBase();
  Code EntryValue(const Dwarf_Op& op);
  Code ParameterValue(const Dwarf_Op& op);
  Code VariableValue(const Dwarf_Op& op);
  Code PushVariable(Dwarf_Die variable);
  Code PushPlace(Dwarf_Attribute& attribute, std::span<const Dwarf_Op> ops, uint8_t size_bytes,
                 bool is_signed);
  Code ThreadLocal();
  Code Absolute();
  Code ShiftRight(bool arithmetic, CellType type);
  Code FloatBinary(uint8_t atom, CellType type);
  Code IntegerBinary(uint8_t atom, CellType type);
  Code RegisterOfType(const Dwarf_Op& op);
  Code ConstantOfType(const Dwarf_Op& op);
  Code LoadOfType(const Dwarf_Op& op);
  Code Convert(const Dwarf_Op& op);
  Code Reinterpret(const Dwarf_Op& op);
  // The base type that operand `op` names; false when it is no number of up to 8 bytes.
  bool TypeOperand(const Dwarf_Op& op, CellType& out) { return TypeOperand(*attribute_, op, out); }
  static bool TypeOperand(Dwarf_Attribute& attribute, const Dwarf_Op& op, CellType& out);
  void Normalize(CellType type);  // brings the top back into the type after arithmetic

  bool Pop(CellType& type);
  void Push(CellType type) { cells_.push_back(type); }
  bool Has(size_t count) const { return cells_.size() >= count; }
  void Emit(Op op, uint8_t a = 0, uint8_t b = 0, int64_t imm = 0);

  const LocationContext& context_;
  const int depth_ = 0;
  const size_t below_ = 0;  // cells of the expressions around
  Dwarf_Attribute* attribute_ = nullptr;
  std::vector<Insn> code_;
  std::vector<CellType> cells_;
  bool is_value_ = false;
  bool reachable_ = true;
  struct Jump {
    size_t insn;
    size_t depth;
  };
  std::multimap<uint64_t, Jump> jumps_;  // by target's offset in the expression
};

// What stands in .debug_addr for DW_OP_addrx or DW_OP_constx (DWARF 5 §2.5.1.1), which is an
// address or an offset into a thread-local block; nullopt for every other operation.
std::optional<uint64_t> IndexedNumber(Dwarf_Attribute& attribute, const Dwarf_Op& op);

// Whether register `reg` (DWARF number) of the frame is known at all.
Code RegisterAvailability(uint64_t reg, const LocationContext& context);

}  // namespace stillframe::dwarf

#endif  // STILLFRAME_SYMBOLIZER_LOCATION_COMPILER_EXPRESSION_H_
