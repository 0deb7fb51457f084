// How a tracepoint's maxHits is shared by the fleet. The grants never add up to more than maxHits,
// so neither do the captures; with one agent it has them all, and nothing waits for anything.
//
// An agent that has run out while hits come asks for more. What is free is given at once; else
// half of what the richest has left is called back, and given on once that agent has confirmed. A
// grant is made durable before the agent hears of it (the owner's work), so that a restart forgets
// none.
#ifndef STILLFRAME_SERVER_LEASE_BOOK_H_
#define STILLFRAME_SERVER_LEASE_BOOK_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/agent_info.h"

namespace stillframe::server {

class LeaseBook {
 public:
  explicit LeaseBook(uint64_t max_hits = 0) : max_hits_(max_hits) {}

  uint64_t max_hits() const { return max_hits_; }
  // The instance takes part; nothing changes when it does already. False: it was lost before.
  bool Join(const std::string& instance);
  // What the agent says of its lease. True when that freed or asked for something.
  bool Report(const std::string& instance, const model::LeaseReport& report);
  // Ended in order, after its last report: what it did not use is free.
  void Leave(const std::string& instance);
  // Silent for too long. What it had left is free, and whatever it captured since then is not
  // taken from it any more (IsLost): it gets nothing in this revision.
  void Lose(const std::string& instance);
  bool IsLost(const std::string& instance) const { return lost_.contains(instance); }

  // Gives what is free to those who have none and to those who ask, and calls back where there is
  // nothing free. Returns whether grants grew: then they have to be saved before anyone hears.
  bool Distribute();
  // What an agent is to be told. `granted` is what it may take in all.
  model::Lease LeaseOf(const std::string& instance) const;
  const std::set<std::string>& lost() const { return lost_; }
  std::vector<std::string> instances() const;
  // All captures were made.
  bool IsOver() const;

  // For the store: {"instance": granted, …}; and back. Of a book that was read, `used` is not known
  // until the agents tell.
  std::string ToJson() const;
  void FromJson(const std::string& text);

 private:
  struct Entry {
    uint64_t granted = 0;  // it may hold so much
    uint64_t target = 0;   // and is told so much: less while some of it is called back
    uint64_t used = 0;     // by its last report
    uint64_t version = 0;  // of what it is told; its answer names it
    bool wants = false;
    bool is_new = true;  // has never been given anything
    bool heard = true;   // since the server's start: `used` is known
  };
  uint64_t Free() const;
  void Give(Entry& entry, uint64_t count);
  void CallBack();

  uint64_t max_hits_;
  uint64_t spent_ = 0;  // by those who are gone
  std::map<std::string, Entry> entries_;
  std::set<std::string> lost_;
};

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_LEASE_BOOK_H_
