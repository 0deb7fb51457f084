// `lines`, `variables`, `doctor`: what a binary offers, without running it.
#include <algorithm>
#include <cstdio>
#include <map>

#include "agent/next_instruction.h"
#include "agent/probe/site_classifier.h"
#include "base/process_maps.h"
#include "cli/commands.h"
#include "cli/elf_text.h"
#include "cli/offline_module.h"
#include "cli/snapshot_view.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxStatements = 2'000'000;

std::string LocationText(const Location& location) {
  switch (location.kind) {
    case LocationKind::kMemory:
      return "memory";
    case LocationKind::kValue:
      return "register or computed";
    case LocationKind::kXmm:
      return "xmm" + std::to_string(location.reg);
    case LocationKind::kBytes:
      return "constant";
    case LocationKind::kPieces:
      return "pieces";
    case LocationKind::kUnavailable:
      break;
  }
  return "";
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
    json["where"] = LocationText(variable.location);
  }
  return json;
}

Json SiteJson(const ProbePlan& plan, const SitePlan& site) {
  const PlanUnit& unit = plan.unit;
  Json json = {{"address", Hex(site.address.value)}, {"function", unit.strings[site.function]}};
  json["frames"] = Json::array();
  const FramePlan& frame = unit.frames[site.frame];
  for (uint32_t f = 0; f < frame.virtual_count; ++f) {
    const VirtualFrame& view = unit.virtual_frames[frame.first_virtual + f];
    Json entry = {{"function", unit.strings[view.function]},
                  {"file", unit.strings[view.file]},
                  {"line", view.line},
                  {"inlined", view.inlined != 0}};
    entry["variables"] = Json::array();
    for (uint32_t v = 0; v < view.variable_count; ++v) {
      entry["variables"].push_back(VariableJson(unit, unit.variables[view.first_variable + v]));
    }
    json["frames"].push_back(std::move(entry));
  }
  return json;
}

void PrintVariable(const GlobalOptions& global, const Json& variable) {
  const std::string status = variable["status"];
  const std::string reason = variable.value("reason", "");
  std::string what =
      status == "EXACT" ? Paint(global.style, Ink::kGood, "exact") + "  " +
                              Paint(global.style, Ink::kDim, variable["where"].get<std::string>())
      : status == "RECOVERED" ? Paint(global.style, Ink::kGood, "recovered") + "  " + Safe(reason)
      : status == "REDACTED"
          ? Paint(global.style, Ink::kWarn, "redacted")
          : Paint(global.style, Ink::kWarn, "unavailable") + "  " + ReasonText(reason);
  std::string name = Fit(Safe(variable["name"].get<std::string>()), 24);
  name.append(26 - Columns(name), ' ');
  std::string type = Fit(Safe(variable["type"].get<std::string>()), 40);
  type.append(42 - Columns(type), ' ');
  std::printf("    %s%s%s\n", name.c_str(), Paint(global.style, Ink::kDim, type).c_str(),
              what.c_str());
}

void PrintSite(const GlobalOptions& global, const Json& site) {
  std::printf("%s  %s\n",
              Paint(global.style, Ink::kBold, site["address"].get<std::string>()).c_str(),
              Safe(site["function"].get<std::string>()).c_str());
  bool first = true;
  for (const Json& frame : site["frames"]) {
    if (!first) {
      std::printf("  %s\n", Paint(global.style, Ink::kDim,
                                  "inlined into " + Safe(frame["function"].get<std::string>()) +
                                      " at line " + frame["line"].dump())
                                .c_str());
    }
    first = false;
    for (const Json& variable : frame["variables"]) PrintVariable(global, variable);
    if (frame["variables"].empty()) std::printf("    no variables in scope\n");
  }
}

struct ProbeShares {
  uint64_t total = 0, probed = 0;
  uint64_t inside = 0;  // statement addresses inside the instruction of another one
  std::map<std::string, uint64_t> methods, refusals;
};

// As the agent does: where the address itself cannot be probed, the next one of its line that runs
// exactly when it does.
std::string NextOfLineMethod(SymbolModule& module, const probe::SiteClassifier& classifier,
                             const TextSegment& segment, LinkAddress address) {
  for (int away = 0; away < agent::kMaxInstructionsAway; ++away) {
    const auto next = agent::NextOfSameLine(module, address);
    if (!next || !segment.Contains(*next)) return "";
    const auto found = classifier.Classify(segment.bytes, segment.address, *next);
    if (found.ok()) return std::string(probe::MethodName(found->method)) + "_NEXT_OF_LINE";
    address = *next;
  }
  return "";
}

ProbeShares Classify(SymbolModule& module, const std::string& binary,
                     std::vector<LinkAddress> addresses) {
  ProbeShares shares;
  const auto text = ReadElfText(binary);
  if (!text.ok()) return shares;
  const probe::SiteClassifier classifier(text->kind, text->start, text->end);
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  LinkAddress instruction_end;
  for (LinkAddress address : addresses) {
    const auto segment =
        std::find_if(text->segments.begin(), text->segments.end(),
                     [&](const TextSegment& candidate) { return candidate.Contains(address); });
    if (segment == text->segments.end()) continue;
    ++shares.total;
    shares.inside += address < instruction_end;
    const auto found = classifier.Classify(segment->bytes, segment->address, address);
    if (found.ok()) {
      ++shares.probed;
      instruction_end = LinkAddress(address.value + found->instruction_bytes);
      const std::string name = probe::MethodName(found->method);
      ++shares.methods[found->moves_next ? name + "_NEXT_MOVED" : name];
      continue;
    }
    const std::string near = NextOfLineMethod(module, classifier, *segment, address);
    if (near.empty()) {
      ++shares.refusals[found.status().message()];
    } else {
      ++shares.probed;
      ++shares.methods[near];
    }
  }
  return shares;
}

Json SharesJson(const ProbeShares& shares) {
  Json json = {{"statementAddresses", shares.total},
               {"probed", shares.probed},
               {"insideAnotherInstruction", shares.inside}};
  json["methods"] = shares.methods;
  json["refusals"] = shares.refusals;
  return json;
}

void PrintShares(const GlobalOptions& global, const ProbeShares& shares) {
  if (shares.total == 0) return;
  const auto percent = [&shares](uint64_t count) {
    return 100.0 * static_cast<double>(count) / static_cast<double>(shares.total);
  };
  std::printf("statement addresses  %llu, of which %.2f %% can be probed without a trap\n",
              static_cast<unsigned long long>(shares.total), percent(shares.probed));
  for (const auto& [method, count] : shares.methods) {
    std::printf("  %-28s %6.2f %%\n", method.c_str(), percent(count));
  }
  std::vector<std::pair<uint64_t, std::string>> reasons;
  for (const auto& [reason, count] : shares.refusals) reasons.emplace_back(count, reason);
  std::sort(reasons.rbegin(), reasons.rend());
  if (!reasons.empty()) std::printf("not probed\n");
  for (size_t i = 0; i < std::min<size_t>(reasons.size(), 10); ++i) {
    std::printf("  %6.2f %%  %s\n", percent(reasons[i].first),
                Paint(global.style, Ink::kDim, Safe(reasons[i].second)).c_str());
  }
}

}  // namespace

int RunLines(const GlobalOptions& global, const std::string& binary, const std::string& place) {
  std::string file;
  uint32_t line = 0;
  if (!ParsePlace(place, true, file, line)) return FailUsage("'" + place + "' is not FILE[:LINE]");
  Opened opened;
  if (Status status = OpenOffline(binary, opened); !status.ok()) return FailStatus(global, status);
  auto lines = opened.module->Lines(file, line, line);
  if (!lines.ok()) return FailStatus(global, lines.status());
  if (lines->empty()) {
    // Compile knows the nearest lines that have code.
    PlanRequest request;
    request.file = file;
    request.line = line == 0 ? 1 : line;
    const auto plan = opened.module->Compile(request);
    return FailStatus(global, plan.ok() ? Status(Code::kLineHasNoCode, "no code") : plan.status());
  }
  Json list = Json::array();
  for (const LineInfo& info : *lines) {
    Json entry = {{"file", info.file}, {"line", info.line}};
    entry["addresses"] = Json::array();
    for (LinkAddress address : info.addresses) entry["addresses"].push_back(Hex(address.value));
    entry["functions"] = info.functions;
    list.push_back(std::move(entry));
  }
  if (global.json) {
    std::printf("%s\n", Json{{"lines", list}}.dump(2).c_str());
    return kDone;
  }
  std::string heading;
  for (const LineInfo& info : *lines) {
    if (info.file != heading) {
      std::printf("%s\n", Paint(global.style, Ink::kBold, Safe(info.file)).c_str());
      heading = info.file;
    }
    std::string functions;
    for (const std::string& function : info.functions) {
      functions += (functions.empty() ? "" : ", ") + Safe(function);
    }
    const uint32_t room = global.style.width > 32 ? global.style.width - 32 : 40;
    std::printf("%6u  %3zu address%s  %s\n", info.line, info.addresses.size(),
                info.addresses.size() == 1 ? "  " : "es",
                Paint(global.style, Ink::kDim, Fit(functions, room)).c_str());
  }
  return kDone;
}

int RunVariables(const GlobalOptions& global, const std::string& binary, const std::string& place) {
  PlanRequest request;
  if (!ParsePlace(place, false, request.file, request.line)) {
    return FailUsage("'" + place + "' is not FILE:LINE");
  }
  Opened opened;
  if (Status status = OpenOffline(binary, opened); !status.ok()) return FailStatus(global, status);
  const auto plan = opened.module->Compile(request);
  if (!plan.ok()) return FailStatus(global, plan.status());
  Json sites = Json::array();
  for (const SitePlan& site : plan->sites) sites.push_back(SiteJson(*plan, site));
  if (global.json) {
    std::printf("%s\n", Json{{"sites", sites}}.dump(2).c_str());
    return kDone;
  }
  for (const Json& site : sites) PrintSite(global, site);
  return kDone;
}

int RunDoctor(const GlobalOptions& global, const std::string& binary, bool list_files) {
  Opened opened;
  if (Status status = OpenOffline(binary, opened); !status.ok()) return FailStatus(global, status);
  SymbolModule& module = *opened.module;
  const Status debug = module.debug_status();
  const auto addresses = module.StatementAddresses(kMaxStatements);
  const auto files = module.Files("");
  ProbeShares shares;
  if (addresses.ok()) shares = Classify(module, binary, *addresses);
  const auto unwind = module.BuildUnwindTable();
  if (global.json) {
    Json json = {{"binary", binary},
                 {"buildId", module.build_id()},
                 {"debugInfo", debug.ok() ? "OK" : CodeName(debug.code())},
                 {"debugFile", module.debug_file()}};
    if (files.ok()) json["sourceFiles"] = files->size();
    if (files.ok() && list_files) json["files"] = *files;
    json["probes"] = SharesJson(shares);
    if (unwind.ok()) {
      json["unwind"] = {{"rows", unwind->pcs.size()}, {"rules", unwind->rules.size()}};
    }
    std::printf("%s\n", json.dump(2).c_str());
    return debug.ok() ? kDone : kRefused;
  }
  std::printf("binary               %s\n", Safe(binary).c_str());
  std::printf("build-id             %s\n",
              module.build_id().empty() ? "none" : module.build_id().c_str());
  std::printf("debug information    %s\n",
              debug.ok() ? Safe(module.debug_file()).c_str() : Safe(debug.ToString()).c_str());
  if (files.ok()) std::printf("source files         %zu\n", files->size());
  if (unwind.ok()) {
    std::printf("unwind table         %zu rows, %zu rules\n", unwind->pcs.size(),
                unwind->rules.size());
  } else {
    std::printf("unwind table         %s\n", Safe(unwind.status().ToString()).c_str());
  }
  PrintShares(global, shares);
  if (files.ok() && list_files) {
    for (const std::string& file : *files) std::printf("%s\n", Safe(file).c_str());
  }
  return debug.ok() ? kDone : kRefused;
}

}  // namespace stillframe::cli
