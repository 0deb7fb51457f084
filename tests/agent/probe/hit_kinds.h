// What a probe may do when it is hit, from nothing to a capture by the real hit path; for tests
// that must hold for each.
#ifndef STILLFRAME_TESTS_AGENT_PROBE_HIT_KINDS_H_
#define STILLFRAME_TESTS_AGENT_PROBE_HIT_KINDS_H_

#include <memory>
#include <string>

#include "tests/agent/hit/test_plan.h"
#include "tests/agent/probe/probe_testing.h"

namespace stillframe::probe {

// The two false conditions: over general registers and memory; over vector registers, too.
enum class HitKind : uint8_t {
  kEmpty,
  kDestroying,
  kConditionFalse,
  kVectorConditionFalse,
  kConditionTrue,
  kCaptured,
};
inline constexpr HitKind kHitKinds[] = {HitKind::kEmpty,          HitKind::kDestroying,
                                        HitKind::kConditionFalse, HitKind::kVectorConditionFalse,
                                        HitKind::kConditionTrue,  HitKind::kCaptured};
inline const char* HitKindName(HitKind kind) {
  constexpr const char* kNames[] = {"empty hit",    "destroying hit", "condition false",
                                    "vector false", "condition true", "captured"};
  return kNames[static_cast<int>(kind)];
}

// An installer whose trampolines do `kind`, and the tracepoint that all its sites serve. The plan
// reads through rsp and multiplies doubles, which makes the hit path borrow vector registers.
class KindOfHit {
 public:
  explicit KindOfHit(HitKind kind) : kind_(kind) {
    using hit::I;
    if (kind == HitKind::kConditionFalse) {  // *rsp * 0 + rax * 0
      plan_.sites[0].condition =
          plan_.AddCode({I(Op::kRegister, 0, 7), I(Op::kLoad, 0, 8, 0), I(Op::kRegister, 0, 0),
                         I(Op::kAdd), I(Op::kConst, 0), I(Op::kMul), I(Op::kReturn)});
    }
    if (kind == HitKind::kVectorConditionFalse || kind == HitKind::kConditionTrue) {
      const int64_t wanted = kind == HitKind::kConditionTrue ? 1 : 0;
      // wanted && (double(rax) * 1.5 == double(rax) * 1.5 || true): always what is wanted.
      plan_.sites[0].condition =
          plan_.AddCode({I(Op::kRegister, 0, 7), I(Op::kLoad, 0, 8, 0), I(Op::kXmm, 0, 5, 8),
                         I(Op::kFAdd), I(Op::kXmm, 0, 9, 8), I(Op::kFMul), I(Op::kConst, 0),
                         I(Op::kAnd), I(Op::kConst, wanted), I(Op::kOr), I(Op::kReturn)});
    }
    if (kind == HitKind::kCaptured) plan_.AddObject(plan_.AddString(), &text_);
    if (IsAgentHit()) {
      EXPECT_TRUE(hit::Initialize({hit::kTicksPerSecond, 0, 0}).ok());
      probe_ = std::make_unique<hit::TestProbe>(plan_);
    }
    const auto agent = reinterpret_cast<HitFunction>(&hit::stillframe_hit);
    installer_ = MakeInstaller(IsAgentHit()              ? agent
                               : kind == HitKind::kEmpty ? EmptyHit
                                                         : RecordingHit);
  }

  // A condition of one's own that is never true, over `string` perhaps.
  explicit KindOfHit(std::vector<Insn> condition, std::string string = "")
      : kind_(HitKind::kConditionFalse) {
    plan_.sites[0].condition = plan_.AddCode(std::move(condition));
    plan_.unit.strings.push_back(std::move(string));
    EXPECT_TRUE(hit::Initialize({hit::kTicksPerSecond, 0, 0}).ok());
    probe_ = std::make_unique<hit::TestProbe>(plan_);
    installer_ = MakeInstaller(reinterpret_cast<HitFunction>(&hit::stillframe_hit));
  }

  bool IsAgentHit() const { return kind_ >= HitKind::kConditionFalse; }
  bool Captures() const { return kind_ >= HitKind::kConditionTrue; }
  HitKind kind() const { return kind_; }
  Installer& installer() { return *installer_; }
  hit::TestProbe* probe() { return probe_.get(); }

  // Prepared, and serving the tracepoint.
  Result<InstalledSite> Prepare(RuntimeAddress site, const ModuleText& module) {
    auto prepared = installer_->Prepare(site, module);
    if (prepared.ok() && IsAgentHit()) {
      prepared->runtime->list.store(probe_->site().list.load());
    }
    return prepared;
  }
  // Hits counted with the outcome that this kind must have; 0 for the kinds that count nothing.
  uint64_t Hits() const {
    if (kind_ == HitKind::kDestroying) return g_hits.Count();
    if (probe_ == nullptr) return 0;
    const auto sums = probe_->Sums();
    return sums.count[Captures() ? hit::kCaptured : hit::kConditionFalse];
  }
  bool Counts() const { return kind_ != HitKind::kEmpty; }
  // The ring never fills up.
  void Drain() {
    ring::Slot slot;
    while (Captures() && ring::Take(slot)) {
      ring::Release(slot);
      ++taken_;
    }
  }
  // Records taken by it, of whatever probe.
  uint64_t taken() const { return taken_; }

 private:
  HitKind kind_;
  uint64_t taken_ = 0;
  std::string text_ = "some text that is long enough to live on the heap";
  hit::TestPlan plan_;
  std::unique_ptr<hit::TestProbe> probe_;
  std::unique_ptr<Installer> installer_;
};

}  // namespace stillframe::probe

#endif  // STILLFRAME_TESTS_AGENT_PROBE_HIT_KINDS_H_
