#include "cli/tracepoint_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

Ink StateInk(const std::string& state) {
  if (state == "ARMED" || state == "EMITTING" || state == "COMPLETED") return Ink::kGood;
  if (state == "ERROR" || state == "BLOCKED") return Ink::kError;
  return Ink::kWarn;
}

void PrintAgentStatus(const GlobalOptions& global, const Json& agent) {
  const std::string state = Text(agent, "state");
  std::string line = "  " + Text(agent, "instance").substr(0, 8) + "  " +
                     Paint(global.style, StateInk(state), state);
  if (!Text(agent, "reason").empty()) {
    line += "  " + Text(agent, "reason") + ": " + Text(agent, "message");
  }
  std::printf("%s\n", line.c_str());
  for (const Json& site : agent.value("sites", Json::array())) {
    const std::string method = Text(site, "method");
    std::printf(
        "    %s %s in %s  %s\n", Text(site, "module").c_str(), Text(site, "address").c_str(),
        Text(site, "function").c_str(),
        Paint(global.style, Ink::kDim, method.empty() ? Text(site, "reason") : method).c_str());
  }
  const Json counters = agent.value("counters", Json::object());
  std::string text;
  for (const auto& [name, value] : counters.items()) {
    if (value.is_number() && value != 0) text += "  " + Safe(name) + " " + value.dump();
  }
  const Json dropped = counters.value("dropped", Json::object());
  for (const auto& [name, value] : dropped.items()) {
    text += "  dropped " + Safe(name) + " " + value.dump();
  }
  const Json nanos = agent.value("hitNanos", Json::object());
  if (!text.empty()) {
    std::printf("   %s%s\n", text.c_str(),
                Paint(global.style, Ink::kDim,
                      "  hit p50 " + Text(nanos, "p50") + " ns, p99 " + Text(nanos, "p99") + " ns")
                    .c_str());
  }
}

std::string Number(const Json& object, const char* name) {
  const Json value = object.value(name, Json());
  if (!value.is_number()) return "-";
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value.get<double>());
  return text;
}

// Value below which the share `quantile` of the counts lies, by the buckets' upper bounds.
std::string Quantile(const Json& distribution, double quantile) {
  std::vector<std::pair<double, double>> bounds;  // upper bound, count
  const double base = std::exp2(std::exp2(-distribution.value("scale", 0)));
  const auto add = [&](const char* sign, double factor) {
    const Json buckets = distribution.value(sign, Json::object());
    for (const auto& [index, count] : buckets.items()) {
      if (!count.is_number()) continue;
      const double upper = std::pow(base, std::atof(index.c_str()) + (factor > 0 ? 1 : 0));
      bounds.emplace_back(factor * upper, count.get<double>());
    }
  };
  add("positive", 1);
  add("negative", -1);
  bounds.emplace_back(0, distribution.value("zeroCount", 0.0));
  std::sort(bounds.begin(), bounds.end());
  double total = 0, seen = 0;
  for (const auto& [upper, count] : bounds) total += count;
  for (const auto& [upper, count] : bounds) {
    seen += count;
    if (total == 0 || seen < quantile * total) continue;
    char text[40];
    std::snprintf(
        text, sizeof text, "%.4g",
        std::clamp(upper, distribution.value("min", upper),
                   std::max(distribution.value("min", upper), distribution.value("max", upper))));
    return text;
  }
  return "-";
}

void PrintThrows(const Json& agent) {
  for (const Json& kind : agent.value("throws", Json::array())) {
    std::printf("    throw %s  %s times\n", Text(kind, "fingerprint").c_str(),
                Text(kind, "count").c_str());
  }
}

void PrintDistribution(const Json& agent) {
  const Json distribution = agent.value("distribution", Json());
  if (!distribution.is_object()) return;
  std::printf("    count %s  sum %s  min %s  p50 %s  p90 %s  p99 %s  max %s\n",
              Text(distribution, "count").c_str(), Number(distribution, "sum").c_str(),
              Number(distribution, "min").c_str(), Quantile(distribution, 0.5).c_str(),
              Quantile(distribution, 0.9).c_str(), Quantile(distribution, 0.99).c_str(),
              Number(distribution, "max").c_str());
}

// What narrows it down, and how far a canary is.
void PrintScope(const Json& tracepoint) {
  std::string only;
  const Json selector = tracepoint.value("selector", Json::object());
  for (const auto& [name, value] : selector.items()) {
    if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
      only += "  " + Safe(name) + " " + Text(selector, name.c_str());
    }
  }
  const Json labels = selector.value("labels", Json::object());
  for (const auto& [name, value] : labels.items()) {
    only += "  " + Safe(name) + "=" + Text(labels, name.c_str());
  }
  if (!only.empty()) std::printf("  only%s\n", only.c_str());
  const Json canary = tracepoint.value("canaryStatus", Json());
  if (!canary.is_object()) return;
  const std::string until = Text(canary, "until");
  std::printf("  canary %s  %s%s\n", Text(canary, "state").c_str(),
              Text(canary, "instance").substr(0, 8).c_str(),
              until.empty() ? "" : (", everywhere at " + until.substr(0, 19)).c_str());
}

void PrintProjection(const Json& agent) {
  const Json projection = agent.value("projection", Json());
  if (!projection.is_object()) return;
  std::printf("    dry run: %s hits/s; would capture %s/s, at %s %% of a core\n",
              Number(projection, "hitsPerSecond").c_str(),
              Number(projection, "capturesPerSecond").c_str(),
              Number(projection, "cpuPercent").c_str());
}

}  // namespace

std::string Text(const Json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) return "";
  const Json& value = json[key];
  return Safe(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string Place(const Json& tracepoint) {
  const Json location = tracepoint.value("location", Json::object());
  const std::string file = Text(location, "file");
  if (!file.empty()) return file + ":" + Text(location, "line");
  const std::string module = Text(location, "module");
  return (module.empty() ? "" : module + ":") + Text(location, "address") +
         Text(location, "function") + Text(location, "exception") + Text(location, "fatal") +
         (Text(location, "at") == "return" ? " (return)" : "");
}

std::string States(const Json& agents) {
  std::vector<std::pair<std::string, int>> counts;
  for (const Json& agent : agents) {
    const std::string state = Text(agent, "state");
    auto found = std::find_if(counts.begin(), counts.end(),
                              [&](const auto& entry) { return entry.first == state; });
    if (found == counts.end()) found = counts.insert(counts.end(), {state, 0});
    ++found->second;
  }
  if (counts.empty()) return "no agent";
  std::string text;
  for (const auto& [state, count] : counts) {
    text += (text.empty() ? "" : ", ") +
            (counts.size() == 1 && count == 1 ? "" : std::to_string(count) + " ") + state;
  }
  return text;
}

std::string CounterSum(const Json& agents, const char* name) {
  uint64_t sum = 0;
  for (const Json& agent : agents) {
    const Json counters = agent.is_object() ? agent.value("counters", Json::object()) : Json();
    const auto found = counters.find(name);
    if (found != counters.end() && found->is_number_unsigned()) sum += found->get<uint64_t>();
  }
  return std::to_string(sum);
}

void PrintTracepoint(const GlobalOptions& global, const Json& tracepoint) {
  std::printf("%s  %s  %s %s\n", Paint(global.style, Ink::kBold, Text(tracepoint, "id")).c_str(),
              Text(tracepoint, "kind").c_str(), Text(tracepoint, "service").c_str(),
              Place(tracepoint).c_str());
  if (!Text(tracepoint, "condition").empty()) {
    std::printf("  if %s\n", Text(tracepoint, "condition").c_str());
  }
  if (!Text(tracepoint, "logMessage").empty()) {
    std::printf("  log %s\n", Text(tracepoint, "logMessage").c_str());
  }
  PrintScope(tracepoint);
  for (const Json& watch : tracepoint.value("expressions", Json::array())) {
    if (watch.is_string()) std::printf("  watch %s\n", Safe(watch.get<std::string>()).c_str());
  }
  std::printf("  %s\n", Paint(global.style, Ink::kDim,
                              "revision " + Text(tracepoint, "revision") + ", expires " +
                                  Text(tracepoint, "expiresAt").substr(0, 19) + "Z")
                            .c_str());
  for (const Json& agent : tracepoint.value("agents", Json::array())) {
    PrintAgentStatus(global, agent);
    PrintDistribution(agent);
    PrintThrows(agent);
    PrintProjection(agent);
  }
}

}  // namespace stillframe::cli
