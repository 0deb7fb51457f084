// The operator's rules in a file of the machine (STILLFRAME_POLICY), which nothing that the server
// says can loosen.
#ifndef STILLFRAME_AGENT_POLICY_H_
#define STILLFRAME_AGENT_POLICY_H_

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/tracepoint.h"

namespace stillframe::agent {

// Patterns with '*' (any text) and '?' (one character). `deny` wins; when `allow` is not empty,
// only what matches it is allowed.
struct PolicyRules {
  std::vector<std::string> allow, deny;
};

struct Policy {
  bool stopped = false;                           // the operator's kill switch
  std::optional<std::vector<model::Kind>> kinds;  // those that are permitted; absent = all
  PolicyRules files, functions;
  // Redacted as if they were on the built-in lists. With `types.allow`, so is every class that it
  // does not name.
  PolicyRules types;
  // Words as on the built-in list, or patterns, of variables, members and keys; and of those that
  // the built-in lists hide and that may be shown.
  std::vector<std::string> names, shown_names, shown_types;
  bool raw_memory = true;           // whether expressions may compute pointers
  std::vector<std::string> values;  // patterns of what is secret anywhere in a text

  bool AllowsKind(model::Kind kind) const;
  // Whether code there may be looked at: `file` as in the debug information, `function` with or
  // without its parameters. The message says which rule forbids it.
  Status CheckPlace(std::string_view file, std::string_view function) const;
  // With the built-in lists, from which `shown_*` takes away.
  bool RedactsName(std::string_view name) const;
  bool RedactsType(std::string_view type) const;
  bool RedactsValue(std::string_view text) const;
  // Of base/name_list.h, the built-in ones included.
  const std::string& name_list() const { return name_list_; }

  Policy() { MakeNameList(); }
  void MakeNameList();  // after a change of the names

 private:
  std::string name_list_;
};

// kInvalidArgument names the field.
Result<Policy> ParsePolicy(std::string_view json);
Result<Policy> ReadPolicy(const std::string& path);

// The file, looked at again while the agent runs. Agent thread.
class PolicyFile {
 public:
  // "" = there is none: everything is allowed.
  explicit PolicyFile(std::string path) : path_(std::move(path)) {}
  // Reads it when it has changed; true: the policy is another now. A file that cannot be read any
  // more, or is malformed, stops everything, rather than nothing.
  bool Refresh();
  const Policy& policy() const { return policy_; }
  // Why everything is stopped; nullopt when it is not.
  std::optional<std::string> stop() const;

 private:
  const std::string path_;
  Policy policy_;
  std::string error_;
  struct stat seen_ {};
  bool read_ = false;
};

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_POLICY_H_
