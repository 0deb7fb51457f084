#include "agent/log_message.h"

#include <gtest/gtest.h>

namespace stillframe::agent {
namespace {

model::TracepointSpec LogSpec(const std::string& message) {
  model::TracepointSpec spec;
  spec.kind = model::Kind::kLog;
  spec.log_message = message;
  return spec;
}

model::LogTemplate Template(const std::string& message) {
  auto log = ReadLogTemplate(LogSpec(message));
  EXPECT_TRUE(log.ok()) << log.status().ToString();
  return log.ok() ? *log : model::LogTemplate();
}

TEST(LogMessage, ABadTemplateFromTheServerIsAnErrorNotACrash) {
  const auto log = ReadLogTemplate(LogSpec("a {b"));
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.status().code(), Code::kBadExpression);
  EXPECT_NE(log.status().message().find("logMessage column 3"), std::string::npos);
  model::TracepointSpec snapshot = LogSpec("a {b");
  snapshot.kind = model::Kind::kSnapshot;
  EXPECT_TRUE(ReadLogTemplate(snapshot).ok());
}

TEST(LogMessage, ThePlanCapturesTheTemplatesExpressionsFirst) {
  model::TracepointSpec spec = LogSpec("{a} and {b.c}");
  spec.expressions = {"d"};
  EXPECT_EQ(ExpressionsOf(Template(spec.log_message), spec),
            (std::vector<std::string>{"a", "b.c", "d"}));
}

TEST(LogMessage, ErrorsOfExpressionsNameTheColumnInTheMessage) {
  const model::LogTemplate log = Template("größe { order.idd } {x +}");
  const auto named = [&](const std::string& message) {
    return NameLogMessage(Status(Code::kUnknownVariable, message), log).message();
  };
  EXPECT_EQ(named("prog: expression 'order.idd': column 7: no 'idd'; near: id"),
            "prog: logMessage column 15: no 'idd'; near: id");
  EXPECT_EQ(named("expression 'x +': column 4: ends"), "logMessage column 25: ends");
  EXPECT_EQ(named("expression 'x +': column 4000: ends"), "logMessage column 25: ends");
  EXPECT_EQ(named("expression 'x +': no column"), "logMessage column 22: no column");
  // Conditions and the tracepoint's own expressions keep theirs.
  EXPECT_EQ(named("condition: column 1: bad"), "condition: column 1: bad");
  EXPECT_EQ(named("expression 'y': column 1: bad"), "expression 'y': column 1: bad");
}

model::Value Number(const std::string& text) {
  return {"v", "int", text, true, model::ValueStatus::kExact, "", {}};
}

TEST(LogMessage, AnEventHasItsPlaceAndTheTracepointsOwnExpressions) {
  model::Snapshot snapshot;
  snapshot.expressions = {Number("1"), Number("2"), Number("3")};
  snapshot.frames.resize(2);
  snapshot.frames[0].function = "f()";
  snapshot.frames[0].variables = {Number("9")};
  snapshot.frames[0].variables_reason = "LIMIT";
  MakeLogEvent(Template("a {x} b {y}"), snapshot);
  EXPECT_EQ(snapshot.kind, model::Kind::kLog);
  EXPECT_EQ(snapshot.message, "a 1 b 2");
  ASSERT_EQ(snapshot.expressions.size(), 1u);
  EXPECT_EQ(snapshot.expressions[0].value, "3");
  ASSERT_EQ(snapshot.frames.size(), 1u);
  EXPECT_EQ(snapshot.frames[0].function, "f()");
  EXPECT_TRUE(snapshot.frames[0].variables.empty());
  EXPECT_EQ(snapshot.frames[0].variables_reason, "");
  model::Snapshot empty;
  MakeLogEvent(Template("a {x}"), empty);
  EXPECT_EQ(empty.message, "a <unavailable: NOT_CAPTURED>");
}

TEST(RateGate, LetsASecondsWorthThroughAndThenTheRate) {
  RateGate gate(100);
  constexpr int64_t kStart = 1'000'000'000'000;
  int64_t now = kStart;
  int taken = 0;
  for (int i = 0; i < 1'000; ++i) taken += gate.Take(now) ? 1 : 0;
  EXPECT_EQ(taken, 100);
  for (int ms = 0; ms < 10'000; ++ms) {
    now += 1'000'000;
    taken += gate.Take(now) ? 1 : 0;
  }
  EXPECT_NEAR(taken, 100 + 10 * 100, 1);
  RateGate open(0);
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(open.Take(kStart));
}

}  // namespace
}  // namespace stillframe::agent
