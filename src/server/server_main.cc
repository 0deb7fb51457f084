#include "server/server_main.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/log.h"
#include "server/api.h"
#include "server/clock.h"
#include "server/sources.h"

namespace stillframe::server {
namespace {

struct ServeOptions {
  std::string listen = "127.0.0.1:7070";
  std::string store = "sqlite:stillframe.db";
  std::string tls_cert, tls_key;
  std::string retention = "7d";
  std::vector<std::string> sources;
  std::string otlp;
  bool insecure = false, no_auth = false;
};

struct KeyOptions {
  std::string role, service, environment, id;
};

int Fail(const std::string& message) {
  std::fprintf(stderr, "stillframe-server: %s\n", message.c_str());
  return 1;
}

// Addresses only: a name that begins with "127." may resolve to anything.
bool IsLoopback(const std::string& host) {
  in_addr address{};
  return host == "localhost" || host == "::1" ||
         (inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

// Each held poll is a descriptor; the usual soft limit is 1024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// "127.0.0.1:7070", "[::1]:7070", ":7070"
Status ParseListen(const std::string& text, HttpOptions& http) {
  const size_t colon = text.rfind(':');
  const Status bad(Code::kInvalidArgument, "--listen must be HOST:PORT, not \"" + text + "\"");
  if (colon == std::string::npos) return bad;
  uint32_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
  if (error != std::errc() || stop != end || port > 65535) return bad;
  http.host = colon == 0 ? "0.0.0.0" : text.substr(0, colon);
  if (http.host.starts_with('[') && http.host.ends_with(']')) {
    http.host = http.host.substr(1, http.host.size() - 2);
  }
  http.port = static_cast<uint16_t>(port);
  return Status();
}

// "7d", "12h", "30m", "90s" in milliseconds; 0 = malformed.
int64_t ParseRetention(const std::string& text) {
  if (text.size() < 2) return 0;
  const int64_t unit = text.back() == 'd'   ? 86'400'000
                       : text.back() == 'h' ? 3'600'000
                       : text.back() == 'm' ? 60'000
                       : text.back() == 's' ? 1'000
                                            : 0;
  int64_t number = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < 1 || number > 1'000'000) return 0;
  return number * unit;
}

Status Check(const ServeOptions& options, const HttpOptions& http) {
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return {Code::kInvalidArgument, "--tls-cert and --tls-key must be given together"};
  }
  if (!options.otlp.empty()) {
    return {Code::kUnsupported, "--otlp is not supported by this version"};
  }
  if (!IsLoopback(http.host) && options.tls_cert.empty() && !options.insecure) {
    return {Code::kNotPermitted, "refusing to listen on " + http.host +
                                     " without TLS: give --tls-cert and --tls-key, or say "
                                     "--insecure"};
  }
  if (options.no_auth && !IsLoopback(http.host)) {
    return {Code::kNotPermitted, "--no-auth is for loopback addresses only"};
  }
  if (ParseRetention(options.retention) == 0) {
    return {Code::kInvalidArgument, "--retention must be like 7d, 12h or 30m"};
  }
  return Status();
}

// The first start of a store makes one admin key and shows it, once.
Status PrintFirstKey(Store& store) {
  const NewKey key = MakeKey(Role::kAdmin, "", "", WallMs());
  SF_ASSIGN_OR_RETURN(const bool added, store.AddFirstKey(key.stored));
  if (added)
    std::printf("admin key: %s\n(shown this once; make others with: keys create)\n",
                key.secret.c_str());
  return Status();
}

int Serve(const ServeOptions& options) {
  HttpOptions http;
  Status status = ParseListen(options.listen, http);
  if (status.ok()) status = Check(options, http);
  if (!status.ok()) return Fail(status.message());
  auto sources = Sources::Open(options.sources);
  if (!sources.ok()) return Fail(sources.status().message());
  http.tls_cert = options.tls_cert;
  http.tls_key = options.tls_key;
  // Blocked before any thread starts, so that only the waiter below gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();

  auto store = Store::Open(options.store, true);
  if (!store.ok()) return Fail(store.status().message());
  Hub hub(**store);
  if (status = hub.Load(); !status.ok()) return Fail(status.message());
  Api api(**store, hub, options.no_auth, std::move(*sources));
  auto server = HttpServer::Create(http, api);
  if (!server.ok()) return Fail(server.status().message());
  api.set_http(server->get());
  if (!options.no_auth) {
    hub.set_key_check([&api](const std::string& id) { return api.keys().Valid(id); });
  }
  if (!options.no_auth) status = PrintFirstKey(**store);
  if (!status.ok()) return Fail(status.message());
  std::printf("stillframe-server listens on %s://%s:%u\n", http.tls_cert.empty() ? "http" : "https",
              http.host.c_str(), (*server)->port());
  std::fflush(stdout);

  const int64_t retention_ms = ParseRetention(options.retention);
  (*server)->Every(50, [&hub] { hub.Tick(); });
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    int64_t swept_ms = -60'000;
    while (!done) {
      const timespec rest{0, 200'000'000};
      if (sigtimedwait(&signals, nullptr, &rest) > 0) {
        hub.Drain();
        (*server)->Shutdown(5'000);
        return;
      }
      // Deleting old snapshots may take a while: not on the I/O thread.
      if (MonotonicMs() - swept_ms < 60'000) continue;
      swept_ms = MonotonicMs();
      const auto deleted = (*store)->DeleteSnapshotsBefore(WallMs() - retention_ms);
      if (!deleted.ok()) LogError("retention: " + deleted.status().ToString());
    }
  });
  (*server)->Run();
  done = true;
  waiter.join();
  // In this order: what still runs may answer, and write, before what it uses goes.
  api.Stop();
  (*store)->Stop();
  return 0;
}

int CreateKey(const std::string& store_spec, const KeyOptions& options) {
  const auto role = RoleFromName(options.role);
  if (!role) return Fail("--role must be agent, viewer, editor or admin");
  auto store = Store::Open(store_spec, false);
  if (!store.ok()) return Fail(store.status().message());
  const NewKey key = MakeKey(*role, options.service, options.environment, WallMs());
  if (Status status = (*store)->AddKey(key.stored); !status.ok()) return Fail(status.message());
  std::printf("%s\n", key.secret.c_str());
  return 0;
}

// Opening would make it: a misspelt path must not look like a store without keys.
Status CheckStoreExists(const std::string& spec) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (!spec.starts_with(kSqlite)) return Status();  // Open says what is wrong
  const std::string path = spec.substr(kSqlite.size());
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return Status();
  return {Code::kNotFound, "there is no store at " + path};
}

int ListKeys(const std::string& store_spec) {
  if (Status status = CheckStoreExists(store_spec); !status.ok()) return Fail(status.message());
  auto store = Store::Open(store_spec, false);
  if (!store.ok()) return Fail(store.status().message());
  const auto keys = (*store)->ListKeys();
  if (!keys.ok()) return Fail(keys.status().message());
  std::printf("%-14s %-8s %-20s %-14s %s\n", "ID", "ROLE", "SERVICE", "ENVIRONMENT", "CREATED");
  for (const StoredKey& key : *keys) {
    std::printf("%-14s %-8s %-20s %-14s %s\n", key.id.c_str(), RoleName(key.role).data(),
                key.service.empty() ? "*" : key.service.c_str(),
                key.environment.empty() ? "*" : key.environment.c_str(),
                model::FormatTime(key.created_ms * 1'000'000).substr(0, 19).c_str());
  }
  return 0;
}

int RevokeKey(const std::string& store_spec, const std::string& id) {
  if (Status status = CheckStoreExists(store_spec); !status.ok()) return Fail(status.message());
  auto store = Store::Open(store_spec, false);
  if (!store.ok()) return Fail(store.status().message());
  const auto found = (*store)->RevokeKey(id);
  if (!found.ok()) return Fail(found.status().message());
  if (!*found) return Fail("there is no key " + id);
  std::printf("revoked %s\n", id.c_str());
  return 0;
}

// Options that also come from STILLFRAME_SERVER_<NAME>.
constexpr const char* kFromEnvironment[] = {"listen", "store", "tls-cert", "tls-key", "retention",
                                            "source", "otlp",  "insecure", "no-auth", "config"};

void AddServeOptions(CLI::App& app, ServeOptions& options) {
  app.set_config("--config", "", "TOML file with these options");
  // A misspelt setting would otherwise be one that silently does not hold.
  app.allow_config_extras(CLI::config_extras_mode::error);
  const auto add = [&app](const char* name, std::string& value, const char* text) {
    app.add_option(name, value, text)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  add("--listen", options.listen, "HOST:PORT (127.0.0.1:7070)");
  add("--store", options.store, "sqlite:PATH (sqlite:stillframe.db)");
  add("--tls-cert", options.tls_cert, "PEM certificate chain");
  add("--tls-key", options.tls_key, "PEM key");
  add("--retention", options.retention, "how long snapshots stay (7d)");
  app.add_option("--source", options.sources,
                 "SERVICE=FOLDER with sources, shown beside snapshots; may be given again")
      ->allow_extra_args(false)
      ->delimiter(',');
  add("--otlp", options.otlp, "OTLP collector");
  app.add_flag("--insecure", options.insecure, "allow a public address without TLS");
  app.add_flag("--no-auth", options.no_auth, "no keys, loopback only");
  app.footer(
      "Each option also as STILLFRAME_SERVER_<NAME> (--tls-cert: STILLFRAME_SERVER_TLS_CERT). "
      "The command line wins over variables, variables over the file.");
}

// The command line with the variables in front of it, where whatever it says itself comes later and
// wins. (The library's own variables would lose to the file.) CLI11 takes arguments reversed.
std::vector<std::string> ReversedArguments(int argc, char** argv) {
  std::vector<std::string> given(argv + 1, argv + argc);
  std::vector<std::string> all;
  for (const std::string name : kFromEnvironment) {
    std::string variable = "STILLFRAME_SERVER_";
    for (const char c : name) {
      variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == '\0') continue;
    const bool said = std::any_of(given.begin(), given.end(), [&name](const std::string& argument) {
      return argument == "--" + name || argument.starts_with("--" + name + "=");
    });
    if (!said) all.push_back("--" + name + "=" + value);
  }
  all.insert(all.end(), given.begin(), given.end());
  std::reverse(all.begin(), all.end());
  return all;
}

}  // namespace

int ServerMain(int argc, char** argv) {
  umask(077);  // the store holds production data
  CLI::App app{"Stillframe's server: tracepoints to agents, snapshots to engineers",
               "stillframe-server"};
  app.fallthrough();
  app.set_version_flag("--version", "0.1.0");
  ServeOptions options;
  KeyOptions key;
  AddServeOptions(app, options);
  CLI::App* keys = app.add_subcommand("keys", "API keys");
  keys->require_subcommand(1);
  CLI::App* create = keys->add_subcommand("create", "make a key and print it");
  create->add_option("--role", key.role, "agent, viewer, editor or admin")->required();
  create->add_option("--service", key.service, "for this service only");
  create->add_option("--environment", key.environment, "for this environment only");
  CLI::App* list = keys->add_subcommand("list", "all keys, without their secrets");
  CLI::App* revoke = keys->add_subcommand("revoke", "take a key back");
  revoke->add_option("id", key.id, "the key's id")->required();
  try {
    app.parse(ReversedArguments(argc, argv));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (create->parsed()) return CreateKey(options.store, key);
  if (list->parsed()) return ListKeys(options.store);
  if (revoke->parsed()) return RevokeKey(options.store, key.id);
  return Serve(options);
}

}  // namespace stillframe::server
