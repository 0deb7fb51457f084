#include "agent/line_executions.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "agent/code_graph.h"
#include "agent/line_copies.h"
#include "plan/line_part.h"

namespace stillframe::agent {
namespace {

constexpr size_t kMaxSteps = 500'000;  // some tenths of a second

// What runs, from every entry along every way: the sites that the line's present execution has been
// at, and whether it has been on another line since.
class Executions {
 public:
  struct Site {
    uint64_t own = 0;        // its bit
    uint64_t copies = 0;     // the bits of its part's sites
    bool is_empty = false;   // has no code of its own
    bool is_behind = false;  // see LinePartBits
    bool is_before = false;
    bool is_run = false;  // of a line of which nothing is marked
    // Not marked as a statement's beginning, and no copy of another.
    bool may_be_ahead = false;
  };
  static constexpr size_t kMaxSites = 63;

  Executions(const CodeGraph& graph, const std::map<uint32_t, Site>& sites,
             const std::set<uint32_t>& leaves)
      : graph_(graph), sites_(sites), leaves_(leaves) {}

  // Nodes of sites that begin an execution on no way; nullopt: too much to follow.
  std::optional<std::set<uint32_t>> Run() {
    if (!PassOverEmpty()) return std::nullopt;
    // What begins one on one way and goes on with one on another is probed: it then begins one on
    // every way, which changes what others see.
    std::set<uint32_t> begins;
    for (;;) {
      begins_ = begins;
      if (!FollowAll()) return std::nullopt;
      const bool passes = PassOverMoved();
      if (begins_ == begins && !passes) break;
      begins = begins_;
      for (const uint32_t node : passed_) begins.erase(node);
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
  static constexpr uint64_t kLeft = 1ull << kMaxSites;

  // False: too much to follow.
  bool FollowAll() {
    continues_.clear();
    repeated_.clear();
    before_.clear();
    seen_.clear();
    open_.clear();
    for (const uint32_t entry : graph_.entries()) Reach(entry, 0);
    while (!open_.empty()) {
      if (++steps_ > kMaxSteps) return false;
      const auto [node, state] = open_.back();
      open_.pop_back();
      Leave(node, Step(node, state));
    }
    return true;
  }
  // A statement without code of its own stands where another line's code begins, and there other
  // ways may lead, too. Where it ends an execution on one of them it begins none on the others.
  bool PassOverEmpty() {
    for (const auto& [node, site] : sites_) {
      if (site.is_empty) passed_.insert(node);
    }
    if (passed_.empty()) return true;
    if (!FollowAll()) return false;
    passed_ = ended_;
    // Other lines' statements that stand before such a one are on its own ways, too, not on those
    // of an execution that comes from elsewhere.
    std::set_intersection(going_on_.begin(), going_on_.end(), fresh_.begin(), fresh_.end(),
                          std::inserter(passed_, passed_.end()));
    return true;
  }
  // A run that begins executions in a loop tells them all, so the run before, which it goes on with
  // on the way into the loop, is code that was taken out of it, unless it is a copy. Returns
  // whether there was any.
  bool PassOverMoved() {
    bool any = false;
    for (const auto& [node, site] : sites_) {
      const bool both = continues_.contains(node) && begins_.contains(node);
      if (!both || !site.is_run) continue;
      for (const auto& [before, other] : sites_) {
        const bool led = (other.own & before_[node]) != 0 && (other.copies & site.own) == 0;
        if (led && before != node) any |= passed_.insert(before).second;
      }
    }
    return any;
  }

  // Whether a site that a loop runs again follows on every way, without a call (which may throw)
  // or an end of the function in between.
  bool LeadsToAnother(uint32_t node) {
    std::set<uint32_t> seen;
    std::vector<uint32_t> open = {node};
    while (!open.empty()) {
      const CodeGraph::Node& from = graph_.nodes()[open.back()];
      open.pop_back();
      if (++steps_ > kMaxSteps || from.anywhere || from.leaves || from.calls) return false;
      if (from.next[0] == CodeGraph::kNone && from.next[1] == CodeGraph::kNone) return false;
      for (const uint32_t next : from.next) {
        if (next == node) return false;
        if (next == CodeGraph::kNone) continue;
        if (begins_.contains(next)) {
          if (!repeated_.contains(next)) return false;
        } else if (seen.insert(next).second) {
          open.push_back(next);
        }
      }
    }
    return true;
  }

  uint64_t Step(uint32_t node, uint64_t state) {
    const uint64_t left = leaves_.contains(node) ? kLeft : 0;
    const auto site = sites_.find(node);
    // A statement of another line at the same address comes first, and the site is what it led to;
    // or behind it, where the site is empty. Then what is last may also be code that was moved
    // here.
    const bool empty = site != sites_.end() && site->second.is_empty;
    const bool before = !empty || site->second.is_behind;
    const bool after = empty && (!site->second.is_behind || site->second.is_before);
    if (empty) (state != 0 && (state & kLeft) == 0 ? going_on_ : fresh_).insert(node);
    if (state != 0 && before) state |= left;
    if (site != sites_.end()) state = AtSite(node, site->second, state);
    return state != 0 && after ? state | left : state;
  }
  uint64_t AtSite(uint32_t node, const Site& site, uint64_t state) {
    if (passed_.contains(node)) {
      if (state != 0 && (state & kLeft) == 0) ended_.insert(node);
      continues_.insert(node);
      return state;
    }
    const bool again =
        (state & site.own) != 0 || ((state & kLeft) != 0 && (state & site.copies) != 0);
    if (again) repeated_.insert(node);
    if (state == 0 || again || begins_.contains(node)) {
      begins_.insert(node);
      return site.own;
    }
    continues_.insert(node);
    before_[node] |= state;
    return state | site.own;
  }
  void Leave(uint32_t node, uint64_t state) {
    const CodeGraph::Node& from = graph_.nodes()[node];
    for (const uint32_t next : from.next) Reach(next, state);
    if (!from.anywhere) return;
    for (const uint32_t target : graph_.targets()) Reach(target, state);
  }
  void Reach(uint32_t node, uint64_t state) {
    if (node != CodeGraph::kNone && seen_.insert({node, state}).second)
      open_.push_back({node, state});
  }

  const CodeGraph& graph_;
  const std::map<uint32_t, Site>& sites_;
  const std::set<uint32_t>& leaves_;
  std::set<uint32_t> begins_, continues_;
  std::set<uint32_t> repeated_;          // begin one because they ran in the one before
  std::set<uint32_t> passed_;            // count for nothing
  std::set<uint32_t> ended_;             // of those: an execution was going on at them
  std::set<uint32_t> going_on_, fresh_;  // empty ones: one was before their address, or none
  std::map<uint32_t, uint64_t> before_;  // what a site went on with, by its node
  std::set<std::pair<uint32_t, uint64_t>> seen_;
  std::vector<std::pair<uint32_t, uint64_t>> open_;
  size_t steps_ = 0;  // of all rounds
};

// The code of the function with the site; empty when it is too much or cannot be read.
FunctionCode ReadFunction(SymbolModule& module, LinkAddress site, LinkAddress entry, uint32_t line,
                          bool calls_only) {
  FunctionCode code;
  code.entry = entry.value;
  code.parts = ReadCodeParts(module, site);
  code.without_return = FindCalledWithoutReturn(module, code.parts);
  size_t unmarked = 0;
  for (const CodePart& part : code.parts) {
    const LinkAddress begin(part.address), end = begin + part.text.size();
    using Rows = SymbolModule::Rows;
    // What runs inside of calls that are all there is of a line leads to no other line.
    const auto statements = calls_only ? Rows::kOutside : Rows::kOtherStatements;
    for (const auto& [rows, addresses] :
         {std::pair(statements, &code.other_lines), std::pair(Rows::kOther, &code.other_rows),
          std::pair(Rows::kOwn, &code.own_rows)}) {
      for (const LinkAddress row : module.LineRows(begin, end, line, rows)) {
        addresses->push_back(row.value);
      }
    }
    unmarked += module.LineRows(begin, end, line, Rows::kUnmarked).size();
  }
  code.marks_statements = unmarked > 0;
  std::sort(code.other_rows.begin(), code.other_rows.end());
  std::sort(code.own_rows.begin(), code.own_rows.end());
  return code;
}

bool IsStatement(const LinePart& site) { return (site.part & LinePartBits::kRun) == 0; }

std::vector<bool> StatementsOnly(std::span<const LinePart> sites) {
  std::vector<bool> kept;
  for (const LinePart& site : sites) kept.push_back(IsStatement(site));
  return kept;
}

// Without the runs from which a way leads to a statement of the line, or the other way round: code
// that was moved from its statement.
std::vector<bool> WithoutStrayRuns(const CodeGraph& graph, std::span<const LinePart> sites) {
  std::set<uint32_t> statements;
  for (const LinePart& site : sites) {
    if (IsStatement(site)) statements.insert(graph.Find(site.address));
  }
  const std::vector<bool> behind = graph.Reached(statements);
  std::vector<bool> kept = StatementsOnly(sites);
  for (size_t i = 0; i < sites.size(); ++i) {
    if (kept[i]) continue;
    const uint32_t node = graph.Find(sites[i].address);
    if (node == CodeGraph::kNone || behind[node]) continue;
    const std::vector<bool> ahead = graph.Reached({node});
    kept[i] = std::none_of(statements.begin(), statements.end(), [&](uint32_t statement) {
      return statement != CodeGraph::kNone && ahead[statement];
    });
  }
  return kept;
}

// Of at most kMaxSites sites; `marked`: not only runs are among them.
std::vector<bool> BeginAmong(const FunctionCode& code, const CodeGraph& graph,
                             std::span<const LinePart> sites, bool marked) {
  std::vector<bool> all(sites.size(), true);
  if (sites.size() < 2) return all;
  const std::vector<uint64_t> copies = FindCopies(code, sites);
  std::map<uint32_t, Executions::Site> by_node;
  for (size_t i = 0; i < sites.size(); ++i) {
    const uint32_t node = graph.Find(sites[i].address);
    if (node == CodeGraph::kNone) return all;
    Executions::Site& site = by_node[node];
    site.own |= 1ull << i;
    site.is_empty = (sites[i].part & LinePartBits::kEmpty) != 0;
    site.is_behind = (sites[i].part & LinePartBits::kBehind) != 0;
    site.is_before = (sites[i].part & LinePartBits::kBefore) != 0;
    site.is_run = !marked;
    site.copies |= copies[i];
    const bool exact = (sites[i].part & LinePartBits::kExact) != 0 && code.marks_statements;
    const bool plain = (sites[i].part & LinePartBits::kPlain) != 0;
    site.may_be_ahead = marked && !exact && !plain && site.copies == site.own;
  }
  std::set<uint32_t> leaves;
  for (const uint64_t address : marked ? code.other_lines : code.other_rows) {
    leaves.insert(graph.Find(address));
  }
  const auto continues = Executions(graph, by_node, leaves).Run();
  if (!continues) return all;
  for (size_t i = 0; i < sites.size(); ++i) {
    all[i] = !continues->contains(graph.Find(sites[i].address));
  }
  return all;
}

}  // namespace

std::vector<bool> BeginExecutions(const FunctionCode& code, std::span<const LinePart> sites) {
  std::vector<bool> begin(sites.size(), true);
  const bool has_statement = std::any_of(sites.begin(), sites.end(), IsStatement);
  const bool has_run = !std::all_of(sites.begin(), sites.end(), IsStatement);
  CodeGraph graph;
  const bool understood = sites.size() <= Executions::kMaxSites && sites.size() > 1 &&
                          graph.Build(code.parts, code.entry, code.without_return);
  if (has_statement && has_run) {
    begin = understood ? WithoutStrayRuns(graph, sites) : StatementsOnly(sites);
  }
  if (!understood) return begin;
  std::vector<size_t> kept;
  std::vector<LinePart> looked_at;
  for (size_t i = 0; i < sites.size(); ++i) {
    if (!begin[i]) continue;
    kept.push_back(i);
    looked_at.push_back(sites[i]);
  }
  const std::vector<bool> first = BeginAmong(code, graph, looked_at, has_statement);
  for (size_t i = 0; i < kept.size(); ++i) begin[kept[i]] = first[i];
  return begin;
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
      code = ReadFunction(module, first.address, copy.first, line,
                          (first.part & LinePartBits::kCall) != 0);
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
