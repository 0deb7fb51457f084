// A binary opened for questions, as the offline commands have them.
#ifndef STILLFRAME_CLI_OFFLINE_MODULE_H_
#define STILLFRAME_CLI_OFFLINE_MODULE_H_

#include <memory>
#include <string>

#include "cli/commands.h"
#include "model/redaction.h"
#include "symbolizer/symbolizer.h"

namespace stillframe::cli {

class Redaction final : public RedactionPolicy {
 public:
  bool RedactsName(std::string_view name) const override { return model::RedactsName(name); }
  bool RedactsType(std::string_view type) const override { return model::RedactsType(type); }
  bool RedactsValue(std::string_view text, bool cut) const override {
    return model::RedactsValue(text, cut);
  }
  std::string_view NameList() const override { return model::SecretNames(); }
};

struct Opened {
  Redaction redaction;
  std::unique_ptr<Symbolizer> symbolizer;
  SymbolModule* module = nullptr;
};

Status OpenOffline(const std::string& binary, Opened& out);

// "0x12a4".
std::string Hex(uint64_t value);

int FailStatus(const GlobalOptions& global, const Status& status);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_OFFLINE_MODULE_H_
