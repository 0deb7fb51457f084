#include "agent/queries.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace stillframe::agent {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kMaxLines = 20'000;

std::string Hex(uint64_t value) {
  char text[20];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

Status AddLines(SymbolModule& module, const LoadedModule& loaded, const model::Query& query,
                Json& out) {
  SF_ASSIGN_OR_RETURN(const auto lines, module.Lines(query.file, query.line, query.line));
  if (lines.empty()) {
    // Arming knows the nearest lines that have code.
    PlanRequest request;
    request.file = query.file;
    request.line = query.line;
    return module.Compile(request).status();
  }
  for (const LineInfo& line : lines) {
    if (out.size() >= kMaxLines) break;
    Json entry = {{"file", line.file}, {"line", line.line}, {"module", loaded.FileName()}};
    entry["functions"] = line.functions;
    entry["addresses"] = Json::array();
    for (LinkAddress address : line.addresses) entry["addresses"].push_back(Hex(address.value));
    out.push_back(std::move(entry));
  }
  return Status();
}

Json VariableJson(const PlanUnit& unit, const Variable& variable) {
  Json json = {{"name", unit.strings[variable.name]},
               {"type", unit.strings[unit.types[variable.type].name]}};
  if ((variable.flags & kVariableRedacted) != 0) {
    json["status"] = "REDACTED";
  } else if (variable.location.kind == LocationKind::kUnavailable) {
    json["status"] = "UNAVAILABLE";
    json["reason"] = CodeName(variable.location.reason);
  } else if (variable.recovered != 0) {
    json["status"] = "RECOVERED";
    json["reason"] = unit.strings[variable.recovered];
  } else {
    json["status"] = "EXACT";
  }
  return json;
}

Status AddVariables(SymbolModule& module, const LoadedModule& loaded, const model::Query& query,
                    Json& out) {
  PlanRequest request;
  request.file = query.file;
  request.line = query.line;
  SF_ASSIGN_OR_RETURN(const ProbePlan plan, module.Compile(request));
  for (const SitePlan& site : plan.sites) {
    Json entry = {{"module", loaded.FileName()},
                  {"function", plan.unit.strings[site.function]},
                  {"address", Hex(site.address.value)}};
    Json& variables = entry["variables"] = Json::array();
    const FramePlan& frame = plan.unit.frames[site.frame];
    for (uint32_t i = 0; i < std::min(frame.virtual_count, 1u); ++i) {
      const VirtualFrame& view = plan.unit.virtual_frames[frame.first_virtual + i];
      for (uint32_t v = 0; v < view.variable_count; ++v) {
        variables.push_back(VariableJson(plan.unit, plan.unit.variables[view.first_variable + v]));
      }
    }
    out.push_back(std::move(entry));
  }
  return Status();
}

}  // namespace

model::Answer AnswerQuery(const model::Query& query, Symbolizer& symbolizer,
                          const std::vector<LoadedModule>& modules) {
  model::Answer answer;
  answer.query_id = query.id;
  const bool lines = query.kind == "lines";
  if (!lines && query.kind != "variables") {
    answer.error_code = "UNSUPPORTED";
    answer.error_message = "this agent does not know the query '" + query.kind + "'";
    return answer;
  }
  Json list = Json::array();
  Status worst(Code::kFileNotFound, "no module has debug information for " + query.file);
  for (const LoadedModule& loaded : modules) {
    if (loaded.is_agent || loaded.is_vdso || loaded.text.empty()) continue;
    auto module = symbolizer.OpenModule(loaded.path, loaded.build_id);
    if (!module.ok()) continue;
    const Status status = lines ? AddLines(**module, loaded, query, list)
                                : AddVariables(**module, loaded, query, list);
    const bool says_more =
        status.code() != Code::kFileNotFound && status.code() != Code::kNoDebugInfo;
    if (!status.ok() && says_more) worst = status;
  }
  if (list.empty()) {
    answer.error_code = CodeName(worst.code());
    answer.error_message = worst.message();
  } else {
    Json body;
    body[lines ? "lines" : "sites"] = std::move(list);
    answer.json = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return answer;
}

}  // namespace stillframe::agent
