// The default redaction lists as the symbolizer's policy.
#ifndef STILLFRAME_AGENT_REDACTION_POLICY_H_
#define STILLFRAME_AGENT_REDACTION_POLICY_H_

#include "model/redaction.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::agent {

class NameRedaction final : public RedactionPolicy {
 public:
  bool RedactsName(std::string_view name) const override { return model::RedactsName(name); }
  bool RedactsType(std::string_view type) const override { return model::RedactsType(type); }
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_REDACTION_POLICY_H_
