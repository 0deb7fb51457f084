// `check`: what an expression will be at each site of a line, before anything is armed.
#include <algorithm>
#include <cstdio>

#include "agent/function_exits.h"
#include "cli/commands.h"
#include "cli/offline_module.h"
#include "cli/snapshot_view.h"
#include "symbolizer/expression.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

Json ProblemJson(const Status& status) {
  return {{"code", CodeName(status.code())}, {"message", status.message()}};
}

Json NeededJson(const NeededVariable& variable) {
  Json json = {{"name", variable.name}, {"type", variable.type}};
  if (variable.reason == Code::kRedacted) {
    json["status"] = "REDACTED";
  } else if (variable.reason != Code::kOk) {
    json["status"] = "UNAVAILABLE";
    json["reason"] = CodeName(variable.reason);
  } else if (!variable.recovered.empty()) {
    json["status"] = "RECOVERED";
    json["reason"] = variable.recovered;
  } else {
    json["status"] = "EXACT";
  }
  return json;
}

Json CheckedJson(const CheckedExpression& checked) {
  Json json;
  if (checked.address.value != 0) json["address"] = Hex(checked.address.value);
  json["function"] = checked.function;
  json["usable"] = checked.status.ok();
  if (checked.status.ok()) {
    json["type"] = checked.type;
    json["condition"] = checked.as_condition.ok();
    if (!checked.as_condition.ok()) json["whyNoCondition"] = ProblemJson(checked.as_condition);
  } else {
    json["error"] = ProblemJson(checked.status);
  }
  json["variables"] = Json::array();
  for (const NeededVariable& variable : checked.variables) {
    json["variables"].push_back(NeededJson(variable));
  }
  return json;
}

// The column that the message names, from 1; 0 when it names none.
size_t ColumnOf(const std::string& message) {
  constexpr std::string_view kColumn = "column ";
  const size_t at = message.find(kColumn);
  return at == std::string::npos ? 0 : strtoul(message.c_str() + at + kColumn.size(), nullptr, 10);
}

// The expression with a mark below the column; "" for a column outside of it.
std::string MarkColumn(const GlobalOptions& global, const std::string& expression, size_t column) {
  if (column == 0 || column > expression.size() + 1) return "";
  const uint32_t before = Columns(Safe(expression.substr(0, column - 1)));
  return "    " + Safe(expression) + "\n    " + std::string(before, ' ') +
         Paint(global.style, Ink::kError, "^") + "\n";
}

std::string WhatIsKnown(const GlobalOptions& global, const NeededVariable& variable) {
  if (variable.reason == Code::kRedacted) return Paint(global.style, Ink::kWarn, "redacted");
  if (variable.reason != Code::kOk) {
    return Paint(global.style, Ink::kWarn, "unavailable") + "  " +
           ReasonText(std::string(CodeName(variable.reason)));
  }
  if (variable.recovered.empty()) return Paint(global.style, Ink::kGood, "exact");
  return Paint(global.style, Ink::kGood, "recovered") + "  " + Safe(variable.recovered);
}

std::string VariableLine(const GlobalOptions& global, const NeededVariable& variable) {
  std::string name = Fit(Safe(variable.name), 24);
  name.append(26 - Columns(name), ' ');
  std::string type = Fit(Safe(variable.type), 40);
  type.append(42 - Columns(type), ' ');
  return "    " + name + Paint(global.style, Ink::kDim, type) + WhatIsKnown(global, variable) +
         "\n";
}

// Everything but the address: sites that say the same are shown together.
std::string CheckedText(const GlobalOptions& global, const CheckedExpression& checked,
                        const std::string& expression) {
  std::string text = Safe(checked.function) + "\n";
  if (checked.status.ok()) {
    text += "  type  " + Safe(checked.type) + (checked.as_condition.ok() ? "" : "  (no condition)");
    text += "\n";
  } else {
    text += "  " + Paint(global.style, Ink::kError, Safe(checked.status.ToString())) + "\n";
    text += MarkColumn(global, expression, ColumnOf(checked.status.message()));
  }
  for (const NeededVariable& variable : checked.variables) text += VariableLine(global, variable);
  return text;
}

void PrintGroups(const GlobalOptions& global, const std::vector<CheckedExpression>& sites,
                 const std::string& expression) {
  constexpr size_t kMaxAddresses = 4;
  std::vector<std::pair<std::string, std::vector<uint64_t>>> groups;
  for (const CheckedExpression& one : sites) {
    const std::string text = CheckedText(global, one, expression);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == text; });
    auto& group =
        found == groups.end() ? groups.emplace_back(text, std::vector<uint64_t>()) : *found;
    group.second.push_back(one.address.value);
  }
  for (const auto& [text, addresses] : groups) {
    std::string where;
    for (size_t i = 0; i < addresses.size() && i < kMaxAddresses; ++i) {
      if (addresses[i] != 0) where += Hex(addresses[i]) + ' ';
    }
    if (addresses.size() > kMaxAddresses) {
      where += "and " + std::to_string(addresses.size() - kMaxAddresses) + " more ";
    }
    if (!where.empty()) std::printf("%s ", Paint(global.style, Ink::kBold, where).c_str());
    std::fputs(text.c_str(), stdout);
  }
}

// Whether the frame is reached through a register that returning does not change.
bool HasFramePointer(const UnwindTable& table, LinkAddress address) {
  constexpr uint8_t kRbp = 6;
  const int64_t offset = address - table.base;
  if (offset < 0 || static_cast<uint64_t>(offset) >= table.size_bytes) return false;
  const auto row = std::upper_bound(table.pcs.begin(), table.pcs.end(), offset);
  if (row == table.pcs.begin()) return false;
  const UnwindRule& rule = table.rules[table.row_rules[row - table.pcs.begin() - 1]];
  return rule.cfa_kind == CfaKind::kRegisterOffset && rule.cfa_register == kRbp;
}

// As the agent finds the places where a function is left.
Status AddReturns(SymbolModule& module, PlanRequest& request) {
  PlanRequest entries = request;
  entries.own_code_only = true;
  SF_ASSIGN_OR_RETURN(const ProbePlan plan, module.Compile(entries));
  const Result<UnwindTable> table = module.BuildUnwindTable();
  const auto has_frame_pointer = [&table](LinkAddress address) {
    return table.ok() && HasFramePointer(*table, address);
  };
  SF_ASSIGN_OR_RETURN(request.returns, agent::FunctionReturns(module, plan, has_frame_pointer));
  return Status();
}

Result<std::vector<CheckedExpression>> CheckAt(const CheckOptions& options, bool at_return,
                                               PlanRequest& request) {
  Opened opened;
  SF_RETURN_IF_ERROR(OpenOffline(options.binary, opened));
  // Mistakes in the text are told before any of the place.
  SF_RETURN_IF_ERROR(CheckExpressionSyntax(options.expression));
  if (at_return) SF_RETURN_IF_ERROR(AddReturns(*opened.module, request));
  return opened.module->Check(request, options.expression);
}

// False: it names no place.
bool ReadPlace(const std::string& place, PlanRequest& request) {
  const Json location = LocationOf(place);
  if (location.is_null() || location.contains("module")) return false;
  request.file = location.value("file", "");
  request.line = location.value("line", 0u);
  request.function = location.value("function", "");
  if (location.contains("address")) {
    request.address =
        LinkAddress(strtoull(location["address"].get<std::string>().c_str(), nullptr, 16));
  }
  return true;
}

// $return is nowhere else, so who asks for it means there.
bool AsksForResult(const std::string& expression) {
  return expression.find("$return") != std::string::npos;
}

}  // namespace

int RunCheck(const GlobalOptions& global, const CheckOptions& given) {
  CheckOptions options = given;
  PlanRequest request;
  if (!options.exception.empty()) {
    if (!options.expression.empty() || options.at_return) {
      return FailUsage("with --exception there is no place");
    }
    options.expression = options.place;
    request.thrown = {options.exception};
  } else if (options.expression.empty()) {
    return FailUsage("what is to be checked? Say BINARY PLACE EXPRESSION");
  } else if (!ReadPlace(options.place, request)) {
    return FailUsage("'" + options.place + "' is not FILE:LINE, a function or an address");
  }
  const bool is_function = !request.function.empty();
  if (options.at_return && !is_function) return FailUsage("--return belongs to a function");
  const bool at_return = options.at_return || (is_function && AsksForResult(options.expression));
  const std::string& expression = options.expression;
  auto sites = CheckAt(options, at_return, request);
  if (!sites.ok()) {
    const int code = FailStatus(global, sites.status());
    const std::string mark = MarkColumn(global, expression, ColumnOf(sites.status().message()));
    if (!global.json) std::fputs(mark.c_str(), stderr);
    return code;
  }
  if (!options.exception.empty()) sites->front().function = "throw of " + options.exception;
  const auto usable = std::count_if(sites->begin(), sites->end(),
                                    [](const CheckedExpression& one) { return one.status.ok(); });
  if (global.json) {
    Json json = {{"expression", expression}, {"usableSites", usable}, {"sites", Json::array()}};
    for (const CheckedExpression& one : *sites) json["sites"].push_back(CheckedJson(one));
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    PrintGroups(global, *sites, expression);
    std::printf("usable at %td of %zu sites\n", usable, sites->size());
  }
  return usable != 0 ? kDone : kRefused;
}

}  // namespace stillframe::cli
