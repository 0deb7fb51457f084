// int3 where it is asked for: hits like a jump's, refused where it could kill, the host's own
// handler of SIGTRAP still in its place.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "agent/probe/trap_handler.h"
#include "tests/agent/probe/probe_testing.h"

namespace stillframe::probe {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

// A function that a trap is put on: mov eax, 7; ret.
class TrapTest : public testing::Test {
 protected:
  void SetUp() override {
    module_.Put(64, "\xB8\x07\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00\x0f\x1f\x44\x00\x00"sv);
    module_.Put(128, "\xE8\x0B\x00\x00\x00\xC3\x0f\x1f\x44\x00\x00\x0f\x1f\x44\x00\x00\xC3"sv);
    module_.Seal();
    installer_ = MakeInstaller(CountingHit);
    installer_->Only(Method::kTrap);
  }
  void TearDown() override {
    installer_.reset();
    ReleaseTraps(false, 1);
    ReleaseTraps(false, 1 + 2 * kSecondNs);
  }
  Result<InstalledSite> Prepare(uint64_t offset, bool allow_trap = true) {
    const ModuleText text = module_.text();
    const SiteRequest request{module_.site(offset), &text, allow_trap};
    return std::move(installer_->PrepareAll({&request, 1}).front());
  }

  TestModule module_{4096};
  std::unique_ptr<Installer> installer_;
};

// Blocks SIGTRAP in a thread of its own until told to go on.
class BlockingThread {
 public:
  BlockingThread() {
    std::unique_lock lock(mutex_);
    thread_ = std::thread([this] { Run(); });
    changed_.wait(lock, [this] { return blocked_; });
  }
  ~BlockingThread() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  void Run() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::unique_lock lock(mutex_);
    blocked_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return over_; });
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  bool blocked_ = false, over_ = false;
  std::thread thread_;
};

TEST_F(TrapTest, HitsLikeAJumpAndGoesAway) {
  const auto prepared = Prepare(64);
  ASSERT_TRUE(prepared.ok()) << prepared.status().ToString();
  EXPECT_EQ(prepared->method, Method::kTrap);
  ASSERT_TRUE(installer_->Arm(module_.site(64)).ok());
  EXPECT_EQ(module_.bytes()[64], 0xCC);
  const uint64_t before = g_hits.Count();
  EXPECT_EQ(module_.Call(64), 7u);
  std::thread([&] { EXPECT_EQ(module_.Call(64), 7u); }).join();
  EXPECT_EQ(g_hits.Count(), before + 2);
  ASSERT_TRUE(installer_->Disarm(module_.site(64)).ok());
  EXPECT_TRUE(module_.IsOriginal());
  EXPECT_EQ(module_.Call(64), 7u);
  EXPECT_EQ(g_hits.Count(), before + 2);
}

TEST_F(TrapTest, OnlyWhereItIsAskedFor) {
  const auto prepared = Prepare(64, /*allow_trap=*/false);
  ASSERT_FALSE(prepared.ok());
  EXPECT_EQ(prepared.status().code(), Code::kUnsafeSite);
}

TEST_F(TrapTest, CallsAreNotTrapped) {
  const auto prepared = Prepare(128);
  ASSERT_FALSE(prepared.ok());
  EXPECT_NE(prepared.status().message().find("a call is not replaced"), std::string::npos);
}

TEST_F(TrapTest, RefusedWhereAThreadBlocksTheSignal) {
  {
    const BlockingThread blocking;
    const auto prepared = Prepare(64);
    ASSERT_FALSE(prepared.ok());
    EXPECT_EQ(prepared.status().code(), Code::kUnsafeSite);
    EXPECT_NE(prepared.status().message().find("blocks SIGTRAP"), std::string::npos)
        << prepared.status().message();
  }
  EXPECT_TRUE(Prepare(64).ok());
}

TEST_F(TrapTest, RefusedWhereAThreadBlocksTheSignalBeforeArming) {
  ASSERT_TRUE(Prepare(64).ok());
  const BlockingThread blocking;
  EXPECT_EQ(installer_->Arm(module_.site(64)).code(), Code::kUnsafeSite);
  EXPECT_TRUE(module_.IsOriginal());
}

TEST_F(TrapTest, TakenOutWhenAThreadBlocksTheSignalLater) {
  ASSERT_TRUE(Prepare(64).ok());
  ASSERT_TRUE(installer_->Arm(module_.site(64)).ok());
  const BlockingThread blocking;
  EXPECT_EQ(installer_->Tick().code(), Code::kUnsafeSite);
  EXPECT_TRUE(module_.IsOriginal());
  EXPECT_EQ(installer_->armed_count(), 0u);
}

TEST_F(TrapTest, RefusedWhereTheSignalIsIgnored) {
  signal(SIGTRAP, SIG_IGN);
  const auto prepared = Prepare(64);
  signal(SIGTRAP, SIG_DFL);
  ASSERT_FALSE(prepared.ok());
  EXPECT_NE(prepared.status().message().find("ignores SIGTRAP"), std::string::npos);
}

void NoHandler(int) {}

TEST_F(TrapTest, RefusedWhereAHandlerRunsWithTheSignalBlocked) {
  struct sigaction action {
  }, before{};
  action.sa_handler = NoHandler;
  sigfillset(&action.sa_mask);
  ASSERT_EQ(sigaction(SIGUSR2, &action, &before), 0);
  const auto prepared = Prepare(64);
  sigaction(SIGUSR2, &before, nullptr);
  ASSERT_FALSE(prepared.ok());
  EXPECT_NE(prepared.status().message().find("signal 12"), std::string::npos)
      << prepared.status().message();
}

volatile sig_atomic_t g_host_traps = 0;
void HostHandler(int, siginfo_t*, void*) { g_host_traps = g_host_traps + 1; }

TEST_F(TrapTest, TheHostsOwnHandlerIsChainedAndComesBack) {
  struct sigaction action {
  }, before{};
  action.sa_sigaction = HostHandler;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ASSERT_EQ(sigaction(SIGTRAP, &action, &before), 0);
  g_host_traps = 0;
  ASSERT_TRUE(Prepare(64).ok());
  ASSERT_TRUE(installer_->Arm(module_.site(64)).ok());
  const uint64_t hits = g_hits.Count();
  EXPECT_EQ(module_.Call(64), 7u);
  EXPECT_EQ(g_hits.Count(), hits + 1);
  EXPECT_EQ(g_host_traps, 0);
  asm volatile("int3");  // the host's own
  raise(SIGTRAP);
  EXPECT_EQ(g_host_traps, 2);
  ASSERT_TRUE(installer_->Disarm(module_.site(64)).ok());
  ReleaseTraps(false, 1);
  ReleaseTraps(false, 2);
  struct sigaction now {};
  sigaction(SIGTRAP, nullptr, &now);
  EXPECT_NE(now.sa_sigaction, &HostHandler) << "put back before the grace time was over";
  ReleaseTraps(false, 2 + 2 * kSecondNs);
  sigaction(SIGTRAP, nullptr, &now);
  EXPECT_EQ(now.sa_sigaction, &HostHandler);
  sigaction(SIGTRAP, &before, nullptr);
}

// Without a handler of the host's, a trap that is not ours ends the process as it always did.
TEST_F(TrapTest, AForeignTrapStillKills) {
  ASSERT_TRUE(Prepare(64).ok());
  ASSERT_TRUE(installer_->Arm(module_.site(64)).ok());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    asm volatile("int3");
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTRAP);
}

}  // namespace
}  // namespace stillframe::probe
