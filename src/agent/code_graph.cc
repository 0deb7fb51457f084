#include "agent/code_graph.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace stillframe::agent {
namespace {

constexpr uint64_t kMaxFunctionBytes = 1 << 20;

// Demangled, without "@plt".
bool NeverReturns(std::string_view name) {
  constexpr std::array<std::string_view, 16> kNames{
      "_Unwind_Resume",
      "__cxa_throw",
      "__cxa_rethrow",
      "__cxa_bad_cast",
      "__cxa_bad_typeid",
      "__cxa_throw_bad_array_new_length",
      "__cxa_throw_bad_array_length",
      "__cxa_call_unexpected",
      "__clang_call_terminate",
      "std::terminate()",
      "std::rethrow_exception(std::__exception_ptr::exception_ptr)",
      "abort",
      "exit",
      "_exit",
      "__assert_fail",
      "__stack_chk_fail"};
  return name.starts_with("std::__throw_") ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

}  // namespace

std::set<uint64_t> FindCalledWithoutReturn(SymbolModule& module, std::span<const CodePart> parts) {
  constexpr std::string_view kPlt = "@plt";
  std::map<uint64_t, bool> callees;
  for (const CodePart& part : parts) {
    for (size_t at = 0; at < part.text.size();) {
      const auto flow = probe::ReadControlFlow(std::span(part.text).subspan(at), part.address + at);
      if (flow.length == 0) break;
      at += flow.length;
      if (!flow.callee) continue;
      const auto [callee, is_new] = callees.try_emplace(*flow.callee, false);
      if (!is_new) continue;
      std::string name = module.SymbolName(LinkAddress(*flow.callee));
      if (name.ends_with(kPlt)) name.resize(name.size() - kPlt.size());
      callee->second = NeverReturns(name);
    }
  }
  std::set<uint64_t> found;
  for (const auto& [callee, never] : callees) {
    if (never) found.insert(callee);
  }
  return found;
}

std::vector<CodePart> ReadCodeParts(SymbolModule& module, LinkAddress site) {
  std::vector<CodePart> parts;
  uint64_t size_bytes = 0;
  for (const auto& [begin, end] : module.FunctionParts(site)) {
    const auto wanted = static_cast<uint64_t>(end - begin);
    size_bytes += wanted;
    if (size_bytes > kMaxFunctionBytes) return {};
    parts.push_back({begin.value, module.ReadCode(begin, static_cast<uint32_t>(wanted))});
    if (parts.back().text.size() != wanted) return {};
  }
  return parts;
}

bool CodeGraph::Build(std::span<const CodePart> parts, uint64_t entry,
                      const std::set<uint64_t>& without_return) {
  for (const CodePart& part : parts) {
    if (!Decode(part)) return false;
  }
  std::vector<bool> has_way(nodes_.size(), false);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (flows_[i].callee) nodes_[i].other = flows_[i].callee;
    if (!flows_[i].target) continue;
    const uint32_t target = nodes_[i].next[1] = Find(*flows_[i].target);
    nodes_[i].leaves = target == kNone;
    if (target == kNone) {
      nodes_[i].other = flows_[i].target;
      continue;
    }
    has_way[target] = true;
    targets_.push_back(target);
  }
  // Where no way leads that can be seen begin landing pads, cases of a jump table, or what only
  // fills the room up to the next target.
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (!has_way[i] && flows_[i].is_filler) continue;
    if (!has_way[i]) entries_.push_back(i);
    const bool returns = !flows_[i].callee || !without_return.contains(*flows_[i].callee);
    const bool goes_on = flows_[i].goes_on && returns && i + 1 < nodes_.size() &&
                         nodes_[i + 1].address == nodes_[i].address + flows_[i].length;
    if (!goes_on) continue;
    nodes_[i].next[0] = i + 1;
    has_way[i + 1] = true;
  }
  entries_.push_back(Find(entry));
  targets_.insert(targets_.end(), entries_.begin(), entries_.end());
  return entries_.back() != kNone;
}

std::vector<bool> CodeGraph::Reached(const std::set<uint32_t>& nodes) const {
  std::vector<bool> reached(nodes_.size(), false);
  std::vector<uint32_t> open(nodes.begin(), nodes.end());
  const auto reach = [&](uint32_t node) {
    if (node != kNone && !reached[node]) open.push_back(node);
  };
  while (!open.empty()) {
    const uint32_t node = open.back();
    open.pop_back();
    if (node == kNone || reached[node]) continue;
    reached[node] = true;
    for (const uint32_t next : nodes_[node].next) reach(next);
    if (!nodes_[node].anywhere) continue;
    for (const uint32_t target : targets_) reach(target);
  }
  return reached;
}

bool CodeGraph::Decode(const CodePart& part) {
  for (size_t at = 0; at < part.text.size();) {
    const uint64_t address = part.address + at;
    const auto flow = probe::ReadControlFlow(std::span(part.text).subspan(at), address);
    if (flow.length == 0) return false;
    index_[address] = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({address, flow.anywhere, {kNone, kNone}, false, flow.is_call, std::nullopt});
    flows_.push_back(flow);
    at += flow.length;
  }
  return !part.text.empty();
}

}  // namespace stillframe::agent
