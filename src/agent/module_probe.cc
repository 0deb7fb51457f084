#include "agent/module_probe.h"

#include <algorithm>

#include "agent/log_message.h"
#include "agent/scope_plan.h"
#include "base/log.h"

namespace stillframe::agent {
namespace {

bool UsesX87(const PlanUnit& unit) {
  const auto is_x87 = [](LocationKind kind, uint8_t reg) {
    return kind == LocationKind::kXmm && reg >= kX87Result;
  };
  return std::any_of(unit.variables.begin(), unit.variables.end(),
                     [&](const Variable& variable) {
                       return is_x87(variable.location.kind, variable.location.reg);
                     }) ||
         std::any_of(unit.pieces.begin(), unit.pieces.end(),
                     [&](const Piece& piece) { return is_x87(piece.kind, piece.reg); });
}

}  // namespace

ModuleProbe::ModuleProbe(std::string tracepoint_id, uint64_t probe_id, ProbePlan plan,
                         std::vector<hit::MeasureSite> measure, const SpanRole& span,
                         const LoadedModule& module, const model::TracepointSpec& spec,
                         uint64_t ticks_per_second)
    : tracepoint_id_(std::move(tracepoint_id)),
      plan_(std::move(plan)),
      measure_(std::move(measure)),
      module_(module),
      arrays_(plan_.unit) {
  runtime_.probe_id = probe_id;
  runtime_.unit = arrays_.view();
  runtime_.sites = plan_.sites.data();
  runtime_.load_bias = module_.bias.value;
  runtime_.tls_module = module_.tls_module;
  runtime_.uses_facts = std::any_of(plan_.unit.code.begin(), plan_.unit.code.end(),
                                    [](const Insn& insn) { return insn.op == Op::kFact; });
  runtime_.last_words = plan_.last_words || plan_.fatal_signals != 0;
  runtime_.uses_x87 = UsesX87(plan_.unit);
  runtime_.limits = plan_.limits;
  const model::Limits& limits = spec.limits;
  allow_trap_ = spec.allow_trap;
  if (spec.kind == model::Kind::kCounter) runtime_.action = hit::Action::kCount;
  if (auto log = ReadLogTemplate(spec); spec.kind == model::Kind::kLog && log.ok()) {
    log_ = std::move(*log);
  }
  if (spec.kind == model::Kind::kLog && hit::HasStreams() && light_.Make(plan_)) {
    runtime_.action = hit::Action::kLog;
    runtime_.light = light_.sites().data();
  }
  if (spec.kind == model::Kind::kDistribution) {
    runtime_.MakeDistribution();  // Arm looks whether it could
    runtime_.action = hit::Action::kMeasure;
    runtime_.measure = measure_.data();
  }
  if (spec.kind == model::Kind::kSpan) {
    runtime_.action = span.ends ? hit::Action::kEndSpan : hit::Action::kBeginSpan;
    runtime_.span = span.id;
    runtime_.span_any_frame = span.any_frame;
    if (span.ends && hit::HasStreams() && light_.MakeSpan(plan_)) {
      runtime_.light = light_.sites().data();
    }
  }
  if (spec.kind == model::Kind::kSnapshot && !spec.location.exception.empty()) {
    lacks_throws_ = !runtime_.MakeThrows();
  }
  // A span that began in its scope may end after it.
  if (!span.ends && MakeScope(spec.selector, scope_)) runtime_.scope = &scope_;
  if (spec.dry_run) {
    CountOnly();
    return;
  }
  runtime_.per_trace = limits.per_trace;
  runtime_.max_hits = limits.max_hits;
  runtime_.captures_left.store(limits.max_hits, std::memory_order_relaxed);
  runtime_.ticks_per_permit =
      limits.per_second > 0
          ? static_cast<uint64_t>(static_cast<double>(ticks_per_second) / limits.per_second)
          : 0;
}

void ModuleProbe::UseStash(const EntryStash& stash) {
  runtime_.stashed = stash.functions().data();
  runtime_.stashed_count = static_cast<uint32_t>(stash.functions().size());
  for (size_t i = 0; i < plan_.sites.size(); ++i) {
    runtime_.asks_stash = runtime_.asks_stash || AsksAtOnce(plan_, measure_, i);
  }
}

void ModuleProbe::CountOnly() {
  runtime_.action = hit::Action::kCount;
  runtime_.max_hits = 0;
  runtime_.ticks_per_permit = 0;
}

void ModuleProbe::Arm(SiteTable& table) {
  const bool lacks_distribution =
      runtime_.action == hit::Action::kMeasure && runtime_.distribution == nullptr;
  if (runtime_.shards == nullptr || lacks_distribution || lacks_throws_) {
    refusal_ = Status(Code::kOverLimit, "there is no memory for its counters");
    return;
  }
  if (plan_.fatal_signals != 0) return ArmSignals();
  std::vector<SiteTable::Addition> additions;
  for (uint32_t i = 0; i < plan_.sites.size(); ++i) {
    const RuntimeAddress address = module_.bias.ToRuntime(plan_.sites[i].address);
    additions.push_back({address, hit::SiteProbe{&runtime_, i}});
  }
  // Noted before they are armed: if memory runs out in the midst of it, all are taken out again.
  for (const SiteTable::Addition& addition : additions) armed_.push_back(addition.address);
  const auto methods = table.AddAll(additions, module_, allow_trap_);
  armed_.clear();
  for (uint32_t i = 0; i < plan_.sites.size(); ++i) {
    const SitePlan& site = plan_.sites[i];
    model::SiteStatus status{.module = module_.FileName(),
                             .build_id = module_.build_id,
                             .function = plan_.unit.strings[site.function],
                             .address = site.address.value,
                             .method = "",
                             .reason = ""};
    const auto& method = methods[i];
    if (method.ok()) {
      armed_.push_back(additions[i].address);
      status.method = probe::MethodName(*method);
    } else {
      if (refusal_.ok()) refusal_ = method.status();
      status.reason = method.status().ToString();
    }
    sites_.push_back(std::move(status));
  }
}

bool ModuleProbe::DropTraps(SiteTable& table, const Status& why) {
  std::vector<RuntimeAddress> traps;
  for (model::SiteStatus& site : sites_) {
    if (site.method != probe::MethodName(probe::Method::kTrap)) continue;
    traps.push_back(module_.bias.ToRuntime(LinkAddress(site.address)));
    site.method.clear();
    site.reason = why.ToString();
  }
  if (traps.empty()) return false;
  refusal_ = why;
  for (const Status& status : table.RemoveAll(traps, module_, &runtime_)) {
    LogError("taking a trap out: " + status.ToString());
  }
  std::erase_if(armed_, [&traps](RuntimeAddress address) {
    return std::find(traps.begin(), traps.end(), address) != traps.end();
  });
  return true;
}

void ModuleProbe::Pause(SiteTable& table) {
  if (plan_.fatal_signals != 0) return;  // they are rare
  for (uint32_t i = 0; i < plan_.sites.size(); ++i) {
    const RuntimeAddress address = module_.bias.ToRuntime(plan_.sites[i].address);
    if (std::find(armed_.begin(), armed_.end(), address) == armed_.end()) continue;
    paused_.push_back({address, hit::SiteProbe{&runtime_, i}});
  }
  Disarm(table);
}

void ModuleProbe::Resume(SiteTable& table) {
  const auto methods = table.AddAll(paused_, module_, allow_trap_);
  for (size_t i = 0; i < paused_.size(); ++i) {
    if (methods[i].ok()) {
      armed_.push_back(paused_[i].address);
    } else {
      LogError("a site stays out after a pause: " + methods[i].status().ToString());
    }
  }
  paused_.clear();
}

void ModuleProbe::ArmSignals() {
  const Status status = hit::AddFatalProbe(&runtime_, plan_.fatal_signals);
  refusal_ = status;
  if (status.ok()) armed_.emplace_back();  // no address: a signal has none
  sites_.push_back({.module = module_.FileName(),
                    .build_id = module_.build_id,
                    .function = plan_.unit.strings[plan_.sites[0].function],
                    .address = 0,
                    .method = status.ok() ? "SIGNAL_HANDLER" : "",
                    .reason = status.ok() ? "" : status.ToString()});
}

void ModuleProbe::Disarm(SiteTable& table) {
  if (plan_.fatal_signals != 0) {
    hit::RemoveFatalProbe(&runtime_);
    armed_.clear();
    return;
  }
  for (const Status& status : table.RemoveAll(armed_, module_, &runtime_)) {
    LogError("taking a probe out: " + status.ToString());
  }
  armed_.clear();
}

}  // namespace stillframe::agent
