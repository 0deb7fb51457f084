// Tracepoints as people write them: the file of STILLFRAME_TRACEPOINTS, REST bodies, log templates.
// What is read is written in the one form that is read again.
#include "model/log_template.h"
#include "model/tracepoint.h"
#include "symbolizer/expression.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe {
namespace {

void CheckSpec(const model::TracepointSpec& spec) {
  const std::string json = model::SpecToJson(spec);
  model::TracepointSpec again;
  const auto error = model::ParseTracepointSpec(json, again, nullptr);
  if (error) fuzz::Broken("a spec reads back", __FILE__, __LINE__, json + ": " + error->message);
  SF_FUZZ_CHECK(model::SpecToJson(again) == json);
}

void CheckLog(std::string_view text) {
  model::LogTemplate log;
  if (model::ParseLogTemplate(text, log)) return;
  SF_FUZZ_CHECK(log.literals.size() == log.expressions.size() + 1);
  for (size_t i = 0; i < log.expressions.size(); ++i) {
    SF_FUZZ_CHECK(
        text.substr(log.expressions[i].offset_bytes).starts_with(log.expressions[i].text));
    (void)log.Column(i, 0);
  }
  SF_FUZZ_CHECK(model::FormatLog(log, {}).size() <= model::kMaxLogMessageBytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::AsText(data, size);
  model::TracepointsFile file;
  if (!model::ParseTracepointsFile(text, file)) {
    for (const model::NamedSpec& named : file.tracepoints) CheckSpec(named.spec);
  }
  model::TracepointSpec spec;
  if (!model::ParseTracepointSpec(text, spec, nullptr)) {
    CheckSpec(spec);
    model::TracepointSpec patched = spec;
    if (!model::PatchTracepointSpec(text, patched)) CheckSpec(patched);
  }
  CheckLog(text);
  (void)model::ParseDurationMs(text);
  return 0;
}

}  // namespace stillframe
