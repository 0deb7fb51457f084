#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "cli/commands.h"

namespace stillframe::cli {
namespace {

// The last words of every subcommand's parsing: which function runs.
using Action = std::function<int(const GlobalOptions&)>;

void AddGlobals(CLI::App& app, GlobalOptions& global, std::string& output, bool& no_color) {
  app.add_option("--server", global.server, "server, http(s)://host:port")
      ->envname("STILLFRAME_SERVER");
  app.add_option("--key", global.key, "API key")->envname("STILLFRAME_API_KEY");
  app.add_option("--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--no-color", no_color, "no colours");
  app.add_option("--source", global.source_root, "folder with the sources, to show code");
}

void AddSelector(CLI::App& command, SetOptions& set) {
  command.add_option("--version", set.version, "only processes of this version");
  command.add_option("--environment", set.environment, "only in this environment");
  command.add_option("--instance", set.instance, "only in this process");
  command.add_option("--label", set.labels, "only processes with this label, NAME=VALUE")
      ->allow_extra_args(false);
  command.add_option("--thread", set.thread, "only threads of this name; 'worker-*' for many");
  command.add_option("--trace", set.trace_id, "only for the request with this trace id");
  command.add_option("--session", set.session, "only for requests with baggage stillframe=SESSION");
}

void AddStopTarget(CLI::App& command, StopOptions& stop) {
  command.add_option("--service", stop.service, "a service");
  command.add_option("--agent", stop.agent, "one process, by its instance or how that begins");
  command.add_flag("--all", stop.all, "the whole fleet");
  command.add_option("--environment", stop.environment, "only in this environment");
}

// The kill switch, and longer lives.
void AddControl(CLI::App& app, Action& action, StopOptions& stop, std::vector<std::string>& ids,
                std::string& expires) {
  CLI::App* halt = app.add_subcommand("stop", "take every tracepoint out, within seconds");
  AddStopTarget(*halt, stop);
  halt->add_option("--reason", stop.reason, "why, for those who wonder");
  halt->callback([&] { action = [&stop](const GlobalOptions& g) { return RunStop(g, stop); }; });
  CLI::App* resume = app.add_subcommand("resume", "the end of a stop");
  AddStopTarget(*resume, stop);
  resume->callback(
      [&] { action = [&stop](const GlobalOptions& g) { return RunResume(g, stop); }; });
  app.add_subcommand("stops", "what is stopped")->callback([&] {
    action = [](const GlobalOptions& g) { return RunStops(g); };
  });
  CLI::App* renew = app.add_subcommand("renew", "give tracepoints their life time again");
  renew->add_option("id", ids, "tracepoints")->required();
  renew->add_option("--expires", expires, "a new life time: 90s, 30m, 1h");
  renew->callback([&] {
    action = [&ids, &expires](const GlobalOptions& g) { return RunRenew(g, ids, expires); };
  });
}

void AddSet(CLI::App& app, Action& action, SetOptions& set) {
  CLI::App* command = app.add_subcommand("set", "set a tracepoint");
  CLI::Option* place =
      command->add_option("place", set.place, "FILE:LINE, FUNCTION or [MODULE:]0xADDRESS");
  command->add_option("--exception", set.exception, "instead: where this type is thrown, or '*'")
      ->excludes(place);
  command
      ->add_option("--fatal", set.fatal,
                   "instead: where the program ends: terminate, signal, SIGSEGV, …")
      ->excludes(place);
  command->add_flag("--return", set.at_return, "where the function is left, with $return");
  command->add_option("--if", set.condition, "C++ condition");
  // One value an option, so that an expression may begin with anything.
  command->add_option("--watch", set.watches, "expression to show")->allow_extra_args(false);
  CLI::Option* log =
      command->add_option("--log", set.log, "log message: 'order {order.id} of {customer->name}'");
  CLI::Option* count = command->add_flag("--count", set.count, "count hits only");
  command->add_option("--distribution", set.distribution, "expression to measure")
      ->excludes(log)
      ->excludes(count);
  log->excludes(count);
  command->add_flag("--span", set.span, "how long the function takes, or until --to is reached")
      ->excludes(log)
      ->excludes(count);
  command->add_option("--to", set.to, "FILE:LINE where a span ends");
  command->add_flag("--allow-trap", set.allow_trap, "where no jump fits, int3 (slow)");
  command->add_option("--max-hits", set.max_hits, "captures, then it is over (1)");
  command->add_option("--per-second", set.per_second, "captures a second at most (1)");
  command->add_option("--expires", set.expires, "lifetime: 90s, 30m, 1h");
  command->add_option("--per-trace", set.per_trace, "captures of one trace at most (10; 0: any)");
  command->add_option("--canary", set.canary, "first on one instance, so long (35s)")
      ->expected(0, 1)
      ->default_str("35s");
  command->add_flag("--dry-run", set.dry_run, "only count hits, and say what it would cost");
  AddSelector(*command, set);
  command->add_option("--service", set.service, "service; may be left out when there is one");
  command->add_flag("--wait", set.wait, "wait until every agent has armed or refused it");
  command->add_option("--timeout", set.timeout_seconds, "seconds to wait (30)")
      ->check(CLI::PositiveNumber);
  command->callback([&] { action = [&set](const GlobalOptions& g) { return RunSet(g, set); }; });
}

void AddFilters(CLI::App& command, FilterOptions& filter) {
  command.add_option("--service", filter.service, "service");
  command.add_option("--tracepoint", filter.tracepoint, "tracepoint's id");
}

void AddReaders(CLI::App& app, Action& action, FilterOptions& filter, std::string& id,
                std::vector<std::string>& ids) {
  CLI::App* list = app.add_subcommand("list", "tracepoints");
  list->add_option("--service", filter.service, "service");
  list->callback(
      [&] { action = [&filter](const GlobalOptions& g) { return RunList(g, filter.service); }; });
  CLI::App* show = app.add_subcommand("show", "a tracepoint, with its status in every process");
  show->add_option("id", id, "tracepoint")->required();
  show->callback([&] { action = [&id](const GlobalOptions& g) { return RunShow(g, id); }; });
  CLI::App* remove = app.add_subcommand("rm", "remove tracepoints");
  remove->add_option("id", ids, "tracepoints")->required();
  remove->callback([&] { action = [&ids](const GlobalOptions& g) { return RunRemove(g, ids); }; });
  CLI::App* snapshots = app.add_subcommand("snapshots", "snapshots and log messages, newest first");
  AddFilters(*snapshots, filter);
  snapshots->add_option("--kind", filter.kind, "SNAPSHOT or LOG")
      ->check(CLI::IsMember({"SNAPSHOT", "LOG", "SPAN"}));
  snapshots->add_option("--trace", filter.trace_id, "trace id");
  snapshots->add_option("--since", filter.since, "RFC 3339 time");
  snapshots->add_option("--limit", filter.limit, "how many (20)")->check(CLI::Range(1, 1000));
  snapshots->callback(
      [&] { action = [&filter](const GlobalOptions& g) { return RunSnapshots(g, filter); }; });
  CLI::App* snapshot = app.add_subcommand("snapshot", "one snapshot");
  snapshot->add_option("id", id, "snapshot")->required();
  snapshot->callback(
      [&] { action = [&id](const GlobalOptions& g) { return RunSnapshot(g, id); }; });
  CLI::App* tail = app.add_subcommand("tail", "snapshots and log messages as they come");
  AddFilters(*tail, filter);
  tail->add_option("--count", filter.count, "end after so many");
  tail->callback(
      [&] { action = [&filter](const GlobalOptions& g) { return RunTail(g, filter); }; });
  app.add_subcommand("services", "services")->callback([&] {
    action = [](const GlobalOptions& g) { return RunServices(g); };
  });
  CLI::App* agents = app.add_subcommand("agents", "connected processes");
  agents->add_option("--service", filter.service, "service");
  agents->callback(
      [&] { action = [&filter](const GlobalOptions& g) { return RunAgents(g, filter.service); }; });
}

void AddCheck(CLI::App& app, Action& action, CheckOptions& options) {
  CLI::App* check = app.add_subcommand("check", "offline: type and variables of an expression");
  check->add_option("binary", options.binary, "ELF file")->required();
  // With --exception there is one word less, so the last one is the expression.
  check
      ->add_option("place", options.place,
                   "FILE:LINE, a function or 0xADDRESS; not with --exception")
      ->required();
  check->add_option("expression", options.expression,
                    "C++ expression; after -- if it begins with a -");
  check->add_flag("--return", options.at_return, "where the function is left, with $return");
  check->add_option("--exception", options.exception,
                    "instead of a place: where this type is thrown, with $exception");
  check->callback([&] { action = [&](const GlobalOptions& g) { return RunCheck(g, options); }; });
}

void AddOffline(CLI::App& app, Action& action, std::string& binary, std::string& place,
                bool& list_files) {
  CLI::App* lines = app.add_subcommand("lines", "offline: lines of a binary that have code");
  lines->add_option("binary", binary, "ELF file")->required();
  lines->add_option("place", place, "FILE[:LINE]")->required();
  lines->callback(
      [&] { action = [&](const GlobalOptions& g) { return RunLines(g, binary, place); }; });
  CLI::App* variables =
      app.add_subcommand("variables", "offline: what each variable at a line will be");
  variables->add_option("binary", binary, "ELF file")->required();
  variables->add_option("place", place, "FILE:LINE")->required();
  variables->callback(
      [&] { action = [&](const GlobalOptions& g) { return RunVariables(g, binary, place); }; });
  CLI::App* doctor = app.add_subcommand("doctor", "offline: debug information and probes");
  doctor->add_option("binary", binary, "ELF file")->required();
  doctor->add_flag("--files", list_files, "name the source files");
  doctor->callback(
      [&] { action = [&](const GlobalOptions& g) { return RunDoctor(g, binary, list_files); }; });
}

void AddRecover(CLI::App& app, Action& action, RecoverOptions& recover) {
  CLI::App* command =
      app.add_subcommand("recover", "what killed processes left in STILLFRAME_RING_DIR");
  command->add_option("path", recover.path, "a ring file, or the folder of them")->required();
  command->add_option("--debug-path", recover.debug_path, "folder of separate debug files");
  command->add_flag("--remove", recover.remove, "remove the files once they are printed or sent");
  command->add_flag("--send", recover.send, "send it to --server in the name of the process");
  command->callback(
      [&] { action = [&](const GlobalOptions& g) { return RunRecover(g, recover); }; });
}

}  // namespace

int RunCli(int argc, char** argv) {
  CLI::App app{"Stillframe: look into running C++ services without stopping them", "stillframe"};
  app.require_subcommand(1);
  app.fallthrough();  // global options anywhere
  app.set_version_flag("--version", "0.1.0");
  GlobalOptions global;
  SetOptions set;
  FilterOptions filter;
  StopOptions stop;
  CheckOptions check;
  RecoverOptions recover;
  std::string output = "text", id, binary, place, expires;
  std::vector<std::string> ids;
  bool no_color = false, list_files = false;
  Action action;
  AddGlobals(app, global, output, no_color);
  AddSet(app, action, set);
  AddReaders(app, action, filter, id, ids);
  AddControl(app, action, stop, ids, expires);
  AddOffline(app, action, binary, place, list_files);
  AddCheck(app, action, check);
  AddRecover(app, action, recover);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    const std::vector<std::string> words = app.remaining();
    if (!app.get_subcommands().empty() || words.empty()) return app.exit(error), kUsage;
    std::fprintf(stderr, "there is no command '%s'\nRun with --help for more information.\n",
                 words.front().c_str());
    return kUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  global.json = output == "json";
  global.style = DetectStyle(no_color);
  try {
    return action(global);
  } catch (const nlohmann::json::exception& error) {
    std::fprintf(stderr, "the server's answer is not what it should be: %s\n", error.what());
    return kRefused;
  }
}

}  // namespace stillframe::cli
