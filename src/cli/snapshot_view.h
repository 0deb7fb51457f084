// A snapshot or log message (REST JSON) as a person reads it on a terminal.
#ifndef STILLFRAME_CLI_SNAPSHOT_VIEW_H_
#define STILLFRAME_CLI_SNAPSHOT_VIEW_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/terminal.h"

namespace stillframe::cli {

// Everything in the JSON is hostile. Source lines are read from the path in the snapshot, or from
// `source_root` plus a suffix of it, when such a file is there.
std::string RenderSnapshot(const nlohmann::ordered_json& snapshot, const Style& style,
                           const std::string& source_root);
// Whether the JSON is shown on one line: a LOG or a SPAN.
bool IsLine(const nlohmann::ordered_json& snapshot);
// Time, thread, place, message or duration, trace.
std::string RenderLogLine(const nlohmann::ordered_json& snapshot, const Style& style);
// "optimized out by the compiler" for OPTIMIZED_OUT and so on; the code itself when unknown.
std::string ReasonText(const std::string& code);

}  // namespace stillframe::cli

#endif  // STILLFRAME_CLI_SNAPSHOT_VIEW_H_
