// The default redaction lists, and the operator's, as the symbolizer's policy.
#ifndef STILLFRAME_AGENT_REDACTION_POLICY_H_
#define STILLFRAME_AGENT_REDACTION_POLICY_H_

#include "agent/policy.h"
#include "model/redaction.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

class NameRedaction final : public RedactionPolicy {
 public:
  explicit NameRedaction(const PolicyFile& policy) : policy_(policy) {}
  bool RedactsName(std::string_view name) const override {
    return policy_.policy().RedactsName(name);
  }
  bool RedactsType(std::string_view type) const override {
    return policy_.policy().RedactsType(type);
  }
  bool RedactsValue(std::string_view text, bool cut) const override {
    return model::RedactsValue(text, cut) || policy_.policy().RedactsValue(text);
  }
  bool AllowsRawMemory() const override { return policy_.policy().raw_memory; }
  std::string_view NameList() const override { return policy_.policy().name_list(); }

 private:
  const PolicyFile& policy_;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_REDACTION_POLICY_H_
