// Of the store: tracepoints on throws, whose types any module may define.
#include <set>

#include "agent/log_message.h"
#include "agent/measure_plan.h"
#include "agent/tracepoint_store.h"

namespace stillframe::agent {
namespace {

constexpr uint32_t kMaxPreparedThrowers = 64;

}  // namespace

// The type may be defined, or only known, in any module.
std::vector<std::string> TracepointStore::ThrownTypes(const std::string& type) {
  if (type == "*") return {type};
  std::set<std::string> names;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    if (!opened.ok()) continue;
    for (std::string& name : (*opened)->TypeInfoNames(type)) names.insert(std::move(name));
  }
  // No symbol and no plain name: nothing matches.
  if (names.empty()) names.insert(type);
  return {names.begin(), names.end()};
}

// The type may be defined in any module.
Status TracepointStore::AddThrown(const model::TracepointSpec& spec, const model::LogTemplate& log,
                                  ModulePlan& thrown) {
  ThrownRequest request{.type = spec.location.exception,
                        .condition = spec.condition,
                        .leading = ExpressionsOf(log, {}),
                        .expressions = spec.expressions,
                        .items = spec.capture.items};
  const bool is_measured = spec.kind == model::Kind::kDistribution;
  if (is_measured) request.leading = std::move(request.expressions);
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    if (!opened.ok() || !(*opened)->debug_status().ok()) continue;
    Status status = (*opened)->AddThrown(request, thrown.plan);
    if (status.code() == Code::kNotFound) continue;
    if (status.ok() && is_measured) {
      SF_ASSIGN_OR_RETURN(thrown.measure, MakeMeasureSites(thrown.plan));
    }
    return status;
  }
  return Status(Code::kUnknownVariable, "no debug information describes '" + request.type +
                                            "': there is no $exception to ask about");
}

// Who throws, so that the first hit has their values too.
void TracepointStore::PrepareThrowers() {
  uint32_t left = kMaxPreparedThrowers;
  for (const LoadedModule& module : modules_) {
    if (module.is_agent || module.is_vdso || left == 0) continue;
    auto opened = symbolizer_->OpenModule(module.path, module.build_id);
    if (!opened.ok() || !(*opened)->debug_status().ok()) continue;
    for (const LinkAddress after : (*opened)->CallersOfImport("__cxa_throw", left)) {
      callers_.PrepareCaller(module, after, kCallerLevels - 1, kMaxPreparedCallers);
      if (left > 0) --left;
    }
  }
}

}  // namespace stillframe::agent
