#include "base/status.h"

#include <array>
#include <cstring>

namespace stillframe {
namespace {

struct CodeEntry {
  Code code;
  std::string_view name;
};

constexpr auto kCodes = std::to_array<CodeEntry>({
    {Code::kOk, "OK"},
    {Code::kInvalidArgument, "INVALID_ARGUMENT"},
    {Code::kNotFound, "NOT_FOUND"},
    {Code::kIoError, "IO_ERROR"},
    {Code::kUnsupported, "UNSUPPORTED"},
    {Code::kCorrupt, "CORRUPT"},
    {Code::kOverLimit, "OVER_LIMIT"},
    {Code::kUnavailable, "UNAVAILABLE"},
    {Code::kUnauthorized, "UNAUTHORIZED"},
    {Code::kInternal, "INTERNAL"},
    {Code::kFileNotFound, "FILE_NOT_FOUND"},
    {Code::kFunctionNotFound, "FUNCTION_NOT_FOUND"},
    {Code::kLineHasNoCode, "LINE_HAS_NO_CODE"},
    {Code::kAmbiguousFile, "AMBIGUOUS_FILE"},
    {Code::kNoDebugInfo, "NO_DEBUG_INFO"},
    {Code::kBuildMismatch, "BUILD_MISMATCH"},
    {Code::kBadExpression, "BAD_EXPRESSION"},
    {Code::kUnknownVariable, "UNKNOWN_VARIABLE"},
    {Code::kOptimizedOut, "OPTIMIZED_OUT"},
    {Code::kUnsafeSite, "UNSAFE_SITE"},
    {Code::kRedacted, "REDACTED"},
    {Code::kOverBudget, "OVER_BUDGET"},
    {Code::kModuleUnloaded, "MODULE_UNLOADED"},
    {Code::kTooManySites, "TOO_MANY_SITES"},
    {Code::kNotSaved, "NOT_SAVED"},
    {Code::kNotCaptured, "NOT_CAPTURED"},
    {Code::kUnreadable, "UNREADABLE"},
    {Code::kUnsupportedLocation, "UNSUPPORTED_LOCATION"},
    {Code::kUnsupportedType, "UNSUPPORTED_TYPE"},
    {Code::kIncompleteType, "INCOMPLETE_TYPE"},
    {Code::kNotInScope, "NOT_IN_SCOPE"},
    {Code::kLimit, "LIMIT"},
    {Code::kImplausible, "IMPLAUSIBLE"},
    {Code::kProbeFailed, "PROBE_FAILED"},
    {Code::kNotPermitted, "NOT_PERMITTED"},
    {Code::kEntryValueUnknown, "ENTRY_VALUE_UNKNOWN"},
    {Code::kEntryNotStashed, "ENTRY_NOT_STASHED"},
    {Code::kEntryNotProbed, "ENTRY_NOT_PROBED"},
    {Code::kTailCallAmbiguous, "TAIL_CALL_AMBIGUOUS"},
    {Code::kTailCall, "TAIL_CALL"},
    {Code::kFrameReleased, "FRAME_RELEASED"},
    {Code::kThreadLocalNotAllocated, "THREAD_LOCAL_NOT_ALLOCATED"},
    {Code::kStopped, "STOPPED"},
    {Code::kDeniedByPolicy, "DENIED_BY_POLICY"},
    {Code::kCanary, "CANARY"},
});

}  // namespace

std::string_view CodeName(Code code) {
  for (const CodeEntry& entry : kCodes) {
    if (entry.code == code) return entry.name;
  }
  return "INTERNAL";
}

std::optional<Code> CodeFromName(std::string_view name) {
  for (const CodeEntry& entry : kCodes) {
    if (entry.name == name) return entry.code;
  }
  return std::nullopt;
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  return std::string(CodeName(code_)) + ": " + message_;
}

Status Status::WithContext(std::string_view context) const {
  if (ok()) return *this;
  return Status(code_, std::string(context) + ": " + message_);
}

Status ErrnoStatus(std::string_view what, int error_number) {
  // GNU strerror_r is thread-safe where strerror is not.
  char buffer[128];
  const char* text = strerror_r(error_number, buffer, sizeof buffer);
  return Status(Code::kIoError, std::string(what) + ": " + text);
}

}  // namespace stillframe
