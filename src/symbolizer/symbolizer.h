// From (module, file:line, expressions) to plans. The only way into libdw.
//
// Threads: one thread owns a Symbolizer (libdw 0.188 is not thread-safe). Memory: debug information
// is opened on demand and given back by ReleaseMemory(); plans are self-contained.
#ifndef STILLFRAME_SYMBOLIZER_SYMBOLIZER_H_
#define STILLFRAME_SYMBOLIZER_SYMBOLIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "plan/plan.h"
#include "plan/unwind_table.h"

namespace stillframe {

class Formatters;

// Names whose values are never shown. Filled by the caller (model/redaction.h has the defaults);
// kept as an interface so that the symbolizer does not know policy.
class RedactionPolicy {
 public:
  virtual ~RedactionPolicy() = default;
  virtual bool RedactsName(std::string_view name) const = 0;  // variable or member
  virtual bool RedactsType(std::string_view type_name) const = 0;
  // A text that looks like a secret, or with `cut` like the beginning of one.
  virtual bool RedactsValue(std::string_view text, bool cut) const = 0;
  // What RedactsName knows, as a list of base/name_list.h, for names that only a hit meets.
  virtual std::string_view NameList() const = 0;
  // Whether expressions may compute pointers, with which all memory can be read.
  virtual bool AllowsRawMemory() const { return true; }
};

struct SymbolizerOptions {
  std::vector<std::string> debug_path;         // folders searched for separate debug files
  const RedactionPolicy* redaction = nullptr;  // not owned; nullptr = nothing is redacted
  const Formatters* formatters = nullptr;      // not owned; the user's, formatters.h
  uint32_t max_sites = 1000;                   // more statement addresses than that: kTooManySites
};

// One place where a function is left, as its code tells (agent/probe/plain_code.h).
struct ReturnSite {
  LinkAddress address;
  bool is_tail_call = false;
  bool frame_is_intact = false;
  bool sets_integer = false, sets_float = false;

  bool operator==(const ReturnSite&) const = default;
};

struct PlanRequest {
  // One of the three: a line, every place where a function begins, one address.
  std::string file;  // any component-aligned suffix of the path in the debug information
  uint32_t line = 0;
  std::string function;  // "shop::Checkout", "Checkout", or with its parameters as frames show it
  std::optional<LinkAddress> address;
  // Or throws of types with these std::type_info names; {"*"}: of any type.
  std::vector<std::string> thrown;
  bool thrown_as_is = false;  // see CompileThrow
  // Or where the program is terminated.
  bool terminate = false;
  // Instead of the line's own addresses: these, which belong to it.
  std::vector<LinkAddress> line_addresses;
  // Instead of where the function begins: where it is left, with $return.
  std::vector<ReturnSite> returns;
  // Of a function: no copies inlined into others.
  bool own_code_only = false;
  std::string condition;                 // "" = always
  std::vector<std::string> expressions;  // watches
  CaptureLimits limits;
  // A kFileNotFound names files of similar names, which means reading all of them.
  bool name_near_files = true;

  bool operator==(const PlanRequest&) const = default;
};

// What is asked of thrown objects of a type.
struct ThrownRequest {
  std::string type;
  std::string condition;
  std::vector<std::string> leading;      // watches before the plan's own
  std::vector<std::string> expressions;  // behind them
  uint32_t items = CaptureLimits{}.items;
};

struct SourceFrame {
  std::string function;  // demangled, with parameters; "" when unknown
  std::string file;      // "" when unknown
  uint32_t line = 0;
  bool inlined = false;
};

// A line that has code, for `lines`.
struct LineInfo {
  std::string file;  // full path
  uint32_t line = 0;
  std::vector<LinkAddress> addresses;  // every distinct statement address
  std::vector<std::string> functions;  // functions (innermost) these belong to, de-duplicated
};

// What an expression needs that has a name.
struct NeededVariable {
  std::string name;
  std::string type;
  Code reason = Code::kOk;  // why it has no value at the site; kOk: it has one
  std::string recovered;    // how its value is recovered, "" when it is exact
};

// An expression at one site of a line.
struct CheckedExpression {
  LinkAddress address;
  std::string function;
  Status status;        // OK, or why it cannot be evaluated there, with the column
  std::string type;     // "" when it cannot be evaluated
  Status as_condition;  // OK, or why it is no condition
  std::vector<NeededVariable> variables;  // in the order of their use
};

// A function that is not on the stack any more: it ended by jumping into the next one.
struct EndedFunction {
  LinkAddress pc;                   // in the jump; its entry when that is not known
  std::vector<SourceFrame> frames;  // as by Symbolize; without lines when the jump is not known
};

// One ELF module opened for symbols. Obtained from Symbolizer::OpenModule.
class SymbolModule {
 public:
  virtual ~SymbolModule() = default;
  virtual const std::string& path() const = 0;
  virtual const std::string& build_id() const = 0;  // lower-case hex or ""
  // What was found: the module itself has DWARF, a separate file does, or why there is none.
  virtual Status debug_status() const = 0;            // OK or kNoDebugInfo / kBuildMismatch
  virtual const std::string& debug_file() const = 0;  // "" when none

  // Compiles the plan. Errors: kNoDebugInfo, kFileNotFound (no unit has the file; near names),
  // kAmbiguousFile (candidates), kLineHasNoCode (nearest lines), kFunctionNotFound (near names),
  // kNotFound (an address that is no code), kTooManySites, kBadExpression
  // (with "column N"), kUnknownVariable (near names), kRedacted, kOptimizedOut.
  virtual Result<ProbePlan> Compile(const PlanRequest& request) = 0;
  // Adds to a plan of throws what is asked of `$exception`, an object of the type. kNotFound when
  // this module does not define it.
  virtual Status AddThrown(const ThrownRequest& request, ProbePlan& plan) = 0;
  // What CompileWatch would make of the text at each site that the request names (its own condition
  // and expressions are not looked at). An error of the text's grammar, or of the location. When
  // `thrown` names a type (as sources do), at the one site of its throws, which has no address
  // here.
  virtual Result<std::vector<CheckedExpression>> Check(const PlanRequest& request,
                                                       std::string_view expression) = 0;
  // Plan of a caller frame whose return address is `return_address` (looked up at - 1), or of an
  // exact pc. Without debug information: function name from the symbol table, no variables.
  virtual Result<CallerPlan> CompileCaller(LinkAddress return_address, bool pc_is_exact,
                                           const CaptureLimits& limits) = 0;
  // Return addresses of direct calls to the function that contains `address`, as far as this
  // module's debug information names them; at most `max`. Best effort: may be empty.
  virtual std::vector<LinkAddress> LikelyCallers(LinkAddress address, uint32_t max) = 0;
  // The functions that stood between a call of `called` and the function `running` (their entries)
  // and are gone because each ended by a tail call; the last one first. Empty when none did, or
  // when there is more than one way.
  virtual std::vector<EndedFunction> EndedBetween(LinkAddress called, LinkAddress running) = 0;

  // Bytes of code from the file; fewer at its end, none when the address is not code.
  virtual std::vector<uint8_t> ReadCode(LinkAddress address, uint32_t size_bytes) = 0;
  // What types of that name are called by std::type_info::name() here.
  virtual std::vector<std::string> TypeInfoNames(std::string_view type) = 0;
  // Return addresses of calls to the imported function: where its name stands in the procedure
  // linkage table. At most `max`; some may be no calls.
  virtual std::vector<LinkAddress> CallersOfImport(std::string_view name, uint32_t max) = 0;
  // Where the function's part that holds the address begins and ends; 0, 0 when none is known.
  virtual std::pair<LinkAddress, LinkAddress> FunctionRange(LinkAddress address) = 0;
  // All parts of that function; empty when none is known.
  virtual std::vector<std::pair<LinkAddress, LinkAddress>> FunctionParts(LinkAddress address) = 0;
  // Jumps out of that function that the debug information calls tail calls: the address of each,
  // or else the one behind it.
  struct TailJump {
    LinkAddress at;     // 0: not told
    LinkAddress after;  // 0: not told
  };
  virtual std::vector<TailJump> TailJumps(LinkAddress address) = 0;
  // Whether the line table gives both the same file and line.
  virtual bool SameLine(LinkAddress a, LinkAddress b) = 0;
  // In [begin, end), a part of one function, ascending: where statements of other lines begin, or
  // where instructions of others or of the line itself follow by the last row of their address,
  // which tells also of code that was moved away from its statement. kUnmarked: where another line
  // than before begins, and no statement does; without any, whatever begins is marked. kOutside:
  // statements of other lines but in what is inlined where the line calls it.
  enum class Rows : uint8_t { kOtherStatements, kOther, kOwn, kUnmarked, kOutside };
  virtual std::vector<LinkAddress> LineRows(LinkAddress begin, LinkAddress end, uint32_t line,
                                            Rows rows) = 0;

  // Innermost first; never empty: the last resort is one frame with an empty function.
  virtual std::vector<SourceFrame> Symbolize(LinkAddress pc) = 0;
  // Name of the symbol that covers the address, as "name" or "name+12"; "" when none. Data too.
  virtual std::string SymbolName(LinkAddress address) = 0;
  // Dynamic: all files of the module's line tables that match the suffix (all when empty).
  virtual Result<std::vector<std::string>> Files(std::string_view suffix) = 0;
  // Lines with code of the file, ascending; first..last inclusive (0, 0 = all).
  virtual Result<std::vector<LineInfo>> Lines(std::string_view file, uint32_t first,
                                              uint32_t last) = 0;
  // Every distinct is_stmt address of the module's line tables (for doctor), at most `max`.
  virtual Result<std::vector<LinkAddress>> StatementAddresses(uint64_t max) = 0;
  // From .eh_frame (the file, not memory). kNotFound when the module has none.
  virtual Result<UnwindTable> BuildUnwindTable() = 0;
};

class Symbolizer {
 public:
  static std::unique_ptr<Symbolizer> Create(SymbolizerOptions options);
  virtual ~Symbolizer() = default;
  // Opens (or returns the already open) module. `path` is what /proc/self/maps says. Checks
  // `expected_build_id` (hex, "" = do not check): a file replaced on disk is kBuildMismatch.
  virtual Result<SymbolModule*> OpenModule(const std::string& path,
                                           std::string_view expected_build_id) = 0;
  // Closes every module: pointers from OpenModule die. Gives memory back to the system.
  virtual void ReleaseMemory() = 0;
};

}  // namespace stillframe

#endif  // STILLFRAME_SYMBOLIZER_SYMBOLIZER_H_
