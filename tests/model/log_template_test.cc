#include "model/log_template.h"

#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "model/redaction.h"
#include "model/tracepoint.h"

namespace stillframe::model {
namespace {

std::vector<std::string> Expressions(const LogTemplate& log) {
  std::vector<std::string> texts;
  for (const auto& expression : log.expressions) texts.push_back(expression.text);
  return texts;
}

TEST(LogTemplate, DividesTextAndExpressions) {
  LogTemplate log;
  ASSERT_FALSE(ParseLogTemplate("order {order.id} from { customer->name }!", log));
  EXPECT_EQ(log.literals, (std::vector<std::string>{"order ", " from ", "!"}));
  EXPECT_EQ(Expressions(log), (std::vector<std::string>{"order.id", "customer->name"}));
  ASSERT_FALSE(ParseLogTemplate("{{literal}} {{{x}}}", log));
  EXPECT_EQ(log.literals, (std::vector<std::string>{"{literal} {", "}"}));
  EXPECT_EQ(Expressions(log), (std::vector<std::string>{"x"}));
  ASSERT_FALSE(ParseLogTemplate("no values", log));
  EXPECT_EQ(log.literals, (std::vector<std::string>{"no values"}));
}

TEST(LogTemplate, ExpressionsNestAsInCpp) {
  for (const char* expression :
       {R"(m["}"])", R"(m["{\"}"])", "c == '}'", "c == '\\''", "a[b[0]] + f(1)", "n > 1'000'000",
        "n == 0xFF'FF'FF && c != '}'", "Point{1, 2}.x", "u8'a' == c", "ok ? \"yes\" : \"no\""}) {
    LogTemplate log;
    const auto error = ParseLogTemplate("a {" + std::string(expression) + "} b", log);
    ASSERT_FALSE(error) << expression << ": " << error->message;
    EXPECT_EQ(Expressions(log), (std::vector<std::string>{expression}));
    EXPECT_EQ(log.literals, (std::vector<std::string>{"a ", " b"})) << expression;
  }
}

TEST(LogTemplate, ErrorsNameTheColumnInCharacters) {
  const struct {
    const char* text;
    uint32_t column;
    const char* says;
  } cases[] = {
      {"a {b", 3, "never closed"},
      {"a } b", 3, "without '{'"},
      {"größe {x", 7, "never closed"},
      {"größe {x)}", 9, "without its opening"},
      {"{a[1}", 5, "at column 3"},
      {"{a(1", 3, "'(' is never closed"},
      {"{}", 1, "no expression"},
      {"x{  }", 2, "no expression"},
      {"{m[\"x}", 4, "string is never closed"},
      {"{c == 'x}", 7, "character is never closed"},
      {"{\"\\", 2, "never closed"},
      {"ab\xff", 3, "not UTF-8"},
      {"\xc3\xb6\xc3", 2, "not UTF-8"},
  };
  for (const auto& bad : cases) {
    LogTemplate log;
    log.text = "before";
    const auto error = ParseLogTemplate(bad.text, log);
    ASSERT_TRUE(error) << bad.text;
    EXPECT_EQ(error->column, bad.column) << bad.text << ": " << error->message;
    EXPECT_NE(error->message.find(bad.says), std::string::npos) << bad.text << error->message;
    EXPECT_EQ(log.text, "before");
  }
}

TEST(LogTemplate, KnowsWhereAnExpressionStands) {
  LogTemplate log;
  ASSERT_FALSE(ParseLogTemplate("größe { s == \"ö\" && x }", log));
  EXPECT_EQ(log.Column(0, 0), 9u);
  EXPECT_EQ(log.Column(0, log.expressions[0].text.find('x')), 21u);
}

TEST(LogTemplate, IsLimited) {
  LogTemplate log;
  std::string many;
  for (int i = 0; i < 32; ++i) many += "{x}";
  EXPECT_FALSE(ParseLogTemplate(many, log));
  const auto error = ParseLogTemplate(many + " {x}", log);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->column, 98u);
  EXPECT_FALSE(ParseLogTemplate(std::string(4096, 'x'), log));
  EXPECT_TRUE(ParseLogTemplate(std::string(4097, 'x'), log));
  EXPECT_TRUE(ParseLogTemplate("{" + std::string(4000, '('), log));
}

TEST(LogTemplate, IsCheckedWhenATracepointIsMade) {
  TracepointSpec spec;
  const auto error = ParseTracepointSpec(
      R"({"kind":"LOG","location":{"file":"a","line":1},"logMessage":"ö {x"})", spec, nullptr);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "INVALID_ARGUMENT");
  EXPECT_EQ(error->field, "logMessage");
  EXPECT_NE(error->message.find("column 3"), std::string::npos) << error->message;
  TracepointsFile file;
  const auto in_file = ParseTracepointsFile(
      R"({"tracepoints":[{"kind":"LOG","location":{"file":"a","line":1},"logMessage":"}"}]})",
      file);
  ASSERT_TRUE(in_file);
  EXPECT_EQ(in_file->field, "tracepoints[0].logMessage");
  ASSERT_FALSE(ParseTracepointSpec(R"({"location":{"file":"a","line":1},"logMessage":"{x"})", spec,
                                   nullptr));
  EXPECT_TRUE(PatchTracepointSpec(R"({"kind":"LOG"})", spec));
  EXPECT_FALSE(PatchTracepointSpec(R"({"kind":"LOG","logMessage":"{x}"})", spec));
}

// ---- formatting ----

Value Scalar(std::string value, std::string type = "int") {
  return {"v", std::move(type), std::move(value), true, ValueStatus::kExact, "", {}};
}
Value Named(std::string name, Value value) {
  value.name = std::move(name);
  return value;
}
Value Struct(std::vector<Value> children) {
  return {"v", "T", "", false, ValueStatus::kExact, "", std::move(children)};
}
Value Container(std::string size, std::vector<Value> children) {
  return {"v", "V", "size=" + size, true, ValueStatus::kExact, "", std::move(children)};
}
Value Gap(ValueStatus status, std::string reason) {
  return {"v", "T", "", false, status, std::move(reason), {}};
}

std::string Format(const std::string& text, const std::vector<Value>& values) {
  LogTemplate log;
  const auto error = ParseLogTemplate(text, log);
  EXPECT_FALSE(error) << text;
  return FormatLog(log, values);
}
std::string Show(const Value& value) { return Format("{x}", {value}); }

TEST(LogFormat, ScalarsAndStrings) {
  EXPECT_EQ(Format("{{{a}}} = {b}", {Scalar("17"), Scalar("99.5", "double")}), "{17} = 99.5");
  EXPECT_EQ(Show(Scalar("\"say \\\"hi\\\" C:\\\\x\"", "std::string")), "say \"hi\" C:\\x");
  EXPECT_EQ(Show(Scalar("u8\"x\"")), "x");
  EXPECT_EQ(Show(Scalar("L\"x\"")), "x");
  EXPECT_EQ(Show(Scalar("\"cut\"...")), "cut…");
  EXPECT_EQ(Show(Scalar("\"a\\n\\033[31m\\377\"")), "a\\n\\033[31m\\377");
  EXPECT_EQ(Show(Scalar("0x7ffe1234 \"text\"", "const char *")), "text");
  EXPECT_EQ(Show(Scalar("0x7ffe1234 <f+4>", "void (*)()")), "0x7ffe1234 <f+4>");
  EXPECT_EQ(Show(Scalar("65 'A'", "char")), "A");
  EXPECT_EQ(Show(Scalar("39 '\\''", "char")), "'");
  EXPECT_EQ(Show(Scalar("65 'A'", "unsigned char")), "65");
  EXPECT_EQ(Show(Scalar("-1 '\\377'", "int8_t")), "-1");
  EXPECT_EQ(Show(Scalar("shop::Tier::kGold", "shop::Tier")), "shop::Tier::kGold");
  EXPECT_EQ(Show(Scalar("\"", "std::string")), "\"");
}

TEST(LogFormat, Compounds) {
  const Value item = Struct({Named("sku", Scalar("\"a\"")), Named("n", Scalar("2"))});
  const Value order =
      Struct({Named("id", Scalar("17")),
              Named("items", Container("2", {Named("[0]", item), Named("[1]", Scalar("3"))})),
              Named("empty", Container("0", {})), Named("deep", Container("4", {}))});
  EXPECT_EQ(Show(order), "{id=17, items=[{sku=\"a\", n=2}, 3], empty=[], deep=[…]}");
  EXPECT_EQ(Show(Container("9", {Named("[\"k\"]", Scalar("1"))})), "{\"k\"=1, … 8 more}");
  EXPECT_EQ(Show(Scalar("std::nullopt")), "std::nullopt");
  Value variant = Scalar("index=1");
  variant.children = {Named("[1]", Scalar("2.5"))};
  EXPECT_EQ(Show(variant), "2.5");
  Value pointer = Scalar("0x1234");
  pointer.children = {Named("id", Scalar("1"))};
  EXPECT_EQ(Show(pointer), "0x1234 {id=1}");
  EXPECT_EQ(Show(Gap(ValueStatus::kTruncated, "LIMIT")), "{…}");
}

TEST(LogFormat, WhatIsNotThereSaysWhy) {
  EXPECT_EQ(Format("a {a} b {b} c {c}", {Gap(ValueStatus::kUnavailable, "OPTIMIZED_OUT"),
                                         Gap(ValueStatus::kRedacted, "REDACTED")}),
            "a <unavailable: OPTIMIZED_OUT> b <redacted> c <unavailable: NOT_CAPTURED>");
  EXPECT_EQ(Show(Gap(ValueStatus::kUnreadable, "")), "<unavailable: UNREADABLE>");
  EXPECT_EQ(Show(Struct({Named("password", Gap(ValueStatus::kRedacted, ""))})),
            "{password=<redacted>}");
}

TEST(LogFormat, SecretsAreRedactedAlsoWhenOnlyTheMessageShowsThem) {
  EXPECT_EQ(Format("url {u} n {n}", {Scalar("\"postgres://bob:pw@db/x\""), Scalar("1")}),
            "url <redacted> n 1");
  EXPECT_EQ(Format("card {a}{b} for {c}",
                   {Scalar("\"41111111\""), Scalar("\"11111111\""), Scalar("\"bob\"")}),
            "card <redacted><redacted> for <redacted>");
  EXPECT_EQ(Format("{scheme}://{user}:{word}@host",
                   {Scalar("\"ftp\""), Scalar("\"u\""), Scalar("\"p\"")}),
            "<redacted>");
}

TEST(LogFormat, ValuesAndMessagesAreBounded) {
  const std::string value = Show(Scalar("\"" + std::string(5000, 'x') + "\""));
  EXPECT_EQ(value.size(), kMaxLogValueBytes);
  EXPECT_TRUE(value.ends_with("x…"));
  std::string wide;
  for (int i = 0; i < 2000; ++i) wide += "ö";
  EXPECT_TRUE(IsUtf8(Show(Scalar("\"" + wide + "\""))));
  std::string text;
  for (int i = 0; i < 32; ++i) text += "{x}";
  const std::string message =
      Format(text, std::vector<Value>(32, Scalar("\"" + std::string(5000, 'y') + "\"")));
  EXPECT_LE(message.size(), kMaxLogMessageBytes);
  EXPECT_GT(message.size(), kMaxLogMessageBytes - 8);
  Value deep = Scalar("1");
  // Deeper than any limit on capture allows; a copy of it takes stack for each level, too.
  for (int i = 0; i < 1'000; ++i) {
    Value outer = Struct({});
    outer.children.push_back(std::move(deep));
    deep = std::move(outer);
  }
  EXPECT_LE(Show(deep).size(), kMaxLogValueBytes);
}

bool IsHarmless(const std::string& message) {
  if (!IsUtf8(message) || message.size() > kMaxLogMessageBytes) return false;
  for (size_t i = 0; i < message.size(); ++i) {
    const auto c = static_cast<uint8_t>(message[i]);
    if (c < 0x20 || c == 0x7f) return false;
    if (c == 0xC2 && static_cast<uint8_t>(message[i + 1]) < 0xA0) return false;  // C1
  }
  return message.find("\u202e") == std::string::npos && message.find("\u2028") == std::string::npos;
}

TEST(LogFormat, NothingDrivesATerminalOrStartsALine) {
  const std::string hostile = "a\x1b[2J\r\nfake\x07\xc2\x9b\xe2\x80\xae\xff\xe2\x80\xa8\x7f";
  for (const Value& value :
       {Scalar(hostile), Scalar("\"" + hostile + "\""), Struct({Named(hostile, Scalar(hostile))}),
        Container("1", {Named("[" + hostile + "]", Scalar("1"))}),
        Gap(ValueStatus::kUnavailable, hostile)}) {
    EXPECT_TRUE(IsHarmless(Show(value))) << Show(value);
  }
  EXPECT_EQ(Show(Scalar("a\nb\x1b[2J\xff")), "a\\nb\\x1b[2J\\xff");
  EXPECT_EQ(Format("line\nnext {x}\x1b", {Scalar("1")}), "line\\nnext 1\\x1b");
}

// Whatever the template and the values are: no crash, bounded, harmless; and what was parsed is
// what was written.
TEST(LogFormat, MutatedTemplatesAndValuesAreSurvived) {
  const char* rounds_text = std::getenv("STILLFRAME_FUZZ_ROUNDS");
  const int rounds = rounds_text == nullptr ? 20'000 : std::atoi(rounds_text);
  std::mt19937_64 random(20261125);
  const std::string_view pieces[] = {
      "{", "}", "{{",   "}}",       "\"", "'",   "\\", "(",  "[",    "]", ")",     "x",     "1'0",
      " ", "ö", "\xff", "\xe2\x80", "\n", "{x}", "::", "->", "\x1b", "€", "\"...", "size=", "0x1 "};
  const auto text = [&] {
    std::string out;
    for (uint64_t n = random() % 24; n > 0; --n) out += pieces[random() % std::size(pieces)];
    return out;
  };
  const std::function<Value(int)> value = [&](int depth) {
    Value made;
    made.name = random() % 2 == 0 ? "[" + std::to_string(random() % 3) + "]" : text();
    made.type = text();
    made.value = random() % 4 == 0 ? "size=" + std::to_string(random()) : text();
    if (random() % 3 == 0) made.value = "\"" + made.value + "\"";
    made.has_value = random() % 4 != 0;
    made.status = static_cast<ValueStatus>(random() % 6);
    made.reason = random() % 2 == 0 ? text() : "";
    for (uint64_t n = depth > 0 ? random() % 4 : 0; n > 0; --n) {
      made.children.push_back(value(depth - 1));
    }
    return made;
  };
  int parsed = 0;
  for (int round = 0; round < rounds; ++round) {
    const std::string source = text();
    LogTemplate log;
    const auto error = ParseLogTemplate(source, log);
    if (error) {
      EXPECT_GE(error->column, 1u);
      EXPECT_LE(error->column, source.size() + 1);
      continue;
    }
    ++parsed;
    ASSERT_EQ(log.literals.size(), log.expressions.size() + 1);
    for (const auto& expression : log.expressions) {
      EXPECT_EQ(source.substr(expression.offset_bytes, expression.text.size()), expression.text);
    }
    std::vector<Value> values;
    for (uint64_t n = random() % 4; n > 0; --n) values.push_back(value(3));
    const std::string message = FormatLog(log, values);
    EXPECT_TRUE(IsHarmless(message)) << message;
    EXPECT_FALSE(RedactsValue(message));
  }
  EXPECT_GT(parsed, rounds / 20);  // else it tests nothing
}

}  // namespace
}  // namespace stillframe::model
