#include "agent/line_executions.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agent/probe/plain_code.h"

namespace stillframe::agent {
namespace {

constexpr uint64_t kMaxFunctionBytes = 1 << 20;
constexpr size_t kMaxSteps = 500'000;  // some tenths of a second
constexpr size_t kMaxCompared = 64;    // instructions of a site

// The function's instructions and where each leads.
class Graph {
 public:
  struct Node {
    uint64_t address = 0;
    bool anywhere = false;
    uint32_t next[2] = {kNone, kNone};
    uint64_t kind = 0;
    bool leaves = false;  // a jump out of what is known
    bool calls = false;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  // False when not all of the code is understood.
  bool Build(std::span<const CodePart> parts, uint64_t entry) {
    for (const CodePart& part : parts) {
      if (!Decode(part)) return false;
    }
    std::vector<bool> has_way(nodes_.size(), false);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (!flows_[i].target) continue;
      const uint32_t target = nodes_[i].next[1] = Find(*flows_[i].target);
      nodes_[i].leaves = target == kNone;
      if (target == kNone) continue;
      has_way[target] = true;
      targets_.push_back(target);
    }
    // Where no way leads that can be seen begin landing pads, cases of a jump table, or what only
    // fills the room up to the next target.
    for (uint32_t i = 0; i < nodes_.size(); ++i) {
      if (!has_way[i] && flows_[i].is_filler) continue;
      if (!has_way[i]) entries_.push_back(i);
      const bool goes_on = flows_[i].goes_on && i + 1 < nodes_.size() &&
                           nodes_[i + 1].address == nodes_[i].address + flows_[i].length;
      if (!goes_on) continue;
      nodes_[i].next[0] = i + 1;
      has_way[i + 1] = true;
    }
    entries_.push_back(Find(entry));
    targets_.insert(targets_.end(), entries_.begin(), entries_.end());
    return entries_.back() != kNone;
  }

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<uint32_t>& entries() const { return entries_; }
  // Where an indirect jump may lead.
  const std::vector<uint32_t>& targets() const { return targets_; }
  uint32_t Find(uint64_t address) const {
    const auto found = index_.find(address);
    return found == index_.end() ? kNone : found->second;
  }

 private:
  bool Decode(const CodePart& part) {
    for (size_t at = 0; at < part.text.size();) {
      const uint64_t address = part.address + at;
      const auto flow = probe::ReadControlFlow(std::span(part.text).subspan(at), address);
      if (flow.length == 0) return false;
      index_[address] = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({address, flow.anywhere, {kNone, kNone}, flow.kind, false, flow.is_call});
      flows_.push_back(flow);
      at += flow.length;
    }
    return !part.text.empty();
  }

  std::vector<Node> nodes_;
  std::vector<probe::ControlFlow> flows_;
  std::map<uint64_t, uint32_t> index_;
  std::vector<uint32_t> entries_, targets_;
};

// What instructions a site stands for: those up to the next line or site, by kind.
std::vector<uint64_t> KindsOf(const Graph& graph, uint32_t node,
                              const std::set<uint64_t>& boundaries) {
  std::vector<uint64_t> kinds;
  const std::vector<Graph::Node>& nodes = graph.nodes();
  const auto next = boundaries.upper_bound(nodes[node].address);
  const uint64_t end = next == boundaries.end() ? UINT64_MAX : *next;
  for (size_t i = node; i < nodes.size() && nodes[i].address < end; ++i) {
    if (kinds.size() == kMaxCompared) break;
    kinds.push_back(nodes[i].kind);
  }
  std::sort(kinds.begin(), kinds.end());
  return kinds;
}

// Whether at least half of all is common to both.
bool Alike(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  std::vector<uint64_t> common, all;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(all));
  return 2 * common.size() >= all.size();
}

// What runs, from every entry along every way: the sites that the line's present execution has been
// at, and whether it has been on another line since.
class Executions {
 public:
  struct Site {
    uint64_t own = 0;     // its bit
    uint64_t copies = 0;  // the bits of its part's sites
    // Neither a statement's beginning nor one of several copies.
    bool may_be_ahead = false;
  };
  static constexpr size_t kMaxSites = 63;

  Executions(const Graph& graph, const std::map<uint32_t, Site>& sites,
             const std::set<uint32_t>& leaves)
      : graph_(graph), sites_(sites), leaves_(leaves) {}

  // Nodes of sites that begin an execution on no way; nullopt: too much to follow.
  std::optional<std::set<uint32_t>> Run() {
    // What begins one on one way and goes on with one on another is probed: it then begins one on
    // every way, which changes what others see.
    std::set<uint32_t> begins;
    for (;;) {
      begins_ = begins;
      continues_.clear();
      seen_.clear();
      open_.clear();
      for (const uint32_t entry : graph_.entries()) Reach(entry, 0);
      while (!open_.empty()) {
        if (++steps_ > kMaxSteps) return std::nullopt;
        const auto [node, state] = open_.back();
        open_.pop_back();
        Leave(node, Step(node, state));
      }
      if (begins_ == begins) break;
      begins = begins_;
    }
    for (const uint32_t node : begins) continues_.erase(node);
    for (const auto& [node, site] : sites_) {
      if (site.may_be_ahead && begins_.contains(node) && LeadsToAnother(node)) {
        begins_.erase(node);
        continues_.insert(node);
      }
    }
    return continues_;
  }

 private:
  // Whether a site that a loop runs again follows on every way, without a call (which may throw)
  // or an end of the function in between.
  bool LeadsToAnother(uint32_t node) {
    std::set<uint32_t> seen;
    std::vector<uint32_t> open = {node};
    while (!open.empty()) {
      const Graph::Node& from = graph_.nodes()[open.back()];
      open.pop_back();
      if (++steps_ > kMaxSteps || from.anywhere || from.leaves || from.calls) return false;
      if (from.next[0] == Graph::kNone && from.next[1] == Graph::kNone) return false;
      for (const uint32_t next : from.next) {
        if (next == node) return false;
        if (next == Graph::kNone) continue;
        if (begins_.contains(next)) {
          if (!repeated_.contains(next)) return false;
        } else if (seen.insert(next).second) {
          open.push_back(next);
        }
      }
    }
    return true;
  }

  static constexpr uint64_t kLeft = 1ull << kMaxSites;

  uint64_t Step(uint32_t node, uint64_t state) {
    // A statement of another line at the same address comes first: the site is what it led to.
    if (state != 0 && leaves_.contains(node)) state |= kLeft;
    const auto found = sites_.find(node);
    if (found == sites_.end()) return state;
    const Site& site = found->second;
    const bool again =
        (state & site.own) != 0 || ((state & kLeft) != 0 && (state & site.copies) != 0);
    if (again) repeated_.insert(node);
    if (state == 0 || again || begins_.contains(node)) {
      begins_.insert(node);
      return site.own;
    }
    continues_.insert(node);
    return state | site.own;
  }
  void Leave(uint32_t node, uint64_t state) {
    const Graph::Node& from = graph_.nodes()[node];
    for (const uint32_t next : from.next) Reach(next, state);
    if (!from.anywhere) return;
    for (const uint32_t target : graph_.targets()) Reach(target, state);
  }
  void Reach(uint32_t node, uint64_t state) {
    if (node != Graph::kNone && seen_.insert({node, state}).second) open_.push_back({node, state});
  }

  const Graph& graph_;
  const std::map<uint32_t, Site>& sites_;
  const std::set<uint32_t>& leaves_;
  std::set<uint32_t> begins_, continues_;
  std::set<uint32_t> repeated_;  // begin one because they ran in the one before
  std::set<std::pair<uint32_t, uint64_t>> seen_;
  std::vector<std::pair<uint32_t, uint64_t>> open_;
  size_t steps_ = 0;  // of all rounds
};

// The code of the function with the site; empty when it is too much or cannot be read.
FunctionCode ReadFunction(SymbolModule& module, LinkAddress site, LinkAddress entry,
                          uint32_t line) {
  FunctionCode code;
  code.entry = entry.value;
  code.marks_statements = false;
  uint64_t size_bytes = 0;
  for (const auto& [begin, end] : module.FunctionParts(site)) {
    const auto wanted = static_cast<uint64_t>(end - begin);
    size_bytes += wanted;
    if (size_bytes > kMaxFunctionBytes) return {};
    code.parts.push_back({begin.value, module.ReadCode(begin, static_cast<uint32_t>(wanted))});
    if (code.parts.back().text.size() != wanted) return {};
    const LineBeginnings lines = module.OtherLines(begin, end, line);
    if (lines.are_statements) code.marks_statements = true;
    for (const LinkAddress other : lines.others) code.other_lines.push_back(other.value);
  }
  return code;
}

}  // namespace

std::vector<bool> BeginExecutions(const FunctionCode& code, std::span<const LinePart> sites) {
  std::vector<bool> all(sites.size(), true);
  Graph graph;
  if (sites.size() < 2 || sites.size() > Executions::kMaxSites ||
      !graph.Build(code.parts, code.entry)) {
    return all;
  }
  std::set<uint64_t> boundaries(code.other_lines.begin(), code.other_lines.end());
  for (const LinePart& site : sites) boundaries.insert(site.address);
  std::vector<std::vector<uint64_t>> kinds;
  for (const LinePart& site : sites) {
    const uint32_t node = graph.Find(site.address);
    if (node == Graph::kNone) return all;
    kinds.push_back(KindsOf(graph, node, boundaries));
  }
  std::map<uint32_t, Executions::Site> by_node;
  for (size_t i = 0; i < sites.size(); ++i) {
    Executions::Site& site = by_node[graph.Find(sites[i].address)];
    site.own |= 1ull << i;
    for (size_t k = 0; k < sites.size(); ++k) {
      const bool alike = code.marks_statements || Alike(kinds[i], kinds[k]);
      if (sites[k].part == sites[i].part && alike) {
        site.copies |= 1ull << k;
      }
    }
    site.may_be_ahead = !code.marks_statements && site.copies == site.own;
  }
  std::set<uint32_t> leaves;
  for (const uint64_t address : code.other_lines) leaves.insert(graph.Find(address));
  const auto continues = Executions(graph, by_node, leaves).Run();
  if (!continues) return all;
  for (size_t i = 0; i < sites.size(); ++i) {
    all[i] = !continues->contains(graph.Find(sites[i].address));
  }
  return all;
}

std::vector<LinkAddress> DropContinuations(SymbolModule& module, ProbePlan& plan) {
  std::map<std::pair<LinkAddress, uint64_t>, std::vector<size_t>> copies;  // by function and copy
  for (size_t i = 0; i < plan.sites.size(); ++i) {
    const SitePlan& site = plan.sites[i];
    const FramePlan& frame = plan.unit.frames[site.frame];
    if (site.part != 0) copies[{frame.function_entry, frame.copy}].push_back(i);
  }
  std::set<size_t> dropped;
  FunctionCode code;  // of the copies that follow each other in one function
  for (const auto& [copy, indices] : copies) {
    if (indices.size() < 2) continue;
    std::vector<LinePart> sites;
    for (const size_t i : indices) {
      sites.push_back({plan.sites[i].address.value, plan.sites[i].part});
    }
    const SitePlan& first = plan.sites[indices[0]];
    const FramePlan& frame = plan.unit.frames[first.frame];
    if (code.parts.empty() || code.entry != copy.first.value) {
      const uint32_t line = plan.unit.virtual_frames[frame.first_virtual].line;
      code = ReadFunction(module, first.address, copy.first, line);
    }
    const std::vector<bool> begins = BeginExecutions(code, sites);
    for (size_t k = 0; k < indices.size(); ++k) {
      if (!begins[k]) dropped.insert(indices[k]);
    }
  }
  std::vector<LinkAddress> addresses;
  std::vector<SitePlan> kept;
  for (size_t i = 0; i < plan.sites.size(); ++i) {
    if (dropped.contains(i)) {
      addresses.push_back(plan.sites[i].address);
    } else {
      kept.push_back(plan.sites[i]);
    }
  }
  plan.sites = std::move(kept);
  return addresses;
}

}  // namespace stillframe::agent
