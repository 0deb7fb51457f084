#include "agent/entry_stash.h"

#include <algorithm>
#include <optional>

#include "agent/probe/plain_code.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

constexpr size_t kMaxCandidates = 4;
constexpr uint32_t kLongestInstruction = 15;
constexpr int64_t kMaxPartBytes = 1 << 20;

uint64_t g_next_id = 1;  // agent thread; an id is never used again

uint32_t CellsOf(const PlanUnit& unit, const Program& program) {
  uint32_t cells = 0;
  for (uint32_t i = 0; i < program.count; ++i) {
    const Insn& insn = unit.code[program.first + i];
    if (insn.op == Op::kEntryValue) cells |= uint32_t{1} << insn.a;
  }
  return cells;
}

uint32_t CellsOf(const PlanUnit& unit, const Variable& variable) {
  const Location& location = variable.location;
  uint32_t cells = CellsOf(unit, location.program) | CellsOf(unit, variable.filter);
  for (uint32_t i = 0; i < variable.extent_count; ++i) {
    cells |= CellsOf(unit, unit.extents[variable.first_extent + i]);
  }
  for (uint32_t i = 0; i < location.piece_count; ++i) {
    cells |= CellsOf(unit, unit.pieces[location.first_piece + i].program);
  }
  return cells;
}

uint32_t CellsOf(const PlanUnit& unit, uint32_t first, uint32_t count) {
  uint32_t cells = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const Variable& variable = unit.variables[first + i];
    if ((variable.flags & kVariableRedacted) == 0) cells |= CellsOf(unit, variable);
  }
  return cells;
}

Status Refuse(const std::string& why) { return Status(Code::kUnsafeSite, why); }

// How the frame is found at an instruction; nullopt: not by a register and an offset.
std::optional<std::pair<uint8_t, int32_t>> CfaAt(const LoadedModule& module, LinkAddress address) {
  std::pair<uint8_t, int32_t> rule;
  if (!hit::SimpleCfaAt(module.bias.ToRuntime(address).value, rule.first, rule.second)) {
    return std::nullopt;
  }
  return rule;
}

// A loop may begin at the function's first instruction: its later rounds are no entries, but a
// probe there would take them for some. A direct jump is plain to see. An indirect one (a switch,
// threaded code) cannot go to where the frame is found in another way than where it stands. Tail
// calls that the debug information names are entries.
Status CheckBackJumps(SymbolModule& symbols, const LoadedModule& module, LinkAddress entry,
                      LinkAddress probed) {
  const auto tail_jumps = symbols.TailJumps(entry);
  const auto is_tail_call = [&tail_jumps](const probe::BackJump& jump) {
    return std::any_of(tail_jumps.begin(), tail_jumps.end(), [&jump](const auto& known) {
      return known.at.value != 0 ? known.at.value == jump.address : known.after.value == jump.next;
    });
  };
  for (const auto& [begin, end] : symbols.FunctionParts(entry)) {
    if (end - begin > kMaxPartBytes) return Refuse("it is too large to be searched for loops");
    const auto text = symbols.ReadCode(begin, static_cast<uint32_t>(end - begin));
    const auto jumps = static_cast<int64_t>(text.size()) != end - begin
                           ? std::nullopt
                           : probe::FindBackJumps(text, begin.value, entry.value, probed.value);
    if (!jumps) return Refuse("its code is not understood");
    for (const probe::BackJump& jump : *jumps) {
      if (is_tail_call(jump)) continue;
      const auto here = CfaAt(module, LinkAddress(jump.address));
      bool may_go_back = jump.is_direct || !here;
      for (LinkAddress at = entry; at <= probed && !may_go_back; at = at + 1) {
        may_go_back = CfaAt(module, at) == here;
      }
      if (may_go_back) return Refuse("a loop in it may begin at its entry");
    }
  }
  return Status();
}

}  // namespace

std::map<LinkAddress, uint32_t> WantedEntries(const ProbePlan& plan, bool captures_frames) {
  constexpr uint32_t kStashable = (1u << kStashCells) - 1;
  const PlanUnit& unit = plan.unit;
  std::map<LinkAddress, uint32_t> wanted;
  for (const SitePlan& site : plan.sites) {
    const FramePlan& frame = unit.frames[site.frame];
    uint32_t cells =
        CellsOf(unit, site.condition) | CellsOf(unit, site.first_expression, site.expression_count);
    for (uint32_t i = 0; captures_frames && i < frame.virtual_count; ++i) {
      const VirtualFrame& source = unit.virtual_frames[frame.first_virtual + i];
      cells |= CellsOf(unit, source.first_variable, source.variable_count);
    }
    cells &= kStashable;
    if (cells != 0 && frame.function_entry.value != 0) wanted[frame.function_entry] |= cells;
  }
  return wanted;
}

bool AsksAtOnce(const ProbePlan& plan, const std::vector<hit::MeasureSite>& measure, size_t site) {
  return HasEntryValue(plan.unit, plan.sites[site].condition) ||
         (site < measure.size() && HasEntryValue(plan.unit, measure[site].program));
}

void EntryStash::Choose(const Function& function, Place& place, hit::StashedFunction& out) {
  out.entry = function.module->bias.ToRuntime(function.entry).value;
  out.cells = function.cells;
  place.module = *function.module;
  place.is_caller = function.is_caller;
  // psABI §3.2.2: a function begins with its return address at the top of the stack. So does no
  // other part of it that has a frame, should the debug information take one for the beginning.
  constexpr std::pair<uint8_t, int32_t> kAtEntry{7, 8};
  place.refusal = Refuse("no unwind rule says that it begins there");
  if (CfaAt(place.module, function.entry) != kAtEntry) return;
  for (LinkAddress at = function.entry; place.candidates.size() < kMaxCandidates;) {
    if (!CfaAt(place.module, at)) return;
    const Status status = CheckBackJumps(*function.symbols, place.module, function.entry, at);
    if (!status.ok()) {
      if (place.candidates.empty()) place.refusal = status;
      return;
    }
    place.candidates.push_back(at);
    const uint32_t length =
        probe::EntryInstructionBytes(function.symbols->ReadCode(at, kLongestInstruction));
    if (length == 0) return;
    at = at + length;
  }
}

void EntryStash::TryAll(size_t which, SiteTable& table) {
  // In groups of one module.
  std::vector<bool> done(places_.size());
  for (size_t first = 0; first < places_.size(); ++first) {
    if (done[first]) continue;
    std::vector<SiteTable::Addition> additions;
    std::vector<size_t> indices;
    for (size_t i = first; i < places_.size(); ++i) {
      Place& place = places_[i];
      if (done[i] || place.module.start != places_[first].module.start) continue;
      done[i] = true;
      if (place.probed.value != 0 || which >= place.candidates.size()) continue;
      const LinkAddress at = place.candidates[which];
      const auto cfa = CfaAt(place.module, at);
      if (!cfa) continue;
      // Hits read these as soon as the probe is in the text; after a pause they stay as they are.
      if (functions_[i].probed != place.module.bias.ToRuntime(at).value) {
        functions_[i].probed = place.module.bias.ToRuntime(at).value;
        functions_[i].cfa_register = cfa->first;
        functions_[i].cfa_offset = cfa->second;
      }
      additions.push_back(
          {place.module.bias.ToRuntime(at), hit::SiteProbe{&runtime_, static_cast<uint32_t>(i)}});
      indices.push_back(i);
    }
    const auto methods = table.AddAll(additions, places_[first].module, false);
    for (size_t k = 0; k < indices.size(); ++k) {
      Place& place = places_[indices[k]];
      if (methods[k].ok()) {
        place.probed = additions[k].address;
        place.candidates = {place.candidates[which]};
      }
      place.refusal = methods[k].status();
    }
  }
}

void EntryStash::Arm(const std::vector<Function>& functions, SiteTable& table) {
  if (runtime_.shards == nullptr) return;
  functions_ = std::vector<hit::StashedFunction>(functions.size());
  places_ = std::vector<Place>(functions.size());
  sites_ = std::vector<SitePlan>(functions.size());
  runtime_.action = hit::Action::kStash;
  runtime_.sites = sites_.data();
  runtime_.stashed = functions_.data();
  runtime_.stashed_count = static_cast<uint32_t>(functions_.size());
  for (size_t i = 0; i < functions.size(); ++i) Choose(functions[i], places_[i], functions_[i]);
  for (size_t which = 0; which < kMaxCandidates; ++which) TryAll(which, table);
  SetInForce();
  for (size_t i = 0; i < functions.size(); ++i) {
    if (places_[i].refusal.ok() || functions[i].is_caller) continue;
    note_ += (note_.empty() ? "arguments are not stashed at the entry of " : "; of ") +
             functions[i].symbols->SymbolName(functions[i].entry) + ": " +
             places_[i].refusal.message();
  }
  if (!note_.empty()) LogDebug(note_);
}

// The ids last: calls that begin before that leave nothing, and calls after it all do.
void EntryStash::SetInForce() {
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].probed.value == 0) continue;
    functions_[i].absent.store(Code::kEntryNotStashed, std::memory_order_relaxed);
    functions_[i].id.store(g_next_id++, std::memory_order_release);
    armed_ = true;
  }
}

// First the id: what is stashed no longer can be relied on.
void EntryStash::TakeOut(size_t index, SiteTable& table) {
  functions_[index].id.store(0, std::memory_order_release);
  Place& place = places_[index];
  if (place.probed.value == 0) return;
  const RuntimeAddress probed = place.probed;
  place.probed = RuntimeAddress();
  for (const Status& status : table.RemoveAll({&probed, 1}, place.module, &runtime_)) {
    LogError("taking a probe out: " + status.ToString());
  }
}

void EntryStash::Disarm(SiteTable& table) {
  armed_ = false;
  for (size_t i = 0; i < places_.size(); ++i) TakeOut(i, table);
}

bool EntryStash::GiveUpCallers(SiteTable& table) {
  bool had_some = false;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (!places_[i].is_caller || places_[i].probed.value == 0) continue;
    had_some = true;
    functions_[i].absent.store(Code::kOverBudget, std::memory_order_relaxed);
    TakeOut(i, table);
    places_[i].candidates.clear();
  }
  return had_some;
}

void EntryStash::Resume(SiteTable& table) {
  if (given_up_) return;
  TryAll(0, table);
  SetInForce();
}

void EntryStash::GiveUp(SiteTable& table, const std::string& why) {
  Disarm(table);
  given_up_ = true;
  for (hit::StashedFunction& function : functions_) {
    function.absent.store(Code::kOverBudget, std::memory_order_relaxed);
  }
  note_ = why;
}

void EntryStash::ForgetSites(const LoadedModule& module) {
  for (size_t i = 0; i < places_.size(); ++i) {
    if (!places_[i].module.IsSame(module)) continue;
    functions_[i].id.store(0, std::memory_order_release);
    places_[i].probed = RuntimeAddress();
    places_[i].candidates.clear();
  }
}

Status EntryStash::Covers(RuntimeAddress entry) const {
  for (size_t i = 0; i < functions_.size(); ++i) {
    if (functions_[i].entry == entry.value) return places_[i].refusal;
  }
  return Refuse("there are too many functions");
}

}  // namespace stillframe::agent
