#include "agent/probe/installer.h"

#include <unistd.h>

#include <algorithm>

#include "agent/hit/hit.h"
#include "agent/probe/frame_table.h"
#include "agent/probe/text_check.h"
#include "base/log.h"

namespace stillframe::probe {

Result<std::unique_ptr<ProbeInstaller>> ProbeInstaller::Create(HitFunction hit) {
  SF_ASSIGN_OR_RETURN(auto writer, TextWriter::Create(MakeLinuxTextSystem()));
  return std::unique_ptr<ProbeInstaller>(std::make_unique<Installer>(hit, std::move(writer)));
}

Installer::Installer(HitFunction hit, std::unique_ptr<TextWriter> writer, CodeLimits limits)
    : hit_(hit),
      writer_(std::move(writer)),
      memory_(*writer_, limits),
      probe_code_(memory_, *writer_),
      layout_(hit::GetCodeLayout()),
      facts_(ReadPolicyFacts()),
      pid_(getpid()),
      shadow_stack_(arch::ShadowStackActive()) {}

Installer::~Installer() {
  if (!CheckProcess().ok()) return;
  std::set<uint64_t> patched;
  for (const auto& [address, site] : sites_) {
    if (site.patched()) patched.insert(address);
  }
  std::map<uint64_t, Status> results;
  Restore(patched, results);
  for (const auto& [address, status] : results) {
    if (!status.ok()) LogError("a probe stays in the text: " + status.ToString());
  }
  if (!LogEnabled(LogLevel::kDebug)) return;
  const auto maps = ReadProcessMaps();
  if (!maps.ok()) return;
  const TextReport report = CompareTextWithFiles(*maps, writer_->system());
  LogDebug("text compared with its files: " + std::to_string(report.different_bytes) + " of " +
           std::to_string(report.compared_bytes) + " bytes differ");
}

Status Installer::CheckProcess() const {
  if (getpid() == pid_) return Status();
  return Status(Code::kInternal, "the probes belong to the parent process");
}

Status Installer::ReadMaps(Batch& batch) {
  if (!batch.maps.empty()) return Status();
  SF_ASSIGN_OR_RETURN(batch.maps, ReadProcessMaps());
  memory_.Refresh(batch.maps);
  return Status();
}

uint32_t Installer::patched_count() const {
  return static_cast<uint32_t>(std::count_if(
      sites_.begin(), sites_.end(), [](const auto& entry) { return entry.second.patched(); }));
}

std::vector<Result<InstalledSite>> Installer::PrepareAll(std::span<const SiteRequest> requests) {
  std::vector<Result<InstalledSite>> results(
      requests.size(), Result<InstalledSite>(Status(Code::kInternal, "not looked at")));
  Batch batch(writer_->system());
  std::vector<size_t> order(requests.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return requests[b].site < requests[a].site; });
  const Status process = CheckProcess();
  for (const size_t i : order) {
    if (!process.ok()) {
      results[i] = process;
      continue;
    }
    const auto site = PrepareSite(requests[i], batch);
    if (!site.ok()) {
      results[i] = site.status();
    } else {
      results[i] = InstalledSite{(*site)->runtime, (*site)->plan.option.method};
    }
  }
  if (Status flushed = memory_.Flush(); !flushed.ok()) {
    for (const uint64_t address : batch.planned) sites_.erase(address);
    for (auto& result : results) {
      if (result.ok()) result = flushed;
    }
  }
  return results;
}

std::vector<Status> Installer::DisarmAll(std::span<const RuntimeAddress> addresses) {
  if (Status status = CheckProcess(); !status.ok()) {
    return std::vector<Status>(addresses.size(), status);
  }
  std::set<uint64_t> wanted;
  for (const RuntimeAddress address : addresses) {
    const auto found = sites_.find(address.value);
    if (found != sites_.end() && found->second.state == State::kArmed) wanted.insert(address.value);
  }
  // Upwards, because what needs a site lies below it. A site that nobody asked for is restored too
  // once nothing needs it any more.
  std::set<uint64_t> restored;
  std::set<uint64_t> looked_at = wanted;
  for (auto it = looked_at.begin(); it != looked_at.end(); ++it) {
    Site& site = sites_.at(*it);
    if (IsNeeded(*it, restored)) {
      Hold(site);
      continue;
    }
    restored.insert(*it);
    for (const uint64_t above : site.plan.required) {
      const auto other = sites_.find(above);
      if (other != sites_.end() && other->second.state == State::kHeld) looked_at.insert(above);
    }
  }
  std::map<uint64_t, Status> results;
  Restore(restored, results);
  std::vector<Status> statuses;
  for (const RuntimeAddress address : addresses) {
    const auto found = results.find(address.value);
    statuses.push_back(found == results.end() ? Status() : found->second);
  }
  return statuses;
}

Result<uint64_t> Installer::PlaceProbeCode(RuntimeAddress address, const ProbeCodeSpec& spec) {
  SF_RETURN_IF_ERROR(CheckProcess());
  const auto found = sites_.find(address.value);
  if (found == sites_.end()) return Status(Code::kInvalidArgument, "the site is not prepared");
  const hit::SiteRuntime& runtime = *found->second.runtime;
  const arch::SiteAnalysis& analysis = *found->second.analysis;
  // Its size does not depend on where it stands.
  SF_ASSIGN_OR_RETURN(const auto draft,
                      arch::EmitProbeCode(spec, runtime.decline_entry, analysis, runtime, layout_));
  const auto size_bytes = static_cast<uint32_t>(draft.bytes.size());
  SF_ASSIGN_OR_RETURN(const uint64_t block, probe_code_.Allocate(size_bytes, address.value));
  const auto code = arch::EmitProbeCode(spec, block, analysis, runtime, layout_);
  Status status = code.status();
  if (status.ok() && code->bytes.size() != size_bytes) {
    status = Status(Code::kInternal, "probe code changed its size");
  }
  if (status.ok()) status = probe_code_.Write(block, code->bytes);
  if (!status.ok()) probe_code_.Free(block);
  if (!status.ok()) return status;
  AddFrames(block, size_bytes, code->frames);
  return block;
}

void Installer::FreeProbeCode(uint64_t address) {
  RemoveFrames(address);
  probe_code_.Free(address);
}

bool Installer::LostPatch(RuntimeAddress address) {
  const auto found = sites_.find(address.value);
  if (found == sites_.end() || found->second.state != State::kArmed) return false;
  // The first byte that the patch changes is its own; behind it may be what a neighbour changed.
  const Plan& plan = found->second.plan;
  const uint8_t first = plan.option.changed_first;
  uint8_t live = 0;
  return writer_->system().Read(address.value + first, {&live, 1}).ok() &&
         live == plan.original[first] && live != plan.patched[first];
}

void Installer::Forget(RuntimeAddress start, RuntimeAddress end) {
  forbidden_.clear();  // what is loaded next may be the same file elsewhere
  const auto last = sites_.lower_bound(end.value);
  for (auto it = sites_.lower_bound(start.value); it != last; ++it) {
    if (it->second.state == State::kArmed) --armed_count_;
    it->second.state = State::kForgotten;
  }
}

}  // namespace stillframe::probe
