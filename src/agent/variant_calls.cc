#include "agent/variant_calls.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "symbolizer/function_names.h"

namespace stillframe::agent {
namespace {

constexpr std::string_view kPlt = "@plt";

// One variant's sites.
struct Variant {
  std::vector<size_t> own;     // indices into the plan's sites
  std::set<uint64_t> inlined;  // addresses of those in another variant that is inlined here
};
using Variants = std::map<uint64_t, Variant>;  // by entry

// By name, the constructors and destructors that have sites.
std::map<StringId, Variants> FindVariants(const ProbePlan& plan) {
  std::map<std::string_view, StringId> names;
  std::map<StringId, Variants> found;
  for (size_t i = 0; i < plan.sites.size(); ++i) {
    const FramePlan& frame = plan.unit.frames[plan.sites[i].frame];
    if (frame.virtual_count == 0 || frame.function_entry.value == 0) continue;
    const auto name_of = [&](uint32_t at) -> const std::string& {
      return plan.unit.strings[plan.unit.virtual_frames[frame.first_virtual + at].function];
    };
    const std::string& name = name_of(frame.virtual_count - 1);
    if (!IsConstructorOrDestructor(name)) continue;
    const StringId id = names.try_emplace(name, static_cast<StringId>(names.size())).first->second;
    Variant& variant = found[id][frame.function_entry.value];
    if (frame.virtual_count == 1) {
      variant.own.push_back(i);
    } else if (name_of(0) == name) {
      variant.inlined.insert(plan.sites[i].address.value);
    }
  }
  return found;
}

// The functions through which the variant of that entry may reach another: these, and what stands
// for them in the procedure linkage table (libraries call their own functions by it).
std::set<uint64_t> OthersOf(SymbolModule& module, const Variants& variants, uint64_t entry,
                            const std::vector<CodePart>& parts) {
  std::set<uint64_t> others;
  for (const auto& [other, variant] : variants) {
    if (other != entry && !variant.own.empty()) others.insert(other);
  }
  if (others.empty()) return others;
  const std::string own_name = module.SymbolName(LinkAddress(entry));
  for (const CodePart& part : parts) {
    for (size_t at = 0; at < part.text.size();) {
      const auto flow = probe::ReadControlFlow(std::span(part.text).subspan(at), part.address + at);
      if (flow.length == 0) break;
      at += flow.length;
      const auto target = flow.callee ? flow.callee : flow.target;
      if (!target || others.contains(*target)) continue;
      std::string name = module.SymbolName(LinkAddress(*target));
      if (!name.ends_with(kPlt)) continue;
      name.resize(name.size() - kPlt.size());
      if (name == own_name) others.insert(*target);
    }
  }
  return others;
}

// The names and the lines of a site's frames, innermost first.
struct Chain {
  std::vector<std::pair<std::string_view, uint32_t>> frames;

  Chain(const PlanUnit& unit, const FramePlan& frame) {
    for (uint32_t i = 0; i < frame.virtual_count; ++i) {
      const VirtualFrame& one = unit.virtual_frames[frame.first_virtual + i];
      frames.emplace_back(unit.strings[one.function], one.line);
    }
  }
  // Whether the other's innermost function is inlined in this one's, and both have one name.
  bool HasVariant(const Chain& other) const {
    if (other.frames.size() != frames.size() + 1) return false;
    for (size_t i = 1; i < frames.size(); ++i) {
      if (frames[i] != other.frames[i + 1]) return false;
    }
    return other.frames[0].first == frames[0].first && other.frames[1].first == frames[0].first;
  }
};

// The sites of variants that are inlined and have another one inlined in them.
void AddInlinedCallers(SymbolModule& module, const ProbePlan& plan, std::set<size_t>& dropped) {
  std::map<uint64_t, std::vector<std::pair<size_t, Chain>>> sites;  // by the function's entry
  for (size_t i = 0; i < plan.sites.size(); ++i) {
    const FramePlan& frame = plan.unit.frames[plan.sites[i].frame];
    if (frame.virtual_count < 2 || frame.function_entry.value == 0) continue;
    Chain chain(plan.unit, frame);
    if (!IsConstructorOrDestructor(chain.frames[0].first)) continue;
    sites[frame.function_entry.value].emplace_back(i, std::move(chain));
  }
  for (const auto& [entry, inlined] : sites) {
    std::vector<CodePart> parts;
    for (const auto& [i, chain] : inlined) {
      std::set<uint64_t> variants;
      for (const auto& [other, inner] : inlined) {
        if (chain.HasVariant(inner)) variants.insert(plan.sites[other].address.value);
      }
      if (variants.empty()) continue;
      if (parts.empty()) parts = ReadCodeParts(module, LinkAddress(entry));
      if (IsNextToOneOf(parts, entry, plan.sites[i].address.value, variants)) dropped.insert(i);
    }
  }
}

}  // namespace

bool IsNextToOneOf(std::span<const CodePart> parts, uint64_t entry, uint64_t site,
                   const std::set<uint64_t>& others) {
  CodeGraph graph;
  if (others.contains(site) || !graph.Build(parts, entry)) return false;
  const uint32_t node = graph.Find(site);
  if (node == CodeGraph::kNone) return false;
  // Ways behind the site that come by none of the others: to its next run, or out of the function.
  bool comes_back = false, leaves = false;
  std::set<uint32_t> seen;
  std::vector<uint32_t> open = {node};
  const auto follow = [&](const auto& visit) {
    while (!open.empty()) {
      const CodeGraph::Node& from = graph.nodes()[open.back()];
      open.pop_back();
      if (others.contains(from.address)) continue;
      bool goes_on = false;
      for (const uint32_t next : from.next) {
        if (next == CodeGraph::kNone) continue;
        goes_on = true;
        visit(next);
        if (seen.insert(next).second) open.push_back(next);
      }
      leaves = leaves || !goes_on || from.anywhere || from.leaves;
      comes_back = comes_back || from.anywhere;
    }
  };
  follow([&](uint32_t next) { comes_back = comes_back || next == node; });
  if (!comes_back && !leaves) return true;
  if (comes_back) return false;
  // And from the function's beginnings to the site.
  bool reached = false;
  seen.clear();
  for (const uint32_t begin : graph.entries()) {
    reached = reached || begin == node;
    if (seen.insert(begin).second) open.push_back(begin);
  }
  follow([&](uint32_t next) { reached = reached || next == node; });
  return !reached;
}

bool AlwaysCalls(std::span<const CodePart> parts, uint64_t entry,
                 const std::set<uint64_t>& functions, const std::set<uint64_t>& inlined) {
  CodeGraph graph;
  if (!graph.Build(parts, entry)) return false;
  std::set<uint32_t> seen;
  std::vector<uint32_t> open = {graph.Find(entry)};
  while (!open.empty()) {
    const CodeGraph::Node& node = graph.nodes()[open.back()];
    open.pop_back();
    if (inlined.contains(node.address)) continue;
    if (node.other && functions.contains(*node.other)) continue;
    if (node.anywhere || node.leaves) return false;
    bool goes_on = false;
    for (const uint32_t next : node.next) {
      if (next == CodeGraph::kNone) continue;
      goes_on = true;
      if (seen.insert(next).second) open.push_back(next);
    }
    if (!goes_on) return false;
  }
  return true;
}

void DropCallersOfVariants(SymbolModule& module, ProbePlan& plan) {
  std::set<size_t> dropped;
  AddInlinedCallers(module, plan, dropped);
  for (const auto& [name, variants] : FindVariants(plan)) {
    for (const auto& [entry, variant] : variants) {
      if (variant.own.empty() || (variants.size() < 2 && variant.inlined.empty())) continue;
      const std::vector<CodePart> parts = ReadCodeParts(module, LinkAddress(entry));
      const std::set<uint64_t> others = OthersOf(module, variants, entry, parts);
      if (!AlwaysCalls(parts, entry, others, variant.inlined)) continue;
      dropped.insert(variant.own.begin(), variant.own.end());
    }
  }
  if (dropped.empty()) return;
  std::vector<SitePlan> kept;
  for (size_t i = 0; i < plan.sites.size(); ++i) {
    if (!dropped.contains(i)) kept.push_back(plan.sites[i]);
  }
  plan.sites = std::move(kept);
}

}  // namespace stillframe::agent
