// Changing text step by step, with every step failing in turn and another patcher at work between
// any two of them: no guard is left, and nobody else's byte is lost.
#include "agent/probe/text_writer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "agent/probe/arch/arch.h"

namespace stillframe::probe {
namespace {

constexpr int kLive = PROT_READ | PROT_EXEC;
constexpr uint64_t kPageBytes = 4096;

// What the script sees and decides, once the writer is made.
struct Script {
  std::function<void(int step)> before_exchange;  // 0, 1, … of the change that runs
  std::function<int(int sync)> sync;              // an errno, or 0
  int exchanges = 0;
  int syncs = 0;
  bool guard_stands = false;
  int calls_while_guarded = 0;  // of anything but the two that are allowed
};

// The real system, but for what the script says.
class ScriptedSystem final : public TextSystem {
 public:
  ScriptedSystem(Script& script, uint64_t guard_at)
      : script_(script), guard_at_(guard_at), real_(MakeLinuxTextSystem()) {}

  Status Read(uint64_t address, std::span<uint8_t> out) override {
    CountCall();
    return real_->Read(address, out);
  }
  Status WriteThrough(uint64_t address, std::span<const uint8_t> bytes) override {
    CountCall();
    return real_->WriteThrough(address, bytes);
  }
  Status Protect(uint64_t start, uint64_t size_bytes, int protection) override {
    CountCall();
    return real_->Protect(start, size_bytes, protection);
  }
  int CoreSync() override {
    const int step = script_.syncs++;
    const int error = script_.sync ? script_.sync(step) : 0;
    return error != 0 ? error : real_->CoreSync();
  }
  bool CompareExchange(uint64_t address, uint64_t& expected, uint64_t desired) override {
    const int step = script_.exchanges++;
    if (script_.before_exchange) script_.before_exchange(step);
    const bool done = real_->CompareExchange(address, expected, desired);
    const auto guard = arch::GuardBytes();
    script_.guard_stands =
        std::memcmp(reinterpret_cast<const void*>(guard_at_), guard.data(), guard.size()) == 0;
    return done;
  }

 private:
  void CountCall() { script_.calls_while_guarded += script_.guard_stands ? 1 : 0; }

  Script& script_;
  uint64_t guard_at_;
  std::unique_ptr<TextSystem> real_;
};

using Bytes = std::vector<uint8_t>;

// A page of text with an instruction that straddles two words, three bytes in the first.
class TextWriterTest : public ::testing::Test {
 protected:
  TextWriterTest() {
    void* const page = mmap(nullptr, kPageBytes, kLive, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(page, MAP_FAILED);
    page_ = static_cast<uint8_t*>(page);
    script_ = std::make_unique<Script>();
    auto writer = TextWriter::Create(std::make_unique<ScriptedSystem>(*script_, at()));
    EXPECT_TRUE(writer.ok());
    writer_ = std::move(*writer);
    Bytes start(64, 0x90);
    std::copy(old_.begin(), old_.end(), start.begin() + kOffset);
    EXPECT_TRUE(writer_->WriteFresh(reinterpret_cast<uint64_t>(page_), start).ok());
    *script_ = Script();
  }
  ~TextWriterTest() override { munmap(page_, kPageBytes); }

  uint64_t at() const { return reinterpret_cast<uint64_t>(page_) + kOffset; }
  Bytes Now(size_t size = 5) const { return Bytes(page_ + kOffset, page_ + kOffset + size); }
  uint8_t Byte(int64_t offset) const { return page_[kOffset + offset]; }
  // As another process would, by ptrace.
  void Poke(int64_t offset, uint8_t byte) {
    const auto real = MakeLinuxTextSystem();
    ASSERT_TRUE(real->WriteThrough(at() + static_cast<uint64_t>(offset), {&byte, 1}).ok());
  }
  Status Replace(const Bytes& from, const Bytes& to) {
    const TextChange change{at(), from, to, arch::GuardBytes(), kLive};
    return writer_->Replace(change);
  }

  static constexpr uint64_t kOffset = 13;
  const Bytes old_ = {1, 2, 3, 4, 5};
  const Bytes new_ = {0xE9, 12, 13, 14, 15};
  uint8_t* page_;
  std::unique_ptr<Script> script_;
  std::unique_ptr<TextWriter> writer_;
};

TEST_F(TextWriterTest, ReplacesAndPutsBack) {
  ASSERT_TRUE(Replace(old_, new_).ok());
  EXPECT_EQ(Now(), new_);
  EXPECT_EQ(script_->syncs, 3);
  ASSERT_TRUE(Replace(new_, old_).ok());
  EXPECT_EQ(Now(), old_);
  EXPECT_EQ(Byte(-1), 0x90);
  EXPECT_EQ(Byte(5), 0x90);
}

TEST_F(TextWriterTest, CallsNothingElseWhileAGuardStands) {
  bool stood = false;
  script_->sync = [&](int) {
    stood |= script_->guard_stands;
    return 0;
  };
  ASSERT_TRUE(Replace(old_, new_).ok());
  EXPECT_TRUE(stood);
  EXPECT_EQ(script_->calls_while_guarded, 0);
}

TEST_F(TextWriterTest, RefusesOtherBytes) {
  const Status status = Replace(new_, old_);
  EXPECT_EQ(status.code(), Code::kProbeFailed);
  EXPECT_EQ(Now(), old_);
  EXPECT_EQ(script_->exchanges, 0);
}

// The word is not only ours. Whenever another patcher changes a byte next to ours, both changes
// are made. (Once the guard was taken away by an exchange that took the whole word for known: it
// failed, and `eb fe` stayed.)
TEST_F(TextWriterTest, ForeignBytesNearbyAreTakenOver) {
  ASSERT_TRUE(Replace(old_, new_).ok());
  const int steps = script_->exchanges;
  ASSERT_TRUE(Replace(new_, old_).ok());
  ASSERT_GE(steps, 3);
  for (int when = 0; when < steps; ++when) {
    for (const int64_t offset : {-1, -3, 5, 7}) {
      SCOPED_TRACE(std::to_string(when) + " at " + std::to_string(offset));
      *script_ = Script();
      const auto foreign = static_cast<uint8_t>(0x40 + when * 8 + offset);
      script_->before_exchange = [&](int step) {
        if (step == when) Poke(offset, foreign);
      };
      EXPECT_TRUE(Replace(old_, new_).ok());
      EXPECT_EQ(Now(), new_);
      EXPECT_EQ(Byte(offset), foreign);
      script_->before_exchange = nullptr;
      ASSERT_TRUE(Replace(new_, old_).ok());
    }
  }
}

// As often as it likes.
TEST_F(TextWriterTest, ForeignBytesThatNeverStandStill) {
  uint8_t next = 0;
  script_->before_exchange = [&](int step) {
    if (step < 40) Poke(-1, next++);
  };
  const Status status = Replace(old_, new_);
  EXPECT_EQ(Now(), status.ok() ? new_ : old_) << status.ToString();
  next = 0;
  *script_ = Script();
  // Only from the guard on: it must go.
  bool guarded = false;
  script_->sync = [&](int) {
    guarded = true;
    return 0;
  };
  script_->before_exchange = [&](int) {
    if (guarded && next < 200) Poke(-1, next++);
  };
  const Bytes from = Now();
  const Status back = Replace(from, from == new_ ? old_ : new_);
  EXPECT_NE(Byte(0), arch::GuardBytes()[0]) << back.ToString();
  EXPECT_EQ(next, 200);
}

// One of the head's own bytes, behind the guard: refused, ours go back, the foreign one stays.
TEST_F(TextWriterTest, ForeignByteInTheHead) {
  script_->sync = [&](int sync) {
    if (sync == 0) Poke(2, 0xCC);
    return 0;
  };
  const Status status = Replace(old_, new_);
  EXPECT_EQ(status.code(), Code::kProbeFailed);
  EXPECT_EQ(Now(), (Bytes{1, 2, 0xCC, 4, 5}));
}

TEST_F(TextWriterTest, ForeignByteInTheTail) {
  script_->sync = [&](int sync) {
    if (sync == 0) Poke(3, 0xCC);
    return 0;
  };
  const Status status = Replace(old_, new_);
  EXPECT_EQ(status.code(), Code::kProbeFailed);
  EXPECT_EQ(Now(), (Bytes{1, 2, 3, 0xCC, 5}));
}

// A breakpoint over the guard belongs to whoever set it; ours of the tail go back all the same.
TEST_F(TextWriterTest, BreakpointOverTheGuardIsLeft) {
  script_->sync = [&](int sync) {
    if (sync == 0) Poke(0, 0xCC);
    return 0;
  };
  const Status status = Replace(old_, new_);
  EXPECT_EQ(status.code(), Code::kProbeFailed);
  EXPECT_EQ(Byte(0), 0xCC);
  EXPECT_EQ(Now(5)[3], 4);
  EXPECT_EQ(Now(5)[4], 5);
}

TEST_F(TextWriterTest, EachSyncFailingInTurn) {
  for (const bool once : {true, false}) {
    for (int failing = 0; failing < 2; ++failing) {
      *script_ = Script();
      script_->sync = [&](int sync) {
        return sync == failing || (!once && sync > failing) ? EPERM : 0;
      };
      const Status status = Replace(old_, new_);
      EXPECT_EQ(status.code(), Code::kNotPermitted) << failing;
      EXPECT_EQ(Now(), old_) << failing;
    }
  }
}

// Several at once: one that fails takes nobody with it.
TEST_F(TextWriterTest, BatchWithOneThatFails) {
  constexpr int kCount = 4;
  std::array<Bytes, kCount> from, to;
  std::vector<TextChange> changes;
  for (int i = 0; i < kCount; ++i) {
    const uint64_t address = reinterpret_cast<uint64_t>(page_) + 256 + 64 * i + 3 + i;
    from[i] = {1, 2, 3, 4, 5};
    to[i] = {0xE9, 9, 9, 9, static_cast<uint8_t>(i)};
    ASSERT_TRUE(writer_->WriteFresh(address, from[i]).ok());
    changes.push_back({address, from[i], to[i], arch::GuardBytes(), kLive});
  }
  script_->sync = [&](int sync) {
    const auto distance = static_cast<int64_t>(changes[2].address - at());
    if (sync == 0) Poke(distance + 4, 0x77);  // of the tail
    return 0;
  };
  const auto results = writer_->ReplaceAll(changes, true);
  for (int i = 0; i < kCount; ++i) {
    const auto* const now = reinterpret_cast<const uint8_t*>(changes[i].address);
    if (i == 2) {
      EXPECT_EQ(results[i].code(), Code::kProbeFailed);
      EXPECT_EQ(Bytes(now, now + 5), (Bytes{1, 2, 3, 4, 0x77}));
    } else {
      EXPECT_TRUE(results[i].ok()) << i << results[i].ToString();
      EXPECT_EQ(Bytes(now, now + 5), to[i]);
    }
  }
}

// Fifteen bytes may touch three words.
TEST_F(TextWriterTest, ThreeWords) {
  const uint64_t address = reinterpret_cast<uint64_t>(page_) + 512 + 5;
  Bytes from, to;
  for (uint8_t i = 0; i < 15; ++i) {
    from.push_back(i + 1);
    to.push_back(i + 101);
  }
  ASSERT_TRUE(writer_->WriteFresh(address, from).ok());
  const auto* const now = reinterpret_cast<const uint8_t*>(address);
  for (int failing = 0; failing < 3; ++failing) {
    script_->syncs = 0;
    script_->sync = [&](int sync) { return sync == failing ? EPERM : 0; };
    const TextChange change{address, from, to, arch::GuardBytes(), kLive};
    EXPECT_EQ(writer_->Replace(change).ok(), failing == 2);
    EXPECT_EQ(Bytes(now, now + 15), failing == 2 ? to : from);
  }
}

}  // namespace
}  // namespace stillframe::probe
