// Of the store: what the operator's policy forbids.
#include "agent/tracepoint_store.h"
#include "base/log.h"

namespace stillframe::agent {

std::optional<std::string> TracepointStore::Stop() const {
  if (options_.policy != nullptr) {
    if (auto stop = options_.policy->stop()) return stop;
  }
  if (stop_) return stop_;
  return silence_;
}

Status TracepointStore::CheckPolicy(const model::TracepointSpec& spec, const Plans& plans) const {
  if (options_.policy == nullptr) return Status();
  const Policy& policy = options_.policy->policy();
  if (!policy.AllowsKind(spec.kind)) {
    return {Code::kDeniedByPolicy, "the operator's policy does not permit the kind " +
                                       std::string(model::KindName(spec.kind))};
  }
  if (!spec.location.exception.empty()) {
    // The place is the runtime's; the frames that throw are hidden one by one.
    if (!policy.RedactsType(spec.location.exception)) return Status();
    return {Code::kDeniedByPolicy, "the operator's policy denies the type"};
  }
  if (!spec.location.fatal.empty()) return Status();  // no place of the program's
  for (const ModulePlan& plan : plans) {
    const PlanUnit& unit = plan.plan.unit;
    for (const SitePlan& site : plan.plan.sites) {
      const FramePlan& frame = unit.frames[site.frame];
      if (frame.virtual_count == 0) continue;
      const VirtualFrame& place = unit.virtual_frames[frame.first_virtual];
      SF_RETURN_IF_ERROR(policy.CheckPlace(unit.strings[place.file], unit.strings[place.function]));
    }
  }
  return Status();
}

bool TracepointStore::MayShow(const model::Frame& frame) const {
  return options_.policy == nullptr ||
         options_.policy->policy().CheckPlace(frame.file, frame.function).ok();
}

void TracepointStore::PolicyChanged() {
  // Plans were made under the old rules, those of callers as well.
  callers_.Forget(RuntimeAddress(0), RuntimeAddress(~uint64_t{0}));
  symbolizer_->ReleaseMemory();
  StopOrArmAll();
}

void TracepointStore::SetSilence(std::optional<std::string> why) {
  if (why.has_value() == silence_.has_value()) return;
  if (why) LogError("everything is taken out " + *why);
  if (!why) LogInfo("the server is back: everything is armed again");
  if (!active_.empty() && module_generation_ != ModuleGeneration()) RefreshModules();
  silence_ = std::move(why);
  StopOrArmAll();
}

void TracepointStore::StopOrArmAll() {
  using model::State;
  for (auto& [id, active] : active_) {
    if (active.state == State::kCompleted || active.state == State::kExpired) continue;
    TakeOut(active);
    if (Stop()) {
      Block(active);
    } else {
      Arm(active);
    }
  }
  UpdateGuard();
  callers_.Publish();
}

}  // namespace stillframe::agent
