#include "symbolizer/plan_builder.h"

#include <memory>
#include <optional>

#include "symbolizer/expression.h"
#include "symbolizer/frame_compiler.h"

namespace stillframe {
namespace {

// Lower is more telling: what the engineer can mend comes before what the compiler did.
int Rank(Code code) {
  switch (code) {
    case Code::kBadExpression:
      return 0;
    case Code::kUnknownVariable:
      return 1;
    case Code::kRedacted:
      return 2;
    default:
      return 3;
  }
}

// Keeps the most telling of the errors seen.
class FirstReason {
 public:
  void Add(const Status& status) {
    if (status_.ok() || Rank(status.code()) < Rank(status_.code())) status_ = status;
  }
  const Status& status() const { return status_; }

 private:
  Status status_;
};

class PlanBuilder {
 public:
  PlanBuilder(ModuleDebug& debug, const PlanRequest& request, const RedactionPolicy* redaction,
              ProbePlan& plan)
      : request_(request),
        plan_(plan),
        frames_(
            FrameCompiler::Create(debug.file->dwarf(), redaction, plan.unit, &debug.unit_cache)),
        watch_works_(request.expressions.size()),
        watch_reasons_(request.expressions.size()) {}

  Status Build(const std::vector<LineSite>& line_sites) {
    for (const LineSite& site : line_sites) {
      const Status status = AddSite(site);
      if (!status.ok()) reason_.Add(status);
    }
    if (plan_.sites.empty()) return reason_.status();
    for (size_t i = 0; i < watch_works_.size(); ++i) {
      const Status& why = watch_reasons_[i].status();
      if (!watch_works_[i] && Rank(why.code()) < 3) {
        return why.WithContext("expression '" + request_.expressions[i] + "'");
      }
    }
    return Status();
  }

 private:
  Status AddSite(const LineSite& site) {
    SitePlan planned;
    planned.address = site.address;
    const RequestedLine requested{site.file, site.line, site.function, site.returning, site.view};
    std::unique_ptr<Scope> scope;
    if (!request_.condition.empty() || !request_.expressions.empty()) {
      scope = frames_->OpenScope(site.unit, site.address, requested);
      if (scope == nullptr) {
        return Refuse(site, Status(Code::kNotInScope, "no function covers this address"));
      }
    }
    if (!request_.condition.empty()) {
      auto condition =
          CompileCondition(request_.condition, *scope, plan_.unit, request_.limits.items);
      if (!condition.ok()) return Refuse(site, condition.status().WithContext("condition"));
      planned.condition = *condition;
    }
    const auto frame = frames_->AddFrame(site.unit, site.address, site.address, true, requested);
    if (!frame.ok()) return Refuse(site, frame.status());
    planned.frame = *frame;
    planned.function = FunctionOf(*frame);
    planned.part = site.part;
    AddWatches(scope.get(), planned);
    plan_.sites.push_back(planned);
    return Status();
  }

  Status Refuse(const LineSite& site, const Status& status) {
    RefusedSite refused;
    refused.address = site.address;
    const std::vector<SourceFrame> chain = InlineChain(site.unit, site.address);
    if (!chain.empty()) refused.function = chain[0].function;
    refused.code = status.code();
    refused.message = status.message();
    plan_.refused.push_back(std::move(refused));
    return status;
  }

  StringId FunctionOf(uint32_t frame) const {
    const PlanUnit& unit = plan_.unit;
    if (frame >= unit.frames.size() || unit.frames[frame].virtual_count == 0) return 0;
    const uint32_t first = unit.frames[frame].first_virtual;
    return first < unit.virtual_frames.size() ? unit.virtual_frames[first].function : 0;
  }

  // Compiled first and appended together: CompileWatch may add variables of its own.
  void AddWatches(Scope* scope, SitePlan& planned) {
    std::vector<Variable> watches;
    for (size_t i = 0; i < request_.expressions.size(); ++i) {
      auto watch = CompileWatch(request_.expressions[i], *scope, plan_.unit, request_.limits.items);
      if (watch.ok()) {
        watch_works_[i] = true;
        watches.push_back(*watch);
      } else {
        watch_reasons_[i].Add(watch.status());
        watches.push_back(Unavailable(i, watch.status().code()));
      }
    }
    planned.first_expression = static_cast<uint32_t>(plan_.unit.variables.size());
    planned.expression_count = static_cast<uint32_t>(watches.size());
    plan_.unit.variables.insert(plan_.unit.variables.end(), watches.begin(), watches.end());
  }

  Variable Unavailable(size_t index, Code reason) {
    if (index >= texts_.size()) texts_.resize(request_.expressions.size());
    if (!texts_[index]) {
      texts_[index] = static_cast<StringId>(plan_.unit.strings.size());
      plan_.unit.strings.push_back(request_.expressions[index]);
    }
    Variable variable;
    variable.name = *texts_[index];
    variable.location.reason = reason;
    return variable;
  }

  const PlanRequest& request_;
  ProbePlan& plan_;
  std::unique_ptr<FrameCompiler> frames_;
  FirstReason reason_;
  std::vector<bool> watch_works_;
  std::vector<FirstReason> watch_reasons_;
  std::vector<std::optional<StringId>> texts_;
};

}  // namespace

Status BuildSites(ModuleDebug& debug, const std::vector<LineSite>& line_sites,
                  const PlanRequest& request, const RedactionPolicy* redaction, ProbePlan& plan) {
  return PlanBuilder(debug, request, redaction, plan).Build(line_sites);
}

}  // namespace stillframe
