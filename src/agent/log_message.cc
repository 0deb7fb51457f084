#include "agent/log_message.h"

#include <algorithm>
#include <charconv>

namespace stillframe::agent {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr std::string_view kColumn = "column ";

// "column 7: …" -> 7 and what follows the number; 0 when the text does not begin so.
size_t TakeColumn(std::string_view& text) {
  if (!text.starts_with(kColumn)) return 0;
  size_t column = 0;
  const char* begin = text.data() + kColumn.size();
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), column);
  if (error != std::errc()) return 0;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return column;
}

}  // namespace

Result<model::LogTemplate> ReadLogTemplate(const model::TracepointSpec& spec) {
  model::LogTemplate log;
  if (spec.kind != model::Kind::kLog) return log;
  if (const auto error = model::ParseLogTemplate(spec.log_message, log)) {
    return Status(Code::kBadExpression,
                  "logMessage column " + std::to_string(error->column) + ": " + error->message);
  }
  return log;
}

std::vector<std::string> ExpressionsOf(const model::LogTemplate& log,
                                       const model::TracepointSpec& spec) {
  std::vector<std::string> expressions;
  for (const auto& expression : log.expressions) expressions.push_back(expression.text);
  expressions.insert(expressions.end(), spec.expressions.begin(), spec.expressions.end());
  return expressions;
}

Status NameLogMessage(const Status& status, const model::LogTemplate& log) {
  const std::string& message = status.message();
  for (size_t i = 0; i < log.expressions.size(); ++i) {
    const std::string& text = log.expressions[i].text;
    const std::string mark = "expression '" + text + "': ";
    const size_t at = message.find(mark);
    if (at == std::string::npos) continue;
    std::string_view rest = std::string_view(message).substr(at + mark.size());
    // The compiler counts bytes from 1, up to one behind the end.
    const size_t column = std::clamp<size_t>(TakeColumn(rest), 1, text.size() + 1);
    std::string named =
        message.substr(0, at) + "logMessage column " + std::to_string(log.Column(i, column - 1));
    if (!rest.starts_with(':')) named += ": ";
    return Status(status.code(), named.append(rest));
  }
  return status;
}

void MakeLogEvent(const model::LogTemplate& log, model::Snapshot& snapshot,
                  const RedactionPolicy* redaction) {
  snapshot.kind = model::Kind::kLog;
  std::vector<model::Value>& values = snapshot.expressions;
  const size_t count = std::min(log.expressions.size(), values.size());
  const auto is_secret = [&](std::string_view text) {
    return redaction != nullptr && redaction->RedactsValue(text, false);
  };
  snapshot.message = model::FormatLog(log, {values.data(), count}, is_secret);
  values.erase(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count));
  if (snapshot.frames.empty()) return;
  snapshot.frames.resize(1);
  snapshot.frames[0].variables.clear();
  snapshot.frames[0].variables_reason.clear();
}

bool RateGate::Take(int64_t now_ns) {
  if (per_second_ == 0) return true;
  const int64_t step = kSecondNs / per_second_;
  const int64_t from = std::max(full_again_ns_, now_ns);
  if (from + step - now_ns > kSecondNs) return false;
  full_again_ns_ = from + step;
  return true;
}

}  // namespace stillframe::agent
