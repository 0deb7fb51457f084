#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/commands.h"
#include "cli/snapshot_view.h"

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Text(const Json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) return "";
  const Json& value = json[key];
  return Safe(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string Query(const FilterOptions& filter) {
  std::string query = "?pageSize=" + std::to_string(filter.limit);
  for (const auto& [name, value] : {std::pair{"service", &filter.service},
                                    {"tracepoint", &filter.tracepoint},
                                    {"traceId", &filter.trace_id},
                                    {"since", &filter.since},
                                    {"kind", &filter.kind}}) {
    if (!value->empty()) query += std::string("&") + name + "=" + UrlEncode(*value);
  }
  return query;
}

std::vector<std::string> SnapshotRow(const Json& snapshot) {
  const Json frames = snapshot.value("frames", Json::array());
  const Json frame = frames.empty() ? Json::object() : frames[0];
  const std::string file = Text(frame, "file");
  const std::string line = frame.value("line", 0) > 0 ? ":" + Text(frame, "line") : "";
  return {Text(snapshot, "id"),      Text(snapshot, "time").substr(0, 23),
          Text(snapshot, "service"), file.substr(file.rfind('/') + 1) + line,
          Text(frame, "function"),   Text(snapshot.value("thread", Json::object()), "name")};
}

double Cost(const Json& agent, const char* key) {
  const Json cost = agent.value("cost", Json::object());
  const auto found = cost.find(key);
  return found != cost.end() && found->is_number() ? found->get<double>() : 0;
}

std::string CpuText(const Json& agent) {
  char text[32];
  snprintf(text, sizeof text, "%.2f s", Cost(agent, "cpuSeconds"));
  return text;
}

std::string MemoryText(const Json& agent) {
  char text[32];
  snprintf(text, sizeof text, "%.1f MB", Cost(agent, "rssBytes") / 1e6);
  return text;
}

void Print(const GlobalOptions& global, const Json& snapshot) {
  if (global.json) {
    std::printf("%s\n", snapshot.dump().c_str());
  } else if (IsLine(snapshot)) {
    std::printf("%s\n", RenderLogLine(snapshot, global.style).c_str());
  } else {
    std::printf("%s\n", RenderSnapshot(snapshot, global.style, global.source_root).c_str());
  }
  std::fflush(stdout);
}

}  // namespace

int RunSnapshots(const GlobalOptions& global, const FilterOptions& filter) {
  ApiClient client(global.server, global.key);
  const ApiResult result = client.Get("/v1/snapshots" + Query(filter));
  if (!result.ok()) return Fail(global, result.error);
  if (global.json) {
    std::printf("%s\n", result.body.dump(2).c_str());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{
      {"ID", "TIME (UTC)", "SERVICE", "LINE", "FUNCTION", "THREAD"}};
  const Json snapshots = result.body.value("snapshots", Json::array());
  for (const Json& snapshot : snapshots) {
    if (!IsLine(snapshot)) rows.push_back(SnapshotRow(snapshot));
  }
  if (snapshots.empty()) std::printf("no snapshots\n");
  if (rows.size() > 1) std::printf("%s", Table(global.style, rows).c_str());
  if (rows.size() > 1 && rows.size() <= snapshots.size()) std::printf("\n");
  for (const Json& snapshot : snapshots) {
    if (IsLine(snapshot)) std::printf("%s\n", RenderLogLine(snapshot, global.style).c_str());
  }
  return kDone;
}

int RunSnapshot(const GlobalOptions& global, const std::string& id) {
  ApiClient client(global.server, global.key);
  const ApiResult result = client.Get("/v1/snapshots/" + UrlEncode(id));
  if (!result.ok()) return Fail(global, result.error);
  if (!global.json && IsLine(result.body)) {  // one alone is shown whole
    std::printf("%s\n", RenderSnapshot(result.body, global.style, global.source_root).c_str());
    return kDone;
  }
  Print(global, result.body);
  return kDone;
}

int RunTail(const GlobalOptions& global, const FilterOptions& filter) {
  ApiClient client(global.server, global.key);
  std::string path = "/v1/events";
  if (!filter.service.empty()) path += "?service=" + UrlEncode(filter.service);
  std::string last_id;
  uint64_t shown = 0;
  const auto on_event = [&](const std::string& name, const std::string& data) {
    if (name == "reset") std::fprintf(stderr, "events were missed: see `stillframe snapshots`\n");
    if (name != "snapshot") return true;
    const Json event = Json::parse(data, nullptr, false);
    if (!event.is_object()) return true;
    if (!filter.tracepoint.empty() && Text(event, "tracepointId") != filter.tracepoint) return true;
    if (IsLine(event)) {  // all there is, and there may be thousands a second
      Print(global, event);
      return filter.count == 0 || ++shown < filter.count;
    }
    // The event has no source lines; the snapshot itself may.
    const ApiResult whole = client.Get("/v1/snapshots/" + UrlEncode(Text(event, "id")));
    Print(global, whole.ok() ? whole.body : event);
    return filter.count == 0 || ++shown < filter.count;
  };
  bool ever_connected = false;
  for (uint32_t failures = 0;; ++failures) {
    bool connected = false;
    const ApiError error = client.Stream(path, last_id, connected, on_event);
    if (error.exit_code == kDone) return kDone;
    if (error.exit_code == kRefused || error.exit_code == kUsage) return Fail(global, error);
    // Reconnects where it left off; a server that never answered is an error at once.
    if (connected) failures = 0;
    ever_connected = ever_connected || connected;
    if (failures >= (ever_connected ? 60u : 0u)) return Fail(global, error);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
}

int RunServices(const GlobalOptions& global) {
  ApiClient client(global.server, global.key);
  const ApiResult result = client.GetAll("/v1/services", "services");
  if (!result.ok()) return Fail(global, result.error);
  if (global.json) {
    std::printf("%s\n", result.body.dump(2).c_str());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{{"SERVICE", "AGENTS", "TRACEPOINTS"}};
  for (const Json& entry : result.body.value("services", Json::array())) {
    const Json agents = entry.value("agents", Json());
    rows.push_back({Text(entry, "name"),
                    agents.is_array() ? std::to_string(agents.size()) : Text(entry, "agents"),
                    Text(entry, "tracepoints")});
  }
  std::printf("%s", rows.size() == 1 ? "no services\n" : Table(global.style, rows).c_str());
  return kDone;
}

int RunAgents(const GlobalOptions& global, const std::string& service) {
  ApiClient client(global.server, global.key);
  std::vector<std::string> names;
  if (!service.empty()) {
    names.push_back(service);
  } else {
    const ApiResult services = client.GetAll("/v1/services", "services");
    if (!services.ok()) return Fail(global, services.error);
    for (const Json& entry : services.body.value("services", Json::array())) {
      names.push_back(Text(entry, "name"));
    }
  }
  Json all = Json::array();
  for (const std::string& name : names) {
    const ApiResult page = client.GetAll("/v1/services/" + UrlEncode(name) + "/agents", "agents");
    if (!page.ok()) return Fail(global, page.error);
    for (Json entry : page.body.value("agents", Json::array())) {
      entry["service"] = name;
      all.push_back(std::move(entry));
    }
  }
  if (global.json) {
    std::printf("%s\n", Json{{"agents", all}}.dump(2).c_str());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{{"INSTANCE", "SERVICE", "HOST", "PID", "VERSION",
                                              "ENVIRONMENT", "LAST SEEN", "AGENT CPU", "MEMORY"}};
  for (const Json& agent : all) {
    rows.push_back({Text(agent, "instance").substr(0, 8), Text(agent, "service"),
                    Text(agent, "host"), Text(agent, "pid"), Text(agent, "version"),
                    Text(agent, "environment"), Text(agent, "lastSeen").substr(0, 19),
                    CpuText(agent), MemoryText(agent)});
  }
  std::printf("%s", all.empty() ? "no agents\n" : Table(global.style, rows).c_str());
  return kDone;
}

}  // namespace stillframe::cli
