// Relocated instructions behave as the originals: every distinct form that the machine's C++
// libraries contain, on random states, and the table of those that are refused.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>

#include "tests/agent/probe/code_scan.h"
#include "tests/agent/probe/form_runner.h"
#include "tests/agent/probe/instruction_form.h"

namespace stillframe::probe {
namespace {

constexpr size_t kInstances = 3;
constexpr uint64_t kUsualBudgetBytes = 60 << 20;
constexpr uint32_t kStates = 32;

struct FormUse {
  uint64_t count = 0;
  std::vector<arch::Instruction> instances;  // of different bytes
};

struct Corpus {
  std::map<InstructionForm, FormUse> forms;
  uint64_t files = 0;
  uint64_t instructions = 0;
  uint64_t unknown = 0;  // not decoded; the rest of that function is left out
};

void Collect(const FunctionCode& function, Corpus& corpus) {
  for (size_t at = 0; at < function.bytes.size();) {
    const auto insn = arch::DecodeInstruction(function.bytes.subspan(at));
    if (!insn) {
      ++corpus.unknown;
      return;
    }
    at += insn->length;
    ++corpus.instructions;
    FormUse& use = corpus.forms[FormOf(*insn)];
    // Spread over the libraries: the first, and then ever later ones.
    const bool wanted = (use.count & (use.count - 1)) == 0 && use.instances.size() < kInstances;
    ++use.count;
    if (!wanted) continue;
    const bool known = std::any_of(
        use.instances.begin(), use.instances.end(), [&](const arch::Instruction& other) {
          return std::equal(insn->bytes, insn->bytes + insn->length, other.bytes);
        });
    if (!known) use.instances.push_back(*insn);
  }
}

Corpus CollectCorpus() {
  Corpus corpus;
  const bool all = getenv("STILLFRAME_ALL_LIBRARIES") != nullptr;
  ForEachCodeFile(all ? 0 : kUsualBudgetBytes, [&](const CodeFile& file) {
    ++corpus.files;
    for (const FunctionCode& function : file.functions()) Collect(function, corpus);
  });
  return corpus;
}

struct Accepted {
  arch::Instruction insn;
  arch::Flow flow;
};

// Refused forms by reason, and those to run.
struct Verdicts {
  struct Refusal {
    uint64_t forms = 0;
    uint64_t sites = 0;
    std::string example;
  };
  std::map<std::string, Refusal> refused;
  uint64_t refused_sites = 0;
  uint64_t accepted_forms = 0;
  std::vector<Accepted> accepted;
};

// "the instruction 'ud2' raises a signal": what follows the quotes.
std::string ReasonOf(const std::string& message) {
  const size_t quote = message.rfind("' ");
  return quote == message.npos ? message : message.substr(quote + 2);
}

Verdicts Judge(const Corpus& corpus) {
  Verdicts verdicts;
  for (const auto& [form, use] : corpus.forms) {
    bool refused = false;
    for (const arch::Instruction& insn : use.instances) {
      const auto flow = arch::CheckAllowed(insn, 0x401000);
      if (flow.ok()) {
        verdicts.accepted.push_back({insn, *flow});
        continue;
      }
      EXPECT_EQ(flow.status().code(), Code::kUnsafeSite);
      auto& refusal = verdicts.refused[ReasonOf(flow.status().message())];
      if (!refused) {
        ++refusal.forms;
        refusal.sites += use.count;
        refusal.example = flow.status().message();
      }
      refused = true;
    }
    if (refused) verdicts.refused_sites += use.count;
    verdicts.accepted_forms += !refused;
  }
  return verdicts;
}

// What the child tells its parent, also when it dies.
struct Report {
  FormRunner::Tally tally;
  uint64_t forms_run = 0;
  uint64_t never_ran = 0;  // instances that this processor does not have
  uint64_t rounds = 0;
  char current[64] = {};
  char failure[512] = {};
};

void Say(char* out, size_t size, const std::string& text) {
  std::snprintf(out, size, "%s", text.c_str());
}

// One processor only: CPUID and RDPID tell which.
void PinToOneProcessor() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(std::max(0, sched_getcpu())), &set);
  sched_setaffinity(0, sizeof set, &set);
}

[[noreturn]] void RunInChild(const std::vector<Accepted>& accepted, double seconds,
                             Report& report) {
  PinToOneProcessor();
  FormRunner runner;
  std::string why_not;
  if (!runner.Start(&why_not)) {
    Say(report.failure, sizeof report.failure, why_not);
    _exit(77);
  }
  const auto start = std::chrono::steady_clock::now();
  const auto end = start + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  do {
    for (const Accepted& test : accepted) {
      if (!FormRunner::CanRun(test.insn)) continue;
      Say(report.current, sizeof report.current, HexBytes(test.insn.bytes, test.insn.length));
      alarm(20);  // an instruction that does not come back
      const uint64_t illegal = report.tally.illegal;
      const std::string failure =
          runner.Compare(test.insn, test.flow, 1 + report.rounds * kStates, kStates, report.tally);
      if (!failure.empty()) {
        Say(report.failure, sizeof report.failure, failure);
        _exit(1);
      }
      if (report.rounds == 0) {
        ++report.forms_run;
        report.never_ran += report.tally.illegal - illegal == kStates;
      }
    }
    ++report.rounds;
  } while (std::chrono::steady_clock::now() < end);
  _exit(0);
}

Report RunAll(const std::vector<Accepted>& accepted, double seconds, int* exit_status) {
  void* const shared =
      mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* const report = new (shared) Report;
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) RunInChild(accepted, seconds, *report);
  EXPECT_EQ(waitpid(child, exit_status, 0), child);
  const Report result = *report;
  munmap(shared, sizeof(Report));
  return result;
}

TEST(FormDifferential, RelocatedFormsBehaveAsTheOriginals) {
  const Corpus corpus = CollectCorpus();
  const Verdicts verdicts = Judge(corpus);
  std::printf("  %lu files, %lu instructions, %zu forms; %lu functions with unknown bytes\n",
              corpus.files, corpus.instructions, corpus.forms.size(), corpus.unknown);
  std::printf("  accepted: %lu forms; refused:\n", verdicts.accepted_forms);
  for (const auto& [reason, refusal] : verdicts.refused) {
    std::printf("    %4lu forms %8lu sites  %s\n", refusal.forms, refusal.sites,
                refusal.example.c_str());
    EXPECT_GE(reason.size(), 10u) << "a reason that a user can read";
  }
  const double share = 100.0 * static_cast<double>(verdicts.refused_sites) /
                       static_cast<double>(corpus.instructions);
  std::printf("    %.3f %% of all instructions\n", share);
  EXPECT_GT(corpus.forms.size(), 500u);
  EXPECT_LT(share, 0.5);
  // Decoding stops at unknown bytes: nearly never.
  EXPECT_LT(corpus.unknown, corpus.instructions / 100000 + 10);

  const char* const text = getenv("STILLFRAME_FORM_SECONDS");
  int status = 0;
  const Report report = RunAll(verdicts.accepted, text == nullptr ? 15 : atof(text), &status);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << report.failure;
  EXPECT_STREQ(report.failure, "");
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << "status " << status << " at " << report.current;
  std::printf(
      "  ran %lu instances (%lu that this processor lacks) on %lu states, %lu of them "
      "faulting alike; %lu rounds\n",
      report.forms_run, report.never_ran, report.tally.states, report.tally.faults, report.rounds);
}

// The comparison notices an instruction that was not relocated as it should.
TEST(FormDifferential, AWrongRelocationWouldBeSeen) {
  // mov rax, [rip+x] taken for one without a RIP-relative operand; jne taken for a plain one.
  const std::vector<uint8_t> wrong[] = {{0x48, 0x8B, 0x05, 0x10, 0, 0, 0}, {0x75, 0x10}};
  for (const auto& bytes : wrong) {
    auto insn = arch::DecodeInstruction(bytes);
    ASSERT_TRUE(insn.has_value());
    insn->rip_relative = false;
    int status = 0;
    const Report report = RunAll({{*insn, arch::Flow::kPlain}}, 0, &status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << report.failure;
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    EXPECT_STRNE(report.failure, "");
  }
}

}  // namespace
}  // namespace stillframe::probe
