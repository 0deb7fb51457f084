#include "agent/probe/installer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "agent/hit/hit.h"
#include "base/log.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kBodyReach = 1ull << 30;  // leaves as much for operands on the other side
constexpr uint64_t kBodyAlignment = 16;
constexpr uint64_t kRuntimePageBytes = 4096;

bool Intersect(uint64_t a_first, uint64_t a_end, uint64_t b_first, uint64_t b_end) {
  return a_first < b_end && b_first < a_end;
}

}  // namespace

Result<std::unique_ptr<ProbeInstaller>> ProbeInstaller::Create(HitFunction hit) {
  SF_ASSIGN_OR_RETURN(auto writer, TextWriter::Create(MakeLinuxTextSystem()));
  return std::unique_ptr<ProbeInstaller>(std::make_unique<Installer>(hit, std::move(writer)));
}

Installer::Installer(HitFunction hit, std::unique_ptr<TextWriter> writer)
    : hit_(hit),
      writer_(std::move(writer)),
      memory_(*writer_),
      probe_code_(memory_, *writer_),
      layout_(hit::GetCodeLayout()),
      facts_(ReadPolicyFacts()),
      pid_(getpid()),
      shadow_stack_(arch::ShadowStackActive()) {}

Installer::~Installer() {
  if (!CheckProcess().ok()) return;
  for (auto& [address, site] : sites_) {
    if (site.state != State::kArmed) continue;
    const Status status = writer_->Replace(Change(site, false));
    if (!status.ok()) LogError("a probe stays in the text: " + status.ToString());
  }
}

Status Installer::CheckProcess() const {
  if (getpid() == pid_) return Status();
  return Status(Code::kInternal, "the probes belong to the parent process");
}

Result<InstalledSite> Installer::Prepare(RuntimeAddress address, const ModuleText& module) {
  SF_RETURN_IF_ERROR(CheckProcess());
  const auto known = sites_.find(address.value);
  if (known != sites_.end() && known->second.state == State::kArmed) {
    return InstalledSite{known->second.runtime, known->second.option.method};
  }
  SF_ASSIGN_OR_RETURN(const auto maps, ReadProcessMaps());
  SF_ASSIGN_OR_RETURN(const Mapping mapping, CheckSiteAllowed(maps, facts_, address, module));
  SF_ASSIGN_OR_RETURN(const Window window, ReadWindow(address.value, module));
  const int protection = PROT_READ | PROT_EXEC | (mapping.writable ? PROT_WRITE : 0);
  if (known != sites_.end() && Reusable(known->second, window)) {
    Site& site = known->second;
    SF_RETURN_IF_ERROR(CheckOverlap(site.address, site.option));
    site.state = State::kPrepared;
    site.protection = protection;
    return InstalledSite{site.runtime, site.option.method};
  }
  SF_ASSIGN_OR_RETURN(Site site, Build(address.value, window, protection));
  const InstalledSite installed{site.runtime, site.option.method};
  sites_.insert_or_assign(address.value, std::move(site));
  return installed;
}

Result<Installer::Window> Installer::ReadWindow(uint64_t site, const ModuleText& module) {
  Window window;
  window.before.resize(std::min<uint64_t>(arch::kContextBytes, site - module.text_start.value));
  window.at.resize(std::min<uint64_t>(arch::kContextBytes, module.text_end.value - site));
  TextSystem& system = writer_->system();
  SF_RETURN_IF_ERROR(system.Read(site, window.at));
  if (!system.Read(site - window.before.size(), window.before).ok()) window.before.clear();
  return window;
}

bool Installer::Reusable(const Site& site, const Window& window) const {
  if (only_ != Method::kNone && site.option.method != only_) return false;
  const size_t needed = site.option.dependent_end;
  return window.at.size() >= needed &&
         std::equal(site.original.begin(), site.original.begin() + needed, window.at.begin());
}

Result<Installer::Site> Installer::Build(uint64_t address, const Window& window, int protection) {
  SF_ASSIGN_OR_RETURN(const auto analysis, arch::AnalyzeSite({window.before, window.at, address}));
  if (analysis->replaces_call() && shadow_stack_) {
    return Status(Code::kUnsafeSite, "an indirect call cannot be moved under a shadow stack");
  }
  Site site;
  site.address = address;
  site.protection = protection;
  std::copy_n(window.at.begin(), std::min(window.at.size(), site.original.size()),
              site.original.begin());
  SF_ASSIGN_OR_RETURN(site.runtime, NewRuntime(address));
  const auto placed = PlaceBody(*analysis, site.runtime);
  if (!placed.ok()) {
    runtime_next_ -= sizeof(hit::SiteRuntime);  // nobody has seen it
    return placed.status();
  }
  const uint64_t body = *placed;
  if (Status status = ChooseOption(*analysis, body, site); !status.ok()) {
    memory_.Shrink(body, 0);
    runtime_next_ -= sizeof(hit::SiteRuntime);
    return status;
  }
  return site;
}

Result<hit::SiteRuntime*> Installer::NewRuntime(uint64_t address) {
  if (runtime_next_ == runtime_end_) {
    void* page = mmap(nullptr, kRuntimePageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return ErrnoStatus("map site data", errno);
    runtime_next_ = reinterpret_cast<uint64_t>(page);
    runtime_end_ =
        runtime_next_ + kRuntimePageBytes / sizeof(hit::SiteRuntime) * sizeof(hit::SiteRuntime);
  }
  auto* runtime = new (reinterpret_cast<void*>(runtime_next_)) hit::SiteRuntime;
  runtime_next_ += sizeof(hit::SiteRuntime);
  runtime->address = address;
  return runtime;
}

Result<uint64_t> Installer::PlaceBody(const arch::SiteAnalysis& analysis,
                                      hit::SiteRuntime* runtime) {
  const uint64_t site = analysis.address();
  const uint64_t lowest = site > kBodyReach ? site - kBodyReach : 0;
  const uint64_t first = (lowest + kBodyAlignment) & ~(kBodyAlignment - 1);
  const arch::AddressSet where{first, kBodyAlignment, (site + kBodyReach - first) / kBodyAlignment};
  SF_ASSIGN_OR_RETURN(const uint64_t body, memory_.Reserve(where, arch::kMaxBodyBytes, site));
  auto code = arch::EmitBody(analysis, body, runtime, hit_, layout_);
  Status status = code.status();
  if (status.ok() && code->size() > arch::kMaxBodyBytes) {
    status = Status(Code::kInternal, "a trampoline is larger than its room");
  }
  if (status.ok()) status = memory_.Write(body, *code);
  memory_.Shrink(body, status.ok() ? static_cast<uint32_t>(code->size()) : 0);
  if (!status.ok()) return status;
  return body;
}

Status Installer::ChooseOption(const arch::SiteAnalysis& analysis, uint64_t body, Site& site) {
  Status best(Code::kUnsafeSite, "no method fits there");
  for (const arch::PatchOption& option : analysis.options()) {
    if (only_ != Method::kNone && option.method != only_) continue;
    site.option = option;
    Status status = TryOption(analysis, body, site);
    if (status.ok()) return status;
    best = std::move(status);
  }
  return best;
}

Status Installer::TryOption(const arch::SiteAnalysis& analysis, uint64_t body, Site& site) {
  SF_RETURN_IF_ERROR(CheckOverlap(site.address, site.option));
  SF_ASSIGN_OR_RETURN(const uint64_t island, PlaceIsland(site.option, body, site.address));
  site.patched = arch::PatchedWindow(analysis, site.option, island, site.original);
  const Status possible = writer_->CanReplace(Change(site, true));
  if (!possible.ok() && island != body) memory_.Shrink(island, 0);
  return possible;
}

Result<uint64_t> Installer::PlaceIsland(const arch::PatchOption& option, uint64_t body,
                                        uint64_t near) {
  if (option.island.Contains(body)) return body;
  // Reserved at the larger size first: which one it needs depends on where it comes to lie.
  auto island = memory_.Reserve(option.island, arch::kMaxIslandBytes, near);
  if (!island.ok()) {
    // A short island may still fit between two others.
    const uint32_t bytes = arch::IslandBytes(option.island.first, body);
    island = memory_.Reserve(option.island, bytes, near);
    if (island.ok() && arch::IslandBytes(*island, body) > bytes) {
      memory_.Shrink(*island, 0);
      return Status(Code::kUnsafeSite, "no room for an island that reaches its trampoline");
    }
  }
  if (!island.ok()) return island.status();
  const std::vector<uint8_t> code = arch::EmitIsland(*island, body);
  const Status written = memory_.Write(*island, code);
  memory_.Shrink(*island, written.ok() ? static_cast<uint32_t>(code.size()) : 0);
  if (!written.ok()) return written;
  return *island;
}

Status Installer::CheckOverlap(uint64_t address, const arch::PatchOption& option) const {
  const auto first = sites_.lower_bound(address - std::min<uint64_t>(address, 32));
  for (auto it = first; it != sites_.end() && it->first < address + 32; ++it) {
    const Site& other = it->second;
    if (it->first == address || other.state != State::kArmed) continue;
    const bool breaks_other =
        Intersect(address + option.changed_first, address + option.changed_end, other.address,
                  other.address + other.option.dependent_end);
    const bool broken_by_other = Intersect(other.address + other.option.changed_first,
                                           other.address + other.option.changed_end, address,
                                           address + option.dependent_end);
    if (breaks_other || broken_by_other) {
      return Status(Code::kUnsafeSite, "the site is inside another probe's bytes");
    }
  }
  return Status();
}

TextChange Installer::Change(const Site& site, bool arm) const {
  const std::span<const uint8_t> original(site.original.data(), site.option.dependent_end);
  const std::span<const uint8_t> patched(site.patched.data(), site.option.dependent_end);
  return TextChange{site.address, arm ? original : patched, arm ? patched : original,
                    arch::GuardBytes(), site.protection};
}

Status Installer::Arm(RuntimeAddress address) {
  SF_RETURN_IF_ERROR(CheckProcess());
  const auto found = sites_.find(address.value);
  if (found == sites_.end()) return Status(Code::kInvalidArgument, "the site is not prepared");
  Site& site = found->second;
  if (site.state == State::kArmed) return Status();
  if (site.state == State::kForgotten) {
    return Status(Code::kModuleUnloaded, "the site's module was unloaded");
  }
  SF_RETURN_IF_ERROR(CheckOverlap(site.address, site.option));
  SF_RETURN_IF_ERROR(writer_->Replace(Change(site, true)));
  site.state = State::kArmed;
  ++armed_count_;
  return Status();
}

Status Installer::Disarm(RuntimeAddress address) {
  SF_RETURN_IF_ERROR(CheckProcess());
  const auto found = sites_.find(address.value);
  if (found == sites_.end() || found->second.state != State::kArmed) return Status();
  SF_RETURN_IF_ERROR(writer_->Replace(Change(found->second, false)));
  found->second.state = State::kPrepared;
  --armed_count_;
  return Status();
}

Result<uint64_t> Installer::PlaceProbeCode(RuntimeAddress address, const ProbeCodeSpec& spec) {
  SF_RETURN_IF_ERROR(CheckProcess());
  const auto found = sites_.find(address.value);
  if (found == sites_.end()) return Status(Code::kInvalidArgument, "the site is not prepared");
  const hit::SiteRuntime& runtime = *found->second.runtime;
  // Its size does not depend on where it stands.
  SF_ASSIGN_OR_RETURN(const auto draft,
                      arch::EmitProbeCode(spec, runtime.decline_entry, runtime, layout_));
  const auto size_bytes = static_cast<uint32_t>(draft.size());
  SF_ASSIGN_OR_RETURN(const uint64_t block, probe_code_.Allocate(size_bytes, address.value));
  const auto code = arch::EmitProbeCode(spec, block, runtime, layout_);
  Status status = code.status();
  if (status.ok() && code->size() != size_bytes) {
    status = Status(Code::kInternal, "probe code changed its size");
  }
  if (status.ok()) status = probe_code_.Write(block, *code);
  if (!status.ok()) probe_code_.Free(block);
  if (!status.ok()) return status;
  return block;
}

void Installer::Forget(RuntimeAddress start, RuntimeAddress end) {
  const auto last = sites_.lower_bound(end.value);
  for (auto it = sites_.lower_bound(start.value); it != last; ++it) {
    if (it->second.state == State::kArmed) --armed_count_;
    it->second.state = State::kForgotten;
  }
}

}  // namespace stillframe::probe
