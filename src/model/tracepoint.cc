#include "model/tracepoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "model/agent_info.h"

namespace stillframe::model {
namespace {

constexpr std::array<std::string_view, 5> kKindNames = {"SNAPSHOT", "LOG", "COUNTER",
                                                        "DISTRIBUTION", "SPAN"};
constexpr std::array<std::string_view, 9> kStateNames = {"RECEIVED",  "ARMED",     "EMITTING",
                                                         "PENDING",   "THROTTLED", "EXPIRED",
                                                         "COMPLETED", "BLOCKED",   "ERROR"};

}  // namespace

std::string_view KindName(Kind kind) {
  const auto index = static_cast<size_t>(kind);  // off the wire: any number
  return index < kKindNames.size() ? kKindNames[index] : "UNKNOWN";
}

std::optional<Kind> KindFromName(std::string_view name) {
  for (size_t i = 0; i < kKindNames.size(); ++i) {
    if (kKindNames[i] == name) return static_cast<Kind>(i);
  }
  return std::nullopt;
}

std::string_view StateName(State state) { return kStateNames[static_cast<size_t>(state)]; }

std::optional<State> StateFromName(std::string_view name) {
  for (size_t i = 0; i < kStateNames.size(); ++i) {
    if (kStateNames[i] == name) return static_cast<State>(i);
  }
  return std::nullopt;
}

bool Selects(const Selector& selector, const AgentIdentity& identity) {
  const auto matches = [](const std::string& wanted, const std::string& actual) {
    return wanted.empty() || wanted == actual;
  };
  const auto has = [&identity](const auto& wanted) {
    return std::any_of(identity.labels.begin(), identity.labels.end(),
                       [&wanted](const auto& label) {
                         return label.first == wanted.first && label.second == wanted.second;
                       });
  };
  return matches(selector.version, identity.version) &&
         matches(selector.environment, identity.environment) &&
         matches(selector.instance, identity.instance) &&
         std::all_of(selector.labels.begin(), selector.labels.end(), has);
}

std::optional<uint64_t> ParseDurationMs(std::string_view text) {
  if (text.size() < 2 || text.back() != 's') return std::nullopt;
  text.remove_suffix(1);
  if (text.front() < '0' || text.front() > '9') return std::nullopt;  // no sign, inf or nan
  double seconds = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!(seconds >= 0 && seconds <= 1e12)) return std::nullopt;
  return static_cast<uint64_t>(std::llround(seconds * 1000));
}

std::string FormatDuration(uint64_t ms) {
  std::string text = std::to_string(ms / 1000);
  if (ms % 1000 != 0) {
    std::string fraction = std::to_string(1000 + ms % 1000).substr(1);
    while (fraction.back() == '0') fraction.pop_back();
    text += "." + fraction;
  }
  return text + "s";
}

}  // namespace stillframe::model
