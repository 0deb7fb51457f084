// Errors as values: a stable code, a message for a person, and the chain of what was being done.
//
// Signal safety: none of this is for the hit path, where an error is one byte and a counter.
#ifndef STILLFRAME_BASE_STATUS_H_
#define STILLFRAME_BASE_STATUS_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace stillframe {

// Every code that a caller acts on or a user sees. CodeName() gives the stable spelling that goes
// over the wire and into JSON; never rename or renumber, only add.
enum class Code : unsigned char {
  kOk = 0,
  // General.
  kInvalidArgument,  // the caller's value is wrong; the message names it
  kNotFound,
  kIoError,      // a system call failed; the message holds errno's text
  kUnsupported,  // understood, but not done by this version
  kCorrupt,      // input (ELF, DWARF, record, wire) breaks its own format
  kOverLimit,
  kUnavailable,  // a peer cannot be reached
  kUnauthorized,
  kInternal,
  // Reasons of tracepoint statuses and of values, as in CONTRACT.
  kFileNotFound,
  kFunctionNotFound,
  kLineHasNoCode,
  kAmbiguousFile,
  kNoDebugInfo,
  kBuildMismatch,
  kBadExpression,
  kUnknownVariable,
  kOptimizedOut,
  kUnsafeSite,
  kRedacted,
  kOverBudget,
  kModuleUnloaded,
  kTooManySites,
  // Reasons of values only.
  kNotSaved,             // the register was not saved by a callee
  kNotCaptured,          // the memory was not in the record (first hit of this caller, or a limit)
  kUnreadable,           // the read faulted
  kUnsupportedLocation,  // a DWARF operator that is not evaluated yet
  kUnsupportedType,
  kIncompleteType,  // only a declaration was found
  kNotInScope,
  kLimit,         // depth, items or bytes of the capture limits
  kImplausible,   // a container whose own fields contradict each other
  kProbeFailed,   // the patch was attempted and refused by the system
  kNotPermitted,  // the host refuses what patching needs
  // Reasons of values only, added later.
  kEntryValueUnknown,  // lived in an argument register that was overwritten; no caller tells it
  kTailCallAmbiguous,  // as before, and a tail call may stand between the caller and here
  kThreadLocalNotAllocated,  // this thread has not touched the module's thread-local storage
  // Reasons of BLOCKED, added later.
  kStopped,         // the kill switch is on
  kDeniedByPolicy,  // the operator's policy file
  kCanary,          // first on another instance
  // Reasons of values where a function is left.
  kTailCall,       // it ended by jumping into another one, which has not returned yet
  kFrameReleased,  // it lived in the function's frame, which is gone
  // Reasons of values that were passed in registers and overwritten since, added later.
  kEntryNotStashed,  // the call began before the tracepoint was armed, or too many began since
  kEntryNotProbed,   // no probe can stash them at the function's entry; the status's message says
                     // why
};

// "LINE_HAS_NO_CODE" and so on; static storage.
std::string_view CodeName(Code code);
// The inverse; nullopt for an unknown name.
std::optional<Code> CodeFromName(std::string_view name);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // "LINE_HAS_NO_CODE: no code at …".
  std::string ToString() const;
  // The same code with "context: " before the message; OK stays OK.
  Status WithContext(std::string_view context) const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// Status from errno: "open /x: No such file or directory".
Status ErrnoStatus(std::string_view what, int error_number);

// A value or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : rep_(std::in_place_index<0>, std::move(value)) {}         // NOLINT: implicit
  Result(Status status) : rep_(std::in_place_index<1>, std::move(status)) {}  // NOLINT: implicit

  bool ok() const { return rep_.index() == 0; }
  // OK when there is a value.
  Status status() const { return ok() ? Status() : std::get<1>(rep_); }

  T& value() & { return std::get<0>(rep_); }
  const T& value() const& { return std::get<0>(rep_); }
  T&& value() && { return std::get<0>(std::move(rep_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> rep_;
};

#define STILLFRAME_CONCAT_INNER(a, b) a##b
#define STILLFRAME_CONCAT(a, b) STILLFRAME_CONCAT_INNER(a, b)
// Returns the Status from the enclosing function unless it is OK.
#define SF_RETURN_IF_ERROR(expr)              \
  do {                                        \
    ::stillframe::Status sf_status_ = (expr); \
    if (!sf_status_.ok()) return sf_status_;  \
  } while (0)
// SF_ASSIGN_OR_RETURN(auto x, F()): x = value, or returns F()'s Status.
#define SF_ASSIGN_OR_RETURN(lhs, expr) \
  SF_ASSIGN_OR_RETURN_INNER(STILLFRAME_CONCAT(sf_result_, __LINE__), lhs, expr)
// NOLINTBEGIN(bugprone-macro-parentheses): tmp is a name, lhs may be a declaration
#define SF_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return tmp.status();             \
  lhs = std::move(tmp).value()
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace stillframe

#endif  // STILLFRAME_BASE_STATUS_H_
