#include "agent/collector.h"

#include <string.h>  // explicit_bzero

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>

#include "agent/decode/light_builder.h"
#include "agent/decode/snapshot_builder.h"
#include "agent/hit/capture.h"
#include "agent/hit/hit.h"
#include "agent/identity.h"
#include "agent/ring/ring.h"
#include "agent/thrown.h"
#include "base/log.h"
#include "model/prune.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kLightAtOnce = 4096;
constexpr uint64_t kLeastSnapshotBytes = 64u << 10;
constexpr uint64_t kTextPerByte = 8;
constexpr size_t kMaxSymbolNames = 1024;

// What decoding left on the stack: saved registers, short texts.
__attribute__((noinline)) void WipeStackBelow() {
  constexpr size_t kBytes = 32u << 10;
  char below[kBytes];
  explicit_bzero(below, sizeof below);
}

}  // namespace

uint32_t Collector::Drain(uint32_t max_records) {
  uint32_t count = 0;
  const size_t callers = store_.callers().size();
  thread_names_.clear();
  ring::Slot slot;
  while (count < max_records && ring::Take(slot)) {
    ++count;
    RecordHeader header;
    std::memcpy(&header, slot.data, sizeof header);
    const uint32_t size = std::min(header.size_bytes, ring::kSlotBytes);
    try {
      Decode({slot.data, size}, header.sequence);
    } catch (const std::bad_alloc&) {
      LoseForMemory(header.probe_id);
    }
    hit::WipeRecord(slot);
    ring::Release(slot);
    drained_ = std::max(drained_, header.sequence);
  }
  count += hit::TakeLightRecords(
      kLightAtOnce,
      [](void* self, std::span<const uint8_t> record) {
        static_cast<Collector*>(self)->DecodeLight(record);
      },
      this, abandoned_);
  if (count > 0) WipeStackBelow();
  // What the decoder compiled for new callers serves the next hit.
  if (count > 0) store_.callers().Publish();
  if (store_.callers().size() != callers) used_symbols_ = true;
  return count;
}

void Collector::LoseForMemory(uint64_t probe_id) {
  const ModuleProbe* probe = store_.FindProbe(probe_id);
  if (probe != nullptr) outbox_.Lost(probe->tracepoint_id(), "noMemory");
  store_.symbolizer().ReleaseMemory();
}

const std::string& Collector::SymbolName(uint64_t address) {
  if (symbol_names_of_ != store_.modules_version() || symbol_names_.size() >= kMaxSymbolNames) {
    symbol_names_.clear();
    symbol_names_of_ = store_.modules_version();
  }
  const auto found = symbol_names_.find(address);
  if (found != symbol_names_.end()) return found->second;
  return symbol_names_.emplace(address, FindSymbolName(address)).first->second;
}

std::string Collector::FindSymbolName(uint64_t address) {
  const LoadedModule* module = FindModule(store_.modules(), RuntimeAddress(address));
  if (module == nullptr) return "";
  used_symbols_ = true;
  auto opened = store_.symbolizer().OpenModule(module->path, module->build_id);
  if (!opened.ok()) return "";
  return (*opened)->SymbolName(module->bias.ToLink(RuntimeAddress(address)));
}

const std::string& Collector::NameOf(uint32_t thread_id) {
  const auto [found, is_new] = thread_names_.try_emplace(thread_id);
  if (is_new) found->second = ThreadName(thread_id);
  return found->second;
}

void Collector::Decode(std::span<const uint8_t> record, uint64_t sequence) {
  RecordHeader header{};
  if (record.size() >= sizeof header) std::memcpy(&header, record.data(), sizeof header);
  const ModuleProbe* probe = store_.FindProbe(header.probe_id);
  if (record.size() < sizeof header || probe == nullptr) {
    ++corrupt_;
    LogError("a record names no probe: thrown away");
    return;
  }
  decode::BuildInput input;
  input.record = record;
  input.plan = &probe->plan();
  input.load_bias = probe->module().bias.value;
  input.tls_module = probe->module().tls_module;
  input.limits = probe->plan().limits;
  input.redaction = redaction_;
  input.resolve_frame = [this](uint64_t pc, bool exact) {
    return store_.callers().Resolve(RuntimeAddress(pc), exact, store_.modules());
  };
  input.ended_between = [this](uint64_t called, uint64_t running) {
    return store_.callers().EndedBetween(RuntimeAddress(called), RuntimeAddress(running),
                                         store_.modules());
  };
  input.symbol_name = [this](uint64_t address) { return SymbolName(address); };
  const std::string& id = probe->tracepoint_id();
  if (!store_.AdmitSnapshot(id)) return;
  if (probe->log() && !logs_.Take(MonotonicNanos())) return outbox_.Lost(id, "logRate");
  std::optional<ProbePlan> place;
  if (header.signal_number != 0) {
    place = PlanOfFault(header.registers.rip, input);
    input.plan = &*place;
  }
  // Nothing moves under a thread that waits for its last words; once it went on, all may.
  input.live = probe->runtime().last_words && hit::IsWaiting(sequence);
  auto snapshot = decode::BuildSnapshot(input);
  if (input.live && !hit::IsWaiting(sequence)) {
    input.live = false;
    snapshot = decode::BuildSnapshot(input);
  }
  if (!snapshot.ok()) {
    ++corrupt_;
    LogError("decoding a record: " + snapshot.status().ToString());
    outbox_.Lost(id, "undecodable");
    return;
  }
  if (probe->log()) MakeLogEvent(*probe->log(), *snapshot, redaction_);
  if (probe->plan().hides_site_frame) NameThrown(*snapshot);
  if (header.signal_number != 0) AddFault(header, *snapshot);
  if (header.fingerprint != 0) snapshot->fingerprint = FingerprintText(header.fingerprint);
  if (probe->runtime().action == hit::Action::kEndSpan) {
    snapshot->kind = model::Kind::kSpan;
    snapshot->duration_nanos = clock_.Nanos(header.span_ticks);
    if (!snapshot->frames.empty()) snapshot->frames.resize(1);
  }
  const bool is_thrown = probe->plan().hides_site_frame && !snapshot->frames.empty();
  if (is_thrown && !store_.MayShow(snapshot->frames[0])) HideThrown(*snapshot);
  for (model::Frame& frame : snapshot->frames) {
    if (frame.variables.empty() || store_.MayShow(frame)) continue;
    frame.variables.clear();
    frame.variables_reason = CodeName(Code::kDeniedByPolicy);
  }
  Describe(*snapshot, id, sequence, header.start_ticks - header.span_ticks);
  snapshot->capture_nanos = static_cast<uint32_t>(
      std::min<uint64_t>(clock_.Nanos(header.end_ticks - header.start_ticks), UINT32_MAX));
  // A byte of memory can be many of text; what is over is cut, never dropped.
  model::Prune(*snapshot, std::max(kLeastSnapshotBytes, kTextPerByte * probe->plan().limits.bytes));
  outbox_.Add(*snapshot);
}

// Of the place where a signal came: every register is known there, as at a probe.
ProbePlan Collector::PlanOfFault(uint64_t pc, decode::BuildInput& input) {
  const LoadedModule* const module = FindModule(store_.modules(), RuntimeAddress(pc));
  std::string function;
  if (module != nullptr) {
    input.load_bias = module->bias.value;
    input.tls_module = module->tls_module;
    auto opened = store_.symbolizer().OpenModule(module->path, module->build_id);
    PlanRequest request;
    request.address = module->bias.ToLink(RuntimeAddress(pc));
    request.limits = input.limits;
    if (opened.ok()) {
      if (auto compiled = (*opened)->Compile(request); compiled.ok()) return std::move(*compiled);
      function = (*opened)->Symbolize(*request.address).front().function;
    }
  }
  ProbePlan plan = PlanOfFunction(std::move(function));
  if (module != nullptr) {
    plan.module_path = module->path;
    plan.build_id = module->build_id;
  }
  return plan;
}

void Collector::Describe(model::Snapshot& snapshot, const std::string& tracepoint_id,
                         uint64_t sequence, uint64_t ticks) {
  snapshot.tracepoint_id = tracepoint_id;
  snapshot.service = identity_.service;
  snapshot.instance = identity_.instance;
  snapshot.id = "sn_" + identity_.instance.substr(0, 8) + identity_.instance.substr(9, 4) + "_" +
                std::to_string(sequence);
  snapshot.sequence = sequence;
  snapshot.time_unix_nanos = clock_.UnixNanos(ticks);
  snapshot.thread_name = NameOf(snapshot.thread_id);
}

void Collector::DecodeLight(std::span<const uint8_t> record) {
  const auto header = decode::ReadLightHeader(record);
  const ModuleProbe* probe = header.ok() ? store_.FindProbe(header->probe_id) : nullptr;
  if (probe == nullptr) {
    ++corrupt_;
    LogError("a light record names no probe: thrown away");
    return;
  }
  const std::string& id = probe->tracepoint_id();
  if (!store_.AdmitSnapshot(id)) return;
  if (probe->log() && !logs_.Take(MonotonicNanos())) return outbox_.Lost(id, "logRate");
  decode::LightInput input;
  input.record = record;
  input.plan = &probe->plan();
  input.sites = probe->light().sites();
  input.redaction = redaction_;
  input.symbol_name = [this](uint64_t address) { return SymbolName(address); };
  const auto span_ticks = decode::ReadSpanTicks(input, *header);
  auto snapshot = span_ticks.ok() ? decode::BuildLightSnapshot(input) : span_ticks.status();
  if (!snapshot.ok()) {
    ++corrupt_;
    LogError("decoding a light record: " + snapshot.status().ToString());
    outbox_.Lost(id, "undecodable");
    return;
  }
  if (probe->log()) MakeLogEvent(*probe->log(), *snapshot, redaction_);
  if (*span_ticks) {
    snapshot->kind = model::Kind::kSpan;
    snapshot->duration_nanos = clock_.Nanos(**span_ticks);
  }
  Describe(*snapshot, id, durable::kFirstLightSequence + ++light_sequence_,
           header->ticks - span_ticks->value_or(0));
  if (durable_ != nullptr) durable_->NextIsLight(header->ticks);
  outbox_.Add(*snapshot);
}

}  // namespace stillframe::agent
