// Planning: which bytes a site gets and where its body and island lie. Changes no text.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "agent/hit/hit.h"
#include "agent/probe/frame_table.h"
#include "agent/probe/installer.h"
#include "agent/probe/site_boundary.h"
#include "agent/probe/site_planner.h"
#include "agent/probe/trap_handler.h"
#include "base/log.h"

namespace stillframe::probe {
namespace {

constexpr uint64_t kBodyReach = 1ull << 30;  // leaves as much for operands on the other side
constexpr uint64_t kBodyAlignment = 16;
constexpr uint64_t kRuntimePageBytes = 4096;
// Plans kept for one site. Each costs an island for good, so a site whose neighbours come and go in
// ever new ways is refused in the end.
constexpr size_t kMaxKnownPlans = 16;
// From so many lonely pages on, ways that can share a page come first.
constexpr uint32_t kManySparsePages = 2048;
constexpr uint64_t kRoomyIslands = 4096;
// No patch depends on bytes further away than this.
constexpr uint64_t kReach = arch::kPatchWindowBytes;

bool Intersect(uint64_t a_first, uint64_t a_end, uint64_t b_first, uint64_t b_end) {
  return a_first < b_end && b_first < a_end;
}

}  // namespace

Result<Installer::Site*> Installer::PrepareSite(const SiteRequest& request, Batch& batch) {
  const uint64_t address = request.site.value;
  const auto known = sites_.find(address);
  if (known != sites_.end() && known->second.patched()) return &known->second;
  if (known != sites_.end() && batch.planned.contains(address)) return &known->second;
  SF_RETURN_IF_ERROR(ReadMaps(batch));
  SF_ASSIGN_OR_RETURN(const Mapping mapping, CheckPlace(address, *request.module, batch));
  SF_RETURN_IF_ERROR(CheckBoundary(address, *request.module));
  SF_ASSIGN_OR_RETURN(Site * site, FindOrBuild(address, *request.module, mapping, batch));
  site->allow_trap = request.allow_trap;
  SF_RETURN_IF_ERROR(PlanSite(*site, batch));
  return site;
}

// Other probes' bytes on the way there are seen as they were. From low to high: the bytes that a
// site shares with the next one are that one's to say.
Status Installer::CheckBoundary(uint64_t site, const ModuleText& module) {
  const uint64_t start = module.boundary.value;
  if (start == 0 || start < module.text_start.value || start > site) return Status();
  if (site - start > kMaxBoundaryBytes) return Status();  // too far to say
  std::vector<uint8_t> text(
      std::min(site - start + arch::kContextBytes, module.text_end.value - start));
  SF_RETURN_IF_ERROR(writer_->system().Read(start, text));
  const auto end = sites_.lower_bound(site);
  for (auto it = sites_.lower_bound(start); it != end; ++it) {
    if (!it->second.patched()) continue;
    const Plan& plan = it->second.plan;
    const size_t at = it->first - start;
    const size_t count = std::min<size_t>(plan.option.dependent_end, text.size() - at);
    std::copy_n(plan.original.begin(), count, text.begin() + static_cast<ptrdiff_t>(at));
  }
  return CheckInstructionBoundary(text, start, site);
}

Result<Mapping> Installer::CheckPlace(uint64_t address, const ModuleText& module,
                                      const Batch& batch) {
  SF_ASSIGN_OR_RETURN(Mapping mapping,
                      CheckSiteAllowed(batch.maps, facts_, RuntimeAddress(address), module));
  const auto [known, is_new] =
      forbidden_.try_emplace(mapping.path + ":" + std::to_string(mapping.inode) + ":" +
                             std::to_string(mapping.start.value - mapping.file_offset));
  if (is_new) {
    auto ranges = ReadForbiddenRanges(mapping, writer_->system());
    if (ranges.ok()) {
      known->second = std::move(*ranges);
    } else if (mapping.inode != 0) {
      LogDebug("no sections of " + mapping.path + ": " + ranges.status().ToString());
    }
  }
  SF_RETURN_IF_ERROR(CheckNotForbidden(known->second, address));
  return mapping;
}

// Our own jump must not be taken for the program's instruction and moved: its island would run
// twice.
bool Installer::IsStillPatched(const Plan& plan, std::span<const uint8_t> live) {
  const size_t count = plan.option.dependent_end;
  return plan.option.method != Method::kNone && count <= live.size() &&
         std::equal(live.begin(), live.begin() + static_cast<ptrdiff_t>(count),
                    plan.patched.begin());
}

Result<Installer::Site*> Installer::FindOrBuild(uint64_t address, const ModuleText& module,
                                                const Mapping& mapping, Batch& batch) {
  const int protection = PROT_READ | PROT_EXEC | (mapping.writable ? PROT_WRITE : 0);
  std::vector<uint8_t> at(std::min<uint64_t>(arch::kContextBytes, module.text_end.value - address));
  std::vector<uint8_t> before(
      std::min<uint64_t>(arch::kContextBytes, address - module.text_start.value));
  SF_RETURN_IF_ERROR(batch.view.Read(address, at));
  if (!batch.view.Read(address - before.size(), before).ok()) before.clear();
  const auto known = sites_.find(address);
  if (known != sites_.end()) {
    Site& site = known->second;
    if (site.state == State::kForgotten && IsStillPatched(site.plan, at)) {
      return Status(Code::kUnsafeSite, "a probe that was given up for unloaded is still there");
    }
    const size_t length = site.analysis->instruction_bytes();
    if (length <= at.size() &&
        std::equal(at.begin(), at.begin() + length, site.analysis->instruction().begin())) {
      site.state = State::kPrepared;
      site.protection = protection;
      site.text_end = module.text_end.value;
      return &site;
    }
  }
  SF_ASSIGN_OR_RETURN(auto analysis, arch::AnalyzeSite({before, at, address}));
  if (analysis->replaces_call() && shadow_stack_) {
    return Status(Code::kUnsafeSite, "an indirect call cannot be moved under a shadow stack");
  }
  Site site;
  site.address = address;
  site.protection = protection;
  site.text_end = module.text_end.value;
  site.analysis = std::move(analysis);
  SF_ASSIGN_OR_RETURN(site.runtime, NewRuntime(address));
  const auto body = PlaceBody(*site.analysis, site.runtime);
  if (!body.ok()) {
    runtime_next_ -= sizeof(hit::SiteRuntime);  // nobody has seen it
    return body.status();
  }
  site.body = *body;
  return &sites_.insert_or_assign(address, std::move(site)).first->second;
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
  // Its size does not depend on where it stands.
  SF_ASSIGN_OR_RETURN(const auto draft, arch::EmitBody(analysis, site & ~(kBodyAlignment - 1),
                                                       runtime, hit_, layout_));
  // In whole alignments: odd bytes in between would be of no use to anybody.
  const auto size_bytes = static_cast<uint32_t>((draft.bytes.size() + kBodyAlignment - 1) /
                                                kBodyAlignment * kBodyAlignment);
  SF_ASSIGN_OR_RETURN(const uint64_t body, memory_.Reserve(where, size_bytes, site));
  const auto code = arch::EmitBody(analysis, body, runtime, hit_, layout_);
  Status status = code.status();
  if (status.ok() && code->bytes.size() > size_bytes) {
    status = Status(Code::kInternal, "a trampoline is larger than its room");
  }
  if (status.ok()) {
    memory_.Write(body, code->bytes);
    AddFrames(body, size_bytes, code->frames);
    return body;
  }
  memory_.Shrink(body, 0);
  return status;
}

// A site inside another's instruction would change bytes that are not an instruction of its own.
Status Installer::CheckAlignment(const Site& site, const Batch& batch) const {
  const uint64_t end = site.address + site.analysis->instruction_bytes();
  for (auto it = sites_.lower_bound(site.address - std::min(site.address, kReach));
       it != sites_.end() && it->first < end; ++it) {
    const Site& other = it->second;
    if (it->first == site.address || !(other.patched() || batch.planned.contains(it->first))) {
      continue;
    }
    if (other.address + other.analysis->instruction_bytes() > site.address) {
      return Status(Code::kUnsafeSite, "the site lies inside another probe's instruction");
    }
  }
  return Status();
}

// Cut at the end of the text; what is missing is zero and counted out.
Result<size_t> Installer::ReadWindow(const Site& site, TextView& view, arch::PatchWindow& window) {
  const auto readable =
      static_cast<size_t>(std::min<uint64_t>(window.size(), site.text_end - site.address));
  window.fill(0);
  SF_RETURN_IF_ERROR(view.Read(site.address, {window.data(), readable}));
  return readable;
}

Status Installer::PlanSite(Site& site, Batch& batch) {
  SF_RETURN_IF_ERROR(CheckAlignment(site, batch));
  arch::PatchWindow window;
  SF_ASSIGN_OR_RETURN(const size_t readable, ReadWindow(site, batch.view, window));
  Status status = PlanJump(site, window, readable);
  if (status.code() == Code::kUnsafeSite && only_ == Method::kNone) {
    const Status evicted = PlanByEviction(site, batch);
    if (evicted.ok() || evicted.code() == Code::kOverLimit) status = evicted;
  }
  const bool traps = only_ == Method::kNone || only_ == Method::kTrap;
  if (status.code() == Code::kUnsafeSite && site.allow_trap && traps) {
    status = PlanTrap(site, window);
  }
  SF_RETURN_IF_ERROR(status);
  return Show(site, batch);
}

Status Installer::PlanJump(Site& site, const arch::PatchWindow& window, size_t readable) {
  Status worst(Code::kUnsafeSite, "the bytes there allow no jump to an address that can be mapped");
  std::vector<arch::PatchOption> options =
      arch::OptionsWith(*site.analysis, {window.data(), readable});
  if (only_ != Method::kNone) {
    std::erase_if(options, [&](const arch::PatchOption& o) { return o.method != only_; });
  }
  if (memory_.sparse_pages() > kManySparsePages) {
    std::stable_partition(options.begin(), options.end(), [](const arch::PatchOption& option) {
      return option.island.count >= kRoomyIslands;
    });
  }
  // What leaves armed neighbours alone comes first; then what makes them move.
  for (const bool may_disturb : {false, true}) {
    for (const Plan& plan : site.known) {
      if (only_ != Method::kNone && plan.option.method != only_) continue;
      if (!Usable(plan, site, window, readable)) continue;
      if (Disturbed(site.address, plan.option).empty() == may_disturb) continue;
      site.plan = plan;
      return Status();
    }
    if (site.known.size() >= kMaxKnownPlans) continue;
    for (const arch::PatchOption& option : options) {
      if (Disturbed(site.address, option).empty() == may_disturb) continue;
      Status status = TryOption(site, option, window);
      if (status.ok()) return status;
      if (status.code() != Code::kUnsafeSite || worst.code() == Code::kUnsafeSite) {
        worst = std::move(status);
      }
    }
  }
  if (site.known.size() >= kMaxKnownPlans) {
    return Status(Code::kOverLimit, "the site's neighbours changed in too many ways");
  }
  return worst;
}

bool Installer::Usable(const Plan& plan, const Site& site, const arch::PatchWindow& window,
                       size_t readable) const {
  const size_t needed = plan.option.dependent_end;
  if (plan.option.method == Method::kNone) return false;
  if (plan.option.method == Method::kTrap && !site.allow_trap) return false;
  return needed <= readable &&
         std::equal(plan.original.begin(), plan.original.begin() + needed, window.begin());
}

Status Installer::TryOption(Site& site, const arch::PatchOption& option,
                            const arch::PatchWindow& window) {
  SF_ASSIGN_OR_RETURN(const uint64_t island, PlaceIsland(site, option));
  Plan plan{option, island, window, {}, {}};
  plan.patched = arch::PatchedWindow(*site.analysis, option, island, window);
  Plan old = std::exchange(site.plan, plan);
  Status possible = writer_->CanReplace(Change(site, true));
  if (!possible.ok()) {
    if (island != site.body) {
      RemoveFrames(island);
      memory_.Shrink(island, 0);
    }
    site.plan = std::move(old);
    return possible;
  }
  site.known.push_back(site.plan);
  return Status();
}

Result<uint64_t> Installer::PlaceIsland(const Site& site, const arch::PatchOption& option) {
  const uint64_t body = site.body;
  const uint64_t near = site.address;
  if (option.island.Contains(body)) return body;
  // Reserved at the larger size first: which one it needs depends on where it comes to lie.
  auto island = memory_.Reserve(option.island, arch::kMaxIslandBytes, near);
  if (island.status().code() == Code::kUnsafeSite) {
    // A short island may still fit between two others.
    const uint32_t bytes = arch::IslandBytes(option.island.first, body);
    island = memory_.Reserve(option.island, bytes, near);
    if (island.ok() && arch::IslandBytes(*island, body) > bytes) {
      memory_.Shrink(*island, 0);
      return Status(Code::kUnsafeSite, "no room for an island that reaches its trampoline");
    }
  }
  if (!island.ok()) return island.status();
  const arch::EmittedCode code = arch::EmitIsland(*site.analysis, *island, body);
  memory_.Write(*island, code.bytes);
  memory_.Shrink(*island, static_cast<uint32_t>(code.bytes.size()));
  AddFrames(*island, static_cast<uint32_t>(code.bytes.size()), code.frames);
  return *island;
}

// The view shows the site as patched from now on, and the plan knows what it rests on.
Status Installer::Show(Site& site, Batch& batch) {
  Plan& plan = site.plan;
  plan.required.clear();
  for (auto it = sites_.upper_bound(site.address);
       it != sites_.end() && it->first < site.address + plan.option.dependent_end; ++it) {
    const Site& other = it->second;
    if (!(other.patched() || batch.planned.contains(it->first))) continue;
    if (Intersect(site.address, site.address + plan.option.dependent_end,
                  other.address + other.plan.option.changed_first,
                  other.address + other.plan.option.changed_end)) {
      plan.required.push_back(it->first);
    }
  }
  const arch::PatchOption& option = plan.option;
  SF_RETURN_IF_ERROR(
      batch.view.Overlay(site.address + option.changed_first,
                         {plan.patched.data() + option.changed_first,
                          static_cast<size_t>(option.changed_end - option.changed_first)}));
  batch.planned.insert(site.address);
  return Status();
}

Status Installer::PlanByEviction(Site& site, Batch& batch) {
  const Status unsafe(Code::kUnsafeSite, "the instructions behind it give no room either");
  std::vector<Site*> sites{&site};
  std::vector<const arch::SiteAnalysis*> chain{site.analysis.get()};
  for (size_t i = 0; i < kMaxEvicted; ++i) {
    if (site.address + kEvictionTextBytes > site.text_end) return unsafe;
    SF_ASSIGN_OR_RETURN(Site * next, Successor(*sites.back(), batch));
    sites.push_back(next);
    chain.push_back(next->analysis.get());
    // What stands there without patches of the chain's own.
    std::vector<uint8_t> text(kEvictionTextBytes);
    SF_RETURN_IF_ERROR(batch.view.Read(site.address, text));
    for (const arch::SiteAnalysis* link : chain) {
      const std::span<const uint8_t> bytes = link->instruction();
      std::copy(bytes.begin(), bytes.end(), text.begin() + (link->address() - site.address));
    }
    const auto found = PlanEviction(chain, text, memory_);
    if (found) return Evict(sites, *found, batch);
  }
  return unsafe;
}

// From the last to the first; the site itself comes last and is shown by the caller.
Status Installer::Evict(const std::vector<Site*>& sites, const std::vector<PlacedOption>& placed,
                        Batch& batch) {
  for (size_t i = sites.size(); i-- > 0;) {
    Site& site = *sites[i];
    if (site.known.size() >= kMaxKnownPlans) {
      return Status(Code::kOverLimit, "the site's neighbours changed in too many ways");
    }
    SF_RETURN_IF_ERROR(batch.view.Overlay(site.address, site.analysis->instruction()));
    arch::PatchWindow window;
    SF_RETURN_IF_ERROR(ReadWindow(site, batch.view, window).status());
    arch::PatchOption exact = placed[i].option;
    exact.island = {placed[i].island, 1, 1};
    SF_RETURN_IF_ERROR(TryOption(site, exact, window));
    if (i != 0) SF_RETURN_IF_ERROR(Show(site, batch));
  }
  return Status();
}

// The site behind, which nobody else counts on yet.
Result<Installer::Site*> Installer::Successor(const Site& site, Batch& batch) {
  const Status unsafe(Code::kUnsafeSite, "the instruction behind it cannot be moved");
  const uint64_t address = site.address + site.analysis->instruction_bytes();
  if (address + kReach > site.text_end) return unsafe;
  const auto known = sites_.find(address);
  if (known != sites_.end()) {
    if (known->second.patched() || IsRequired(address, site.address, batch)) return unsafe;
    if (batch.planned.contains(address)) {
      return MayEvict(*site.analysis, *known->second.analysis) ? &known->second
                                                               : Result<Site*>(unsafe);
    }
  }
  SF_RETURN_IF_ERROR(ReadMaps(batch));
  // Text of the same mapping is as good as the site itself, but for the reasons that look at bytes.
  const ModuleText module{"", RuntimeAddress(site.address), RuntimeAddress(site.text_end)};
  SF_ASSIGN_OR_RETURN(const Mapping mapping, CheckPlace(address, module, batch));
  SF_ASSIGN_OR_RETURN(Site * next, FindOrBuild(address, module, mapping, batch));
  if (!MayEvict(*site.analysis, *next->analysis)) return unsafe;
  SF_RETURN_IF_ERROR(CheckAlignment(*next, batch));
  return next;
}

Status Installer::PlanTrap(Site& site, const arch::PatchWindow& window) {
  if (site.analysis->site_calls()) {
    return Status(Code::kUnsafeSite, "no jump fits there, and a call is not replaced by a trap");
  }
  for (const Plan& plan : site.known) {
    if (plan.option.method != Method::kTrap) continue;
    site.plan = plan;
    return Status();
  }
  SF_RETURN_IF_ERROR(CheckTrapIsSafe());
  const auto length = static_cast<uint8_t>(site.analysis->instruction_bytes());
  Plan plan{arch::PatchOption{Method::kTrap, 0, 1, length, 0, {}}, 0, window, window, {}};
  plan.patched[0] = arch::TrapBytes().front();
  site.plan = plan;
  site.known.push_back(std::move(plan));
  return Status();
}

bool Installer::IsRequired(uint64_t address, uint64_t except, const Batch& batch) const {
  for (auto it = sites_.lower_bound(address - std::min(address, kReach));
       it != sites_.end() && it->first < address; ++it) {
    if (it->first == except || !(it->second.patched() || batch.planned.contains(it->first))) {
      continue;
    }
    const auto& required = it->second.plan.required;
    if (std::find(required.begin(), required.end(), address) != required.end()) return true;
  }
  return false;
}

std::vector<uint64_t> Installer::Disturbed(uint64_t address,
                                           const arch::PatchOption& option) const {
  std::vector<uint64_t> found;
  for (auto it = sites_.lower_bound(address - std::min(address, kReach));
       it != sites_.end() && it->first < address; ++it) {
    const Site& other = it->second;
    if (!other.patched()) continue;
    if (!Intersect(address + option.changed_first, address + option.changed_end, other.address,
                   other.address + other.plan.option.dependent_end)) {
      continue;
    }
    const auto& required = other.plan.required;
    if (std::find(required.begin(), required.end(), address) == required.end()) {
      found.push_back(it->first);
    }
  }
  return found;
}

}  // namespace stillframe::probe
