// The share of maxHits: never more than asked for, whatever agents say and however messages travel.
#include "server/lease_book.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <random>

namespace stillframe::server {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

model::LeaseReport Report(uint64_t granted, uint64_t used, uint64_t version, bool wanted = false) {
  model::LeaseReport report;
  report.granted = granted;
  report.used = used;
  report.version = version;
  report.wanted = wanted;
  return report;
}

TEST(LeaseBook, OneAgentHasThemAll) {
  LeaseBook book(7);
  EXPECT_TRUE(book.Join("a"));
  EXPECT_TRUE(book.Distribute());
  EXPECT_EQ(book.LeaseOf("a").granted, 7u);
  EXPECT_FALSE(book.Distribute()) << "nothing is left";
  book.Report("a", Report(7, 7, book.LeaseOf("a").version));
  EXPECT_TRUE(book.IsOver());
  EXPECT_TRUE(book.LeaseOf("a").over);
}

TEST(LeaseBook, WhoRunsOutIsGivenWhatOthersDoNotUse) {
  LeaseBook book(8);
  book.Join("a");
  book.Join("b");
  book.Distribute();
  EXPECT_EQ(book.LeaseOf("a").granted + book.LeaseOf("b").granted, 8u);
  EXPECT_TRUE(book.Report("a", Report(4, 4, book.LeaseOf("a").version, true)));
  EXPECT_FALSE(book.Distribute()) << "first it is called back";
  const model::Lease called = book.LeaseOf("b");
  EXPECT_EQ(called.granted, 2u);
  EXPECT_EQ(book.LeaseOf("a").granted, 4u) << "not before that was confirmed";
  // The answer to an older telling changes nothing.
  EXPECT_FALSE(book.Report("b", Report(4, 0, called.version - 1)));
  EXPECT_FALSE(book.Distribute());
  EXPECT_TRUE(book.Report("b", Report(2, 0, called.version)));
  EXPECT_TRUE(book.Distribute());
  EXPECT_EQ(book.LeaseOf("a").granted, 6u);
}

TEST(LeaseBook, BadReportsGainNothing) {
  LeaseBook book(10);
  book.Join("a");
  book.Join("b");
  book.Distribute();
  for (const uint64_t number : {uint64_t{0}, uint64_t{11}, kHuge}) {
    book.Report("a", Report(number, number, 0, true));
    book.Report("a", Report(number, number, kHuge, true));
    book.Report("a", Report(kHuge, 5, book.LeaseOf("a").version, true));
    book.Distribute();
    // Called back, it says that it has more than it was ever given.
    book.Report("b", Report(kHuge, number, book.LeaseOf("b").version));
    book.Distribute();
    EXPECT_LE(book.LeaseOf("a").granted + book.LeaseOf("b").granted, 10u) << number;
  }
  EXPECT_FALSE(book.Report("stranger", Report(kHuge, kHuge, 0, true)));
  EXPECT_EQ(book.LeaseOf("stranger").granted, 0u);
  book.Leave("stranger");
  book.Lose("stranger");
  EXPECT_FALSE(book.IsLost("stranger"));
}

TEST(LeaseBook, WhoWasLostGetsNothingMore) {
  LeaseBook book(10);
  book.Join("a");
  book.Distribute();
  book.Report("a", Report(10, 3, book.LeaseOf("a").version));
  book.Lose("a");
  EXPECT_TRUE(book.IsLost("a"));
  EXPECT_FALSE(book.Join("a"));
  book.Join("b");
  EXPECT_TRUE(book.Distribute());
  EXPECT_EQ(book.LeaseOf("b").granted, 7u);
  book.Leave("b");
  book.Leave("b");
  book.Join("c");
  book.Distribute();
  EXPECT_EQ(book.LeaseOf("c").granted, 7u);
}

TEST(LeaseBook, IsReadBackAndDamageGivesNothing) {
  LeaseBook book(10);
  book.Join("a");
  book.Join("b");
  book.Distribute();
  LeaseBook again(10);
  again.FromJson(book.ToJson());
  EXPECT_EQ(again.LeaseOf("a").granted, book.LeaseOf("a").granted);
  EXPECT_FALSE(again.Join("c") && again.Distribute()) << "all was given";
  // Of whom nothing was heard since, all is taken to be spent.
  again.Leave("a");
  EXPECT_FALSE(again.Distribute());
  for (const char* damaged :
       {"x", "[]", "7", "{}", R"({"granted": 7})", R"({"spent": "x", "granted": {}})",
        R"({"granted": {"a": [18446744073709551615, 1], "b": [1, 1]}})",
        R"({"granted": {"a": [-1, 1], "b": [-1, 1]}})", R"({"granted": {"a": 3}})",
        R"({"spent": 18446744073709551615, "granted": {"a": [5, 1]}})"}) {
    LeaseBook read(10);
    read.FromJson(damaged);
    read.Join("new");
    read.Distribute();
    EXPECT_EQ(read.LeaseOf("new").granted, 0u) << damaged;
  }
  LeaseBook fresh(10);
  fresh.FromJson("");
  fresh.Join("a");
  EXPECT_TRUE(fresh.Distribute());
}

// An agent as the store has it, and messages on their way, which may be late, doubled or lost.
struct Agent {
  uint64_t granted = 0, used = 0, version = 0;
  bool alive = true;
  std::deque<model::Lease> told;
  std::deque<model::LeaseReport> said;

  void Take(const model::Lease& lease) {
    if (lease.version < version) return;
    version = lease.version;
    granted = std::max(lease.granted, used);
  }
};

TEST(LeaseBook, NeverMoreThanAskedForWhateverTheInterleaving) {
  uint64_t finished = 0;
  for (uint32_t seed = 0; seed < 3'000; ++seed) {
    std::mt19937 random(seed);
    const uint64_t max_hits = 1 + random() % 20;
    LeaseBook book(max_hits);
    std::vector<Agent> agents(1 + random() % 4);
    const auto name = [](size_t i) { return "agent" + std::to_string(i); };
    const auto total = [&] {
      uint64_t sum = 0;
      for (const Agent& agent : agents) sum += agent.used;
      return sum;
    };
    for (size_t i = 0; i < agents.size(); ++i) book.Join(name(i));
    for (int step = 0; step < 400; ++step) {
      const size_t i = random() % agents.size();
      Agent& agent = agents[i];
      switch (random() % 8) {
        case 0:
          book.Distribute();
          break;
        case 1:  // one poll is out at a time; its answer may be lost
          agent.told.push_back(book.LeaseOf(name(i)));
          if (agent.told.size() > 1) agent.told.pop_front();
          break;
        case 2:
          if (agent.alive && !agent.told.empty()) agent.Take(agent.told.front());
          break;
        case 3:
        case 4:
          if (agent.alive && agent.used < agent.granted) ++agent.used;
          break;
        case 5:
          if (!agent.alive) break;
          agent.said.push_back(
              Report(agent.granted, agent.used, agent.version, agent.used >= agent.granted));
          break;
        case 6:
          if (agent.said.empty()) break;
          book.Report(name(i), agent.said.front());
          if (random() % 4 != 0) agent.said.pop_front();
          break;
        default:
          if (random() % 20 != 0 || !agent.alive || !agent.said.empty()) break;
          agent.alive = false;  // in order: its last report comes first
          book.Report(name(i), Report(agent.granted, agent.used, agent.version));
          book.Leave(name(i));
      }
      ASSERT_LE(total(), max_hits) << "seed " << seed << " step " << step;
    }
    if (total() == max_hits) ++finished;
  }
  EXPECT_GT(finished, 500u) << "and it is not that nobody gets anything";
}

}  // namespace
}  // namespace stillframe::server
