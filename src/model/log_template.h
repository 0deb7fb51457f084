// The message of a LOG tracepoint: "order {order.id} from {customer->name}".
//
// Text outside braces is literal; {expression} is replaced by the expression's value; {{ and }} are
// literal braces. Within an expression brackets, braces, strings and characters nest as in C++, so
// {names["}"]} is one expression.
#ifndef STILLFRAME_MODEL_LOG_TEMPLATE_H_
#define STILLFRAME_MODEL_LOG_TEMPLATE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace stillframe::model {

inline constexpr size_t kMaxLogTemplateBytes = 4096;
inline constexpr size_t kMaxLogExpressions = 32;
inline constexpr size_t kMaxLogValueBytes = 1024;    // of one value within a message
inline constexpr size_t kMaxLogMessageBytes = 8192;  // of the whole message

struct LogTemplate {
  struct Expression {
    std::string text;         // without the spaces around it
    size_t offset_bytes = 0;  // of `text` in the template
  };
  std::string text;                   // the template itself
  std::vector<std::string> literals;  // before, between and after: one more than expressions
  std::vector<Expression> expressions;

  // Where byte `offset_in_expression` of an expression stands in the template: 1-based, in
  // characters (code points), as an editor counts.
  uint32_t Column(size_t expression, size_t offset_in_expression) const;
};

struct LogTemplateError {
  uint32_t column = 0;  // as LogTemplate::Column
  std::string message;
};

// nullopt: parsed. `out` is not touched on an error. Any bytes may come; linear in their number.
std::optional<LogTemplateError> ParseLogTemplate(std::string_view text, LogTemplate& out);

// The message, one line of valid UTF-8 of at most kMaxLogMessageBytes, whatever the values hold:
// control characters, bytes that are not UTF-8 and marks that reorder or hide text become visible
// escapes. `values` are the template's expressions in order; what is missing there is shown as
// unavailable. Values that look secret (RedactsValue, also when only the message as a whole does)
// become <redacted>, and those of which `is_secret`, when given, says so.
std::string FormatLog(const LogTemplate& log, std::span<const Value> values,
                      const std::function<bool(std::string_view)>& is_secret = {});

}  // namespace stillframe::model

#endif  // STILLFRAME_MODEL_LOG_TEMPLATE_H_
