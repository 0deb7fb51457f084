// Of a dead process: its files, who it was, what its records mean.
#include "agent/durable/dead_process.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/durable/dead_process_impl.h"
#include "agent/durable/files.h"
#include "agent/durable/journal.h"
#include "agent/log_message.h"
#include "model/redaction.h"
#include "model/snapshot_codec.h"
#include "plan/plan_codec.h"

namespace stillframe::durable {
namespace {

constexpr uint64_t kMaxRingBytes = 64u << 20;
constexpr uint64_t kMaxJournalBytes = 256u << 20;
constexpr size_t kMaxProblems = 100;

template <typename T>
bool Parse(std::string_view payload, T& entry) {
  ArchiveReader reader(payload);
  reader(entry);
  return reader.ok() && reader.empty();
}

// Whether the process of the header may still write. Its lock is free, but that of a process that
// shares its descriptors may have been closed by anybody.
bool MayLive(const ring::RingFileHeader& header) {
  return header.shares_descriptors != 0 && header.pid != static_cast<uint32_t>(getpid()) &&
         header.pid_namespace == PidNamespace() && header.start_time != 0 &&
         StartTimeOf(header.pid) == header.start_time;
}

}  // namespace

bool StoredRedaction::RedactsName(std::string_view name) const { return policy_.RedactsName(name); }
bool StoredRedaction::RedactsType(std::string_view type) const { return policy_.RedactsType(type); }
bool StoredRedaction::RedactsValue(std::string_view text, bool cut) const {
  return model::RedactsValue(text, cut) || policy_.RedactsValue(text);
}

DeadProcess::DeadProcess() = default;
DeadProcess::~DeadProcess() = default;

Result<std::unique_ptr<DeadProcess>> DeadProcess::Open(const std::string& path,
                                                       std::vector<std::string> debug_path) {
  SF_ASSIGN_OR_RETURN(UniqueFd ring_fd, OpenFile(path + kRingSuffix));
  if (flock(ring_fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Status(Code::kUnavailable, path + " is of a living process");
    return ErrnoStatus(path, errno);
  }
  SF_ASSIGN_OR_RETURN(std::string ring, ReadAll(ring_fd.get(), kMaxRingBytes));
  ring::RingFileHeader header{};
  std::memcpy(&header, ring.data(), std::min(ring.size(), sizeof header));
  if (MayLive(header)) return Status(Code::kUnavailable, path + " is of a living process");
  std::string plans, outbox;
  const auto read = [&path](const char* suffix, std::string& out) -> Status {
    SF_ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path + suffix));
    SF_ASSIGN_OR_RETURN(out, ReadAll(fd.get(), kMaxJournalBytes));
    return {};
  };
  if (const Status status = read(kPlansSuffix, plans); !status.ok()) {
    return Status(Code::kCorrupt, "nothing says what is in " + path + ": " + status.ToString());
  }
  const Status has_outbox = read(kOutboxSuffix, outbox);
  SF_ASSIGN_OR_RETURN(auto dead, FromBytes(std::move(ring), plans, outbox));
  if (!has_outbox.ok()) dead->Problem(has_outbox.ToString());
  dead->path_ = path;
  dead->ring_fd_ = std::move(ring_fd);
  dead->symbolizer_ = Symbolizer::Create(
      {.debug_path = std::move(debug_path), .redaction = &dead->redaction_, .formatters = nullptr});
  return dead;
}

Result<std::unique_ptr<DeadProcess>> DeadProcess::FromBytes(std::string ring,
                                                            std::string_view plans,
                                                            std::string_view outbox) {
  std::unique_ptr<DeadProcess> dead(new DeadProcess());  // NOLINT: the constructor is private
  dead->ring_ = std::move(ring);
  SF_RETURN_IF_ERROR(dead->ReadHeader());
  SF_RETURN_IF_ERROR(dead->ReadPlans(plans));
  dead->ReadMirror();
  dead->ReadOutbox(outbox);
  dead->FindRecords();
  return dead;
}

void DeadProcess::Problem(std::string text) {
  if (problems_.size() < kMaxProblems) problems_.push_back(std::move(text));
}

Status DeadProcess::ReadHeader() {
  ring::RingFileHeader header;
  if (ring_.size() < sizeof header) return {Code::kCorrupt, "the file is shorter than its header"};
  std::memcpy(&header, ring_.data(), sizeof header);
  if (std::memcmp(header.magic, ring::kRingFileMagic, sizeof header.magic) != 0) {
    return {Code::kCorrupt, "the file is no ring"};
  }
  if (header.version != ring::kRingFileVersion) {
    return {Code::kUnsupported, "the ring's version is " + std::to_string(header.version) +
                                    ", not " + std::to_string(ring::kRingFileVersion)};
  }
  if (header.checksum != ring::HeaderChecksum(header)) {
    return {Code::kCorrupt, "the ring's header is damaged"};
  }
  if (header.slot_count != ring::kSlotCount || header.slot_bytes != ring::kSlotBytes ||
      header.stream_count != ring::kFileStreams || header.stream_bytes != ring::kStreamBytes ||
      header.stream_stride != ring::kStreamStride || header.size_bytes != ring::kRingFileBytes) {
    return {Code::kUnsupported, "the ring has another layout"};
  }
  if (ring_.size() != ring::kRingFileBytes) return {Code::kCorrupt, "the ring is cut off"};
  return {};
}

Status DeadProcess::ReadPlans(std::string_view plans) {
  bool known = false;
  Status status;
  const bool whole = ReadJournal(plans, [&](uint32_t type, std::string_view payload) {
    if (type == kProcessEntry) {
      ProcessEntry entry;
      if (!Parse(payload, entry)) {
        status = Status(Code::kCorrupt, "the process's entry is damaged");
      } else if (entry.format != ProcessEntry().format) {
        status =
            Status(Code::kUnsupported, "the entries' format is " + std::to_string(entry.format));
      } else {
        process_ = std::move(entry);
        process_.policy.MakeNameList();
        known = true;
      }
    } else if (!known) {
      status = Status(Code::kCorrupt, "the file of plans does not begin with the process");
    } else if (type == kModulesEntry) {
      std::vector<agent::LoadedModule> modules;
      if (Parse(payload, modules)) modules_ = std::move(modules);
    } else if (type == kProbeEntry) {
      AddProbe(payload);
    } else if (type == kCallerEntry) {
      AddCaller(payload);
    }
    return status.ok();
  });
  SF_RETURN_IF_ERROR(status);
  if (!known) return {Code::kCorrupt, "nothing says whose ring it is"};
  if (!whole) Problem("the file of plans ends in an entry that is torn or damaged");
  return {};
}

void DeadProcess::AddProbe(std::string_view payload) {
  auto probe = std::make_unique<Probe>();
  if (!Parse(payload, probe->entry)) return Problem("a probe's entry is damaged");
  const std::string name = "tracepoint " + probe->entry.tracepoint_id;
  if (probe->entry.role > ProbeRole::kLightSpan) return Problem(name + ": unknown kind of probe");
  auto plan = DecodePlan(probe->entry.plan);
  if (!plan.ok()) return Problem(name + ": " + plan.status().ToString());
  probe->plan = std::move(*plan);
  probe->entry.plan.clear();
  if (probe->entry.is_log) {
    model::TracepointSpec spec;
    spec.kind = model::Kind::kLog;
    spec.log_message = probe->entry.log_message;
    auto log = agent::ReadLogTemplate(spec);
    if (!log.ok()) return Problem(name + ": " + log.status().ToString());
    probe->log = std::move(*log);
  }
  if (probe->entry.role == ProbeRole::kLight && !probe->light.Make(probe->plan)) {
    return Problem(name + ": its plan makes no log messages");
  }
  if (probe->entry.role == ProbeRole::kLightSpan && !probe->light.MakeSpan(probe->plan)) {
    return Problem(name + ": its plan makes no spans");
  }
  const uint64_t id = probe->entry.probe_id;
  probes_[id] = std::move(probe);
}

void DeadProcess::AddCaller(std::string_view payload) {
  auto caller = std::make_unique<Caller>();
  if (!Parse(payload, caller->entry)) return Problem("a caller's entry is damaged");
  if (!caller->entry.plan.empty()) {
    auto plan = DecodeCallerPlan(caller->entry.plan);
    if (!plan.ok()) return Problem("a caller: " + plan.status().ToString());
    caller->plan = std::move(*plan);
    caller->has_plan = true;
    caller->entry.plan.clear();
  }
  const std::pair key{caller->entry.pc, caller->entry.pc_is_exact};
  callers_[key] = std::move(caller);
}

void DeadProcess::ReadMirror() {
  for (int i = 0; i < 2; ++i) {
    ring::RingMirror mirror;
    std::memcpy(&mirror, ring_.data() + ring::kMirrorOffset + i * sizeof mirror, sizeof mirror);
    if (mirror.probe_count > ring::kMirrorProbes ||
        mirror.checksum != ring::MirrorChecksum(mirror) ||
        mirror.generation <= mirror_.generation) {
      continue;
    }
    mirror_ = mirror;
  }
  if (mirror_.generation == 0) Problem("the times of what was captured are not known");
}

void DeadProcess::AddTotals(std::string_view payload) {
  TotalsEntry entry;
  if (!Parse(payload, entry)) return Problem("the totals are damaged");
  for (const auto& [id, count] : entry.acked) totals_[id].acked = count;
  for (const auto& [key, count] : entry.dropped) totals_[key.first].dropped[key.second] = count;
  last_ = std::move(entry);
}

void DeadProcess::ReadOutbox(std::string_view outbox) {
  const bool whole = ReadJournal(outbox, [this](uint32_t type, std::string_view payload) {
    if (type == kTotalsEntry) {
      AddTotals(payload);
    } else if (type == kSnapshotEntry) {
      SnapshotEntry entry;
      if (!Parse(payload, entry)) {
        Problem("a snapshot's entry is damaged");
        return true;
      }
      auto decoded = model::DecodeSnapshot(entry.snapshot);
      if (!decoded.ok()) {
        Problem("a snapshot: " + decoded.status().ToString());
        return true;
      }
      if (decoded->sequence >= kFirstLightSequence) {
        last_.last_light = std::max(last_.last_light, decoded->sequence);
        last_.last_light_ticks = entry.ticks;
        last_.last_light_thread = decoded->thread_id;
      }
      waiting_[decoded->sequence] = std::move(entry);
    } else if (type == kAckedEntry || type == kDroppedEntry) {
      OutcomeEntry entry;
      if (!Parse(payload, entry)) {
        Problem("what became of a snapshot: its entry is damaged");
        return true;
      }
      Totals& totals = totals_[entry.tracepoint_id];
      type == kAckedEntry ? ++totals.acked : ++totals.dropped[entry.reason];
      if (entry.sequence != 0) done_.insert(entry.sequence);
    }
    return true;
  });
  if (!whole) Problem("the outbox ends in an entry that is torn or damaged");
  for (const uint64_t sequence : done_) waiting_.erase(sequence);
}

Result<const DeadProcess::Probe*> DeadProcess::FindProbe(uint64_t probe_id) const {
  const auto found = probes_.find(probe_id);
  if (found == probes_.end()) return Status(Code::kCorrupt, "a record names no known probe");
  return found->second.get();
}

const agent::LoadedModule* DeadProcess::ModuleAt(uint64_t address) const {
  for (const agent::LoadedModule& module : modules_) {
    if (module.Contains(RuntimeAddress(address))) return &module;
  }
  return nullptr;
}

std::string DeadProcess::SymbolName(uint64_t address) {
  const agent::LoadedModule* const module = ModuleAt(address);
  if (module == nullptr || symbolizer_ == nullptr) return "";
  // Another build of the same path would tell something wrong.
  if (module->build_id.empty()) return "";
  auto opened = symbolizer_->OpenModule(module->path, module->build_id);
  if (!opened.ok()) return "";
  return (*opened)->SymbolName(module->bias.ToLink(RuntimeAddress(address)));
}

decode::FrameMeaning DeadProcess::Resolve(uint64_t pc, bool pc_is_exact) {
  auto& slot = callers_[{pc, pc_is_exact}];
  if (slot == nullptr) {
    slot = std::make_unique<Caller>();
    const uint64_t inside = pc_is_exact ? pc : pc - 1;
    if (const agent::LoadedModule* const module = ModuleAt(inside)) {
      slot->entry.module = module->FileName();
      slot->entry.build_id = module->build_id;
      slot->entry.load_bias = module->bias.value;
      slot->entry.tls_module = module->tls_module;
      CompileCaller(*slot, *module, pc, pc_is_exact);
    }
  }
  decode::FrameMeaning meaning;
  meaning.unit = slot->has_plan ? &slot->plan.unit : nullptr;
  meaning.load_bias = slot->entry.load_bias;
  meaning.tls_module = slot->entry.tls_module;
  meaning.module = slot->entry.module;
  meaning.build_id = slot->entry.build_id;
  meaning.function = slot->entry.function;
  return meaning;
}

// From the program's file, if it still is the one that ran.
void DeadProcess::CompileCaller(Caller& caller, const agent::LoadedModule& module, uint64_t pc,
                                bool pc_is_exact) {
  if (symbolizer_ == nullptr || module.build_id.empty()) return;
  auto opened = symbolizer_->OpenModule(module.path, module.build_id);
  if (!opened.ok()) return;
  const LinkAddress link = module.bias.ToLink(RuntimeAddress(pc));
  if (!module.is_agent) {
    auto plan = (*opened)->CompileCaller(link, pc_is_exact, CaptureLimits());
    if (plan.ok()) {
      caller.plan = std::move(*plan);
      caller.has_plan = true;
      return;
    }
  }
  caller.entry.function = (*opened)->SymbolName(pc_is_exact ? link : link - 1);
}

void DeadProcess::Remove() {
  if (path_.empty()) return;
  for (const char* suffix : {kRingSuffix, kPlansSuffix, kOutboxSuffix, kNextOutboxSuffix}) {
    unlink((path_ + suffix).c_str());
  }
}

}  // namespace stillframe::durable
