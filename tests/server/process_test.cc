// The program: flags, keys, start, stop and kill.
#include <sys/socket.h>

#include <array>

#include "server/clock.h"
#include "server/store.h"
#include "tests/server/fake_agent.h"

namespace stillframe::server::testing {
namespace {

Ended Serve(const Folder& folder, std::vector<std::string> args) {
  std::vector<std::string> all = {STILLFRAME_SERVER_BINARY, "--store",
                                  "sqlite:" + (folder.path / "s.db").string()};
  all.insert(all.end(), args.begin(), args.end());
  return RunToEnd(all);
}

TEST(Process, RefusesWhatItCannotDo) {
  const Folder folder;
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--listen", "0.0.0.0:0"}, "without TLS"},
      {{"--listen", "127.evil.example:0"}, "without TLS"},
      {{"--listen", "[::]:0"}, "without TLS"},
      {{"--listen", "0.0.0.0:0", "--insecure", "--no-auth"}, "--no-auth"},
      {{"--listen", "localhost"}, "HOST:PORT"},
      {{"--listen", "localhost:99999"}, "HOST:PORT"},
      {{"--store", "postgres://a/b"}, "not supported"},
      {{"--store", "mysql:x"}, "sqlite:PATH"},
      {{"--store", "sqlite:/nonexistent/folder/s.db"}, "/nonexistent/folder/s.db"},
      {{"--otlp", "http://a:4318"}, "not supported"},
      {{"--tls-cert", "a.pem"}, "together"},
      {{"--tls-cert", "/none.pem", "--tls-key", "/none.pem"}, "--tls-cert /none.pem"},
      {{"--retention", "soon"}, "--retention"},
      {{"--source", "nowhere"}, "SERVICE=FOLDER"},
  };
  for (const auto& [args, text] : cases) {
    std::vector<std::string> all = args;
    if (args[0] == "--store") all.insert(all.begin(), STILLFRAME_SERVER_BINARY);
    const Ended ended = args[0] == "--store" ? RunToEnd(all) : Serve(folder, args);
    EXPECT_EQ(ended.code, 1) << args[0] << " " << args[1];
    EXPECT_NE(ended.err.find(text), std::string::npos) << args[1] << ": " << ended.err;
    EXPECT_EQ(ended.out, "");
  }
  EXPECT_EQ(Serve(folder, {"--no-such-flag"}).code, 2);
}

TEST(Process, RefusesADamagedOrForeignStore) {
  const Folder folder;
  const auto path = folder.path / "s.db";
  std::ofstream(path) << std::string(8192, 'x');
  Ended ended = Serve(folder, {"--listen", "127.0.0.1:0"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_NE(ended.err.find("not a database"), std::string::npos) << ended.err;
  std::filesystem::remove(path);
  {
    auto database = Database::Open(path.string(), true);
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)->Execute("CREATE TABLE a (b); PRAGMA user_version = 99").ok());
  }
  ended = Serve(folder, {"--listen", "127.0.0.1:0"});
  EXPECT_EQ(ended.code, 1);
  EXPECT_NE(ended.err.find("newer"), std::string::npos) << ended.err;
}

// What the first version wrote, as it wrote it.
TEST(Process, AnOlderStoreIsBroughtUpToDate) {
  ServerProcess server;
  FakeAgent agent(server, server.Key("agent"));
  agent.AddSnapshot(1);
  ASSERT_EQ(agent.Publish().size(), 1u);
  ASSERT_EQ(server.Terminate(), 0);
  {
    auto database = Database::Open(server.store().substr(sizeof "sqlite:" - 1), true);
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)
                    ->Execute("ALTER TABLE snapshots DROP COLUMN kind; DROP TABLE stops; "
                              "ALTER TABLE tracepoints DROP COLUMN progress; "
                              "PRAGMA user_version = 1")
                    .ok());
  }
  server.Start();
  const auto list = [&](const std::string& query) {
    return server.Get("/v1/snapshots" + query, server.admin_key).json()["snapshots"];
  };
  EXPECT_EQ(list("?kind=SNAPSHOT").size(), 1u);
  agent.AddSnapshot(2).set_kind(v1::LOG);
  ASSERT_EQ(agent.Publish().size(), 1u);
  EXPECT_EQ(list("?kind=LOG").size(), 1u);
  EXPECT_EQ(list("").size(), 2u);
}

TEST(Process, RefusesAStoreInUseAndAPortInUse) {
  const ServerProcess server;
  const Ended same =
      RunToEnd({STILLFRAME_SERVER_BINARY, "--listen", "127.0.0.1:0", "--store", server.store()});
  EXPECT_EQ(same.code, 1);
  EXPECT_NE(same.err.find("another stillframe-server"), std::string::npos) << same.err;
  const Folder folder;
  const Ended port = Serve(folder, {"--listen", "127.0.0.1:" + std::to_string(server.port())});
  EXPECT_EQ(port.code, 1);
  EXPECT_NE(port.err.find("in use"), std::string::npos) << port.err;
}

TEST(Process, ReadsItsConfigurationFile) {
  const Folder folder;
  std::ofstream(folder.path / "c.toml") << "retention = \"soon\"\n";
  const Ended ended = Serve(folder, {"--config", (folder.path / "c.toml").string()});
  EXPECT_EQ(ended.code, 1);
  EXPECT_NE(ended.err.find("--retention"), std::string::npos) << ended.err;
}

// The command line, then variables, then the file; what the file misspells is an error.
TEST(Process, EverySettingComesFromTheFileOrAVariable) {
  const Folder folder;
  const std::string file = (folder.path / "c.toml").string();
  const auto write = [&file](const std::string& more) {
    std::ofstream(file) << "# a comment\nlisten = \"127.0.0.1:0\"\n" << more;
  };
  const auto failure = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {"--config", file});
    const Ended ended = Serve(folder, args);
    EXPECT_NE(ended.code, 0);
    return ended.err;
  };
  const std::vector<std::pair<std::string, std::string>> settings = {
      {"listen = \"nowhere\"\n", "--listen"},
      {"tls-cert = \"a\"\n", "together"},
      {"tls-key = \"a\"\n", "together"},
      {"retention = \"soon\"\n", "--retention"},
      {"source = [\"web=/\", \"shop\"]\n", "SERVICE=FOLDER, not \"shop\""},
      {"otlp = \"http://a\"\n", "--otlp"},
      {"listen = \"0.0.0.0:0\"\ninsecure = true\nno-auth = true\n", "--no-auth"},
      {"retenton = \"1d\"\n", "retenton"},
  };
  for (const auto& [text, says] : settings) {
    std::ofstream(file) << text;
    const std::string error = failure({});
    EXPECT_NE(error.find(says), std::string::npos) << text << error;
  }
  write("retention = \"file\"\n");
  setenv("STILLFRAME_SERVER_RETENTION", "variable", 1);
  EXPECT_NE(failure({}).find("--retention"), std::string::npos);
  write("retention = \"7d\"\n");  // the variable is still wrong, and wins
  EXPECT_NE(failure({}).find("--retention"), std::string::npos);
  EXPECT_NE(failure({"--retention", "7d", "--source", "x"}).find("--source"), std::string::npos);
  unsetenv("STILLFRAME_SERVER_RETENTION");
  const std::vector<std::array<const char*, 3>> variables = {
      {"STILLFRAME_SERVER_LISTEN", "nowhere", "--listen"},
      {"STILLFRAME_SERVER_TLS_CERT", "a", "together"},
      {"STILLFRAME_SERVER_TLS_KEY", "a", "together"},
      {"STILLFRAME_SERVER_SOURCE", "web=/,shop", "SERVICE=FOLDER, not \"shop\""},
      {"STILLFRAME_SERVER_OTLP", "http://a", "--otlp"},
      {"STILLFRAME_SERVER_CONFIG", "/nowhere.toml", "/nowhere.toml"},
  };
  for (const auto& [name, value, says] : variables) {
    setenv(name, value, 1);
    const Ended ended = Serve(folder, {});
    EXPECT_NE(ended.err.find(says), std::string::npos) << name << ended.err;
    unsetenv(name);
  }
  setenv("STILLFRAME_SERVER_STORE", "mysql:x", 1);
  EXPECT_NE(RunToEnd({STILLFRAME_SERVER_BINARY}).err.find("sqlite:PATH"), std::string::npos);
  unsetenv("STILLFRAME_SERVER_STORE");
}

TEST(Process, KeysOfNoStoreAreAnErrorAndMakeNone) {
  const Folder folder;
  const auto path = folder.path / "s.db";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"keys", "list"}, {"keys", "revoke", "0123456789ab"}}) {
    std::vector<std::string> all = {STILLFRAME_SERVER_BINARY};
    all.insert(all.end(), command.begin(), command.end());
    all.insert(all.end(), {"--store", "sqlite:" + path.string()});
    const Ended ended = RunToEnd(all);
    EXPECT_EQ(ended.code, 1);
    EXPECT_NE(ended.err.find("no store at " + path.string()), std::string::npos) << ended.err;
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Process, KeysAreMadeListedRevokedAndNeverStored) {
  const ServerProcess server;
  const auto keys = [&](std::vector<std::string> args) {
    std::vector<std::string> all = {STILLFRAME_SERVER_BINARY, "keys"};
    all.insert(all.end(), args.begin(), args.end());
    all.insert(all.end(), {"--store", server.store()});
    return RunToEnd(all);
  };
  const std::string key = server.Key("viewer", {"--service", "web"});
  EXPECT_EQ(key.size(), 4u + 12 + 1 + 64);
  EXPECT_EQ(server.Get("/v1/services", key).status, 200);  // at once
  const std::string id = key.substr(4, 12);
  const Ended list = keys({"list"});
  EXPECT_NE(list.out.find(id + "   viewer   web"), std::string::npos) << list.out;
  EXPECT_EQ(list.out.find(key.substr(17)), std::string::npos);
  for (const char* file : {"store.db", "store.db-wal"}) {
    EXPECT_EQ(ReadAll(server.folder() / file).find(key.substr(17)), std::string::npos);
    const auto mode = std::filesystem::status(server.folder() / file).permissions();
    EXPECT_EQ(mode & std::filesystem::perms(077), std::filesystem::perms::none) << file;
  }
  EXPECT_EQ(keys({"revoke", id}).code, 0);
  EXPECT_TRUE(WaitFor([&] { return server.Get("/v1/services", key).status == 401; }, 2));
  EXPECT_EQ(keys({"revoke", id}).code, 1);
  EXPECT_EQ(keys({"create", "--role", "king"}).code, 1);
  EXPECT_EQ(keys({"create"}).code, 2);
}

TEST(Process, EndsWith0AndAnswersWhatItHolds) {
  ServerProcess server;
  FakeAgent agent(server, server.Key("agent"));
  agent.Poll();
  auto held = agent.PollHeld(50'000);
  ASSERT_TRUE(WaitFor([&] {
    return server.Get("/metrics", "").body.find("stillframe_polls_held 1\n") != std::string::npos;
  }));
  const auto began = Clock::now();
  EXPECT_EQ(server.Terminate(), 0);
  EXPECT_TRUE(held.get().unchanged());
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(4));
}

// What was acknowledged is there after kill -9, whenever it comes.
TEST(Process, KilledWhileStoringLosesNothingAcknowledged) {
  ServerProcess server;
  const std::string key = server.Key("agent");
  std::set<uint64_t> acked;
  uint64_t next = 0;
  for (int round = 0; round < 5; ++round) {
    std::atomic<bool> dead{false};
    std::mutex mutex;
    std::vector<std::thread> agents;
    const size_t goal = acked.size() + 150;
    for (uint64_t a = 0; a < 4; ++a) {
      agents.emplace_back([&, first = next + a * 1'000'000] {
        FakeAgent agent(server, key);
        for (uint64_t sequence = first; !dead; sequence += 8) {
          for (uint64_t i = 0; i < 8; ++i) agent.AddSnapshot(sequence + i);
          v1::PublishResponse response;
          const Answer answer = agent.PublishRaw();
          agent.publish.clear_snapshots();
          if (answer.result != CURLE_OK || answer.status != 200) continue;
          response.ParseFromString(answer.body);
          const std::lock_guard lock(mutex);
          acked.insert(response.acked().begin(), response.acked().end());
        }
      });
    }
    EXPECT_TRUE(WaitFor([&] {
      const std::lock_guard lock(mutex);
      return acked.size() >= goal;
    }));
    server.Kill();
    dead = true;
    for (std::thread& agent : agents) agent.join();
    next += 10'000'000;
    server.Start();
  }
  std::set<uint64_t> stored;
  std::string token;
  do {
    const Json page =
        server
            .Get("/v1/snapshots?pageSize=1000" + (token.empty() ? "" : "&pageToken=" + token),
                 server.admin_key)
            .json();
    for (const Json& snapshot : page["snapshots"]) {
      const std::string value = snapshot["frames"][0]["variables"][0]["value"];
      EXPECT_TRUE(stored.insert(std::stoull(value)).second) << "stored twice: " << value;
    }
    token = page.value("nextPageToken", "");
  } while (!token.empty());
  EXPECT_GE(acked.size(), 750u);
  for (const uint64_t sequence : acked) {
    EXPECT_EQ(stored.count(sequence), 1u) << "acknowledged but lost: " << sequence;
  }
}

TEST(Process, ServesOverTls) {
  const Folder folder;
  const std::string cert = (folder.path / "cert.pem").string();
  const std::string key = (folder.path / "key.pem").string();
  ASSERT_TRUE(MakeCertificate(cert, key));
  ServerProcess server({"--tls-cert", cert, "--tls-key", key});
  EXPECT_EQ(server.Get("/v1/services", server.admin_key).status, 0);  // not trusted
  server.ca_file = cert;
  EXPECT_EQ(server.Get("/v1/services", server.admin_key).status, 200);
  FakeAgent agent(server, server.Key("agent"));
  agent.Poll();
  auto held = agent.PollHeld();
  EXPECT_EQ(server.Send("POST", "/v1/services/web/tracepoints", server.admin_key, kSpec).status,
            201);
  EXPECT_EQ(held.get().tracepoints_size(), 1);
  const Answer health = server.Get("/healthz", "");
  EXPECT_NE(health.headers.find("Strict-Transport-Security"), std::string::npos);
  const std::string big((1u << 20) + 1, 'a');
  EXPECT_EQ(server.SendProtobuf("/v1/agent/poll", server.Key("agent"), big).status, 413);
  EXPECT_EQ(server.Terminate(), 0);
}

SnapshotRow Row(uint64_t sequence, int64_t received_ms) {
  SnapshotRow row;
  row.id = "sn_" + std::to_string(sequence);
  row.service = "web";
  row.instance = "i";
  row.sequence = sequence;
  row.received_ms = received_ms;
  row.json = "{}";
  return row;
}

TEST(Store, RetentionDeletesWhatIsOldAndNothingElse) {
  const Folder folder;
  auto store = stillframe::server::Store::Open("sqlite:" + (folder.path / "s.db").string(), true);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  const int64_t now = WallMs();
  std::vector<SnapshotRow> rows;
  for (uint64_t i = 0; i < 1200; ++i) rows.push_back(Row(i, i < 1100 ? now - 10'000 : now));
  std::promise<Status> stored;
  ASSERT_TRUE((*store)
                  ->InsertSnapshots(std::move(rows),
                                    [&](Status status, std::vector<SnapshotRow>) {
                                      stored.set_value(std::move(status));
                                    })
                  .ok());
  ASSERT_TRUE(stored.get_future().get().ok());
  const auto deleted = (*store)->DeleteSnapshotsBefore(now - 5'000);
  ASSERT_TRUE(deleted.ok()) << deleted.status().ToString();
  EXPECT_EQ(*deleted, 1100u);
  EXPECT_EQ(*(*store)->CountSnapshots(), 100u);
}

}  // namespace
}  // namespace stillframe::server::testing
