#include "cli/offline_module.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace stillframe::cli {

std::string Hex(uint64_t value) {
  char text[20];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

int FailStatus(const GlobalOptions& global, const Status& status) {
  return Fail(global, {kRefused, std::string(CodeName(status.code())), status.message(), ""});
}

Status OpenOffline(const std::string& binary, Opened& out) {
  SymbolizerOptions options;
  options.redaction = &out.redaction;
  options.max_sites = 10'000;
  std::istringstream folders(getenv("STILLFRAME_DEBUG_PATH") ?: "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (!folder.empty()) options.debug_path.push_back(folder);
  }
  out.symbolizer = Symbolizer::Create(options);
  SF_ASSIGN_OR_RETURN(out.module, out.symbolizer->OpenModule(binary, ""));
  return Status();
}

}  // namespace stillframe::cli
