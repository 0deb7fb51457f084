// The ways through a function's code.
#ifndef STILLFRAME_AGENT_CODE_GRAPH_H_
#define STILLFRAME_AGENT_CODE_GRAPH_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "agent/probe/plain_code.h"
#include "base/address.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

// A contiguous part of a function.
struct CodePart {
  uint64_t address = 0;
  std::vector<uint8_t> text;
};
// The code of the function with the site; empty when it is too much or cannot be read.
std::vector<CodePart> ReadCodeParts(SymbolModule& module, LinkAddress site);

// Of the functions that the code calls, those by whose names it is known that they do not return:
// what throws, goes on unwinding or ends the program. By entry, or slot of the linkage table.
std::set<uint64_t> FindCalledWithoutReturn(SymbolModule& module, std::span<const CodePart> parts);

// The function's instructions and where each leads.
class CodeGraph {
 public:
  struct Node {
    uint64_t address = 0;
    bool anywhere = false;
    uint32_t next[2] = {kNone, kNone};
    bool leaves = false;  // a jump out of what is known
    bool calls = false;
    std::optional<uint64_t> other;  // the function that it calls or jumps to, by its entry
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  // `without_return`: what stands behind a call of one of these is not reached from there. False
  // when not all of the code is understood.
  bool Build(std::span<const CodePart> parts, uint64_t entry,
             const std::set<uint64_t>& without_return = {});

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<uint32_t>& entries() const { return entries_; }
  // Where an indirect jump may lead.
  const std::vector<uint32_t>& targets() const { return targets_; }
  // By node, whether a way leads there from one of `nodes`; they themselves are, too.
  std::vector<bool> Reached(const std::set<uint32_t>& nodes) const;
  uint32_t Find(uint64_t address) const {
    const auto found = index_.find(address);
    return found == index_.end() ? kNone : found->second;
  }

 private:
  bool Decode(const CodePart& part);

  std::vector<Node> nodes_;
  std::vector<probe::ControlFlow> flows_;
  std::map<uint64_t, uint32_t> index_;
  std::vector<uint32_t> entries_, targets_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_CODE_GRAPH_H_
