#include "cli/snapshot_view.h"

#include <algorithm>
#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

namespace stillframe::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMaxDepth = 40;
constexpr uint32_t kContext = 2;    // lines of code before and after
constexpr size_t kMaxElements = 8;  // of one container; the JSON has them all

std::string Text(const Json& json, const char* key) {
  if (!json.is_object()) return "";
  const auto found = json.find(key);
  if (found == json.end()) return "";
  return found->is_string() ? Safe(found->get_ref<const std::string&>()) : Safe(found->dump());
}

// A string as it is, not yet safe to print; "" for anything else.
std::string Raw(const Json& json, const char* key) {
  if (!json.is_object()) return "";
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// A field of a wrong type reads as false.
bool IsTrue(const Json& json, const char* key) {
  if (!json.is_object()) return false;
  const auto found = json.find(key);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

const Json& List(const Json& json, const char* key) {
  static const Json empty = Json::array();
  if (!json.is_object()) return empty;
  const auto found = json.find(key);
  return found != json.end() && found->is_array() ? *found : empty;
}

// "2026-01-02T03:04:05.678901234Z" -> "2026-01-02 03:04:05.678 UTC (04:04:05 CET)"
std::string TimeText(const std::string& rfc3339) {
  tm utc{};
  if (rfc3339.size() < 20 || strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%S", &utc) == nullptr) {
    return rfc3339;
  }
  std::string text = rfc3339.substr(0, 10) + " " + rfc3339.substr(11, 12) + " UTC";
  const time_t seconds = timegm(&utc);
  tm local{};
  localtime_r(&seconds, &local);
  if (local.tm_gmtoff != 0) {
    char zone[64];
    strftime(zone, sizeof zone, " (%H:%M:%S %Z)", &local);
    text += zone;
  }
  return text;
}

std::string Micros(const Json& snapshot) {
  const auto found = snapshot.find("captureNanos");
  if (found == snapshot.end() || !found->is_number()) return "";
  char text[48];
  snprintf(text, sizeof text, "captured in %.1f µs", found->get<double>() / 1000);
  return text;
}

// Lines around `line` of the file; empty when it is not at hand.
std::vector<std::pair<uint32_t, std::string>> SourceLines(const std::string& path, uint32_t line,
                                                          const std::string& root) {
  std::vector<std::string> candidates;
  if (!root.empty()) {
    // Any suffix of the path below the root: the machine that built it had other folders.
    for (size_t at = 0; at != std::string::npos; at = path.find('/', at + 1)) {
      candidates.push_back(root + "/" + path.substr(at == 0 ? 0 : at + 1));
    }
  }
  candidates.push_back(path);
  std::vector<std::pair<uint32_t, std::string>> lines;
  for (const std::string& candidate : candidates) {
    std::ifstream in(candidate);
    if (!in) continue;
    std::string text;
    for (uint32_t number = 1; number <= line + kContext && std::getline(in, text); ++number) {
      if (number + kContext < line) continue;
      std::replace(text.begin(), text.end(), '\t', ' ');
      lines.emplace_back(number, Safe(text));
    }
    if (!lines.empty() && lines.back().first >= line) return lines;
    lines.clear();
  }
  return lines;
}

// The lines that the server has (its --source), as many as the terminal shows.
std::vector<std::pair<uint32_t, std::string>> ServerLines(const Json& frame, uint32_t line) {
  std::vector<std::pair<uint32_t, std::string>> lines;
  for (const Json& entry : List(frame, "source")) {
    const auto number = entry.is_object() ? entry.find("line") : entry.end();
    if (number == entry.end() || !number->is_number_integer()) continue;
    const auto at = number->get<int64_t>();
    if (at < int64_t{line} - kContext || at > int64_t{line} + kContext) continue;
    std::string text = Raw(entry, "text");
    std::replace(text.begin(), text.end(), '\t', ' ');
    lines.emplace_back(static_cast<uint32_t>(at), Safe(text));
  }
  return lines;
}

// A folder named on the command line wins; then what the server has, which is meant for this
// service; then a file that happens to be at hand.
std::vector<std::pair<uint32_t, std::string>> LinesOf(const Json& frame, uint32_t line,
                                                      const std::string& root) {
  const std::string file = Raw(frame, "file");
  if (!root.empty()) return SourceLines(file, line, root);
  auto lines = ServerLines(frame, line);
  return lines.empty() ? SourceLines(file, line, root) : lines;
}

// A base class without data says nothing.
bool IsEmptyBase(const Json& value) {
  return Text(value, "name").starts_with("<") && !value.contains("value") &&
         List(value, "children").empty() && Text(value, "status") == "EXACT";
}

Ink InkOf(const std::string& value) {
  return value.find('"') != std::string::npos ? Ink::kString : Ink::kValue;
}

// Why nothing below is known, when it is the same for all of it: {status, reason}.
using Gap = std::pair<std::string, std::string>;
std::optional<Gap> CommonGap(const Json& value, int depth = 0) {
  const Json& children = List(value, "children");
  if (children.empty()) {
    const std::string status = Text(value, "status");
    const bool known = status == "EXACT" || status == "RECOVERED" || value.contains("value");
    return known ? std::nullopt : std::make_optional(Gap(status, Text(value, "reason")));
  }
  if (value.contains("value") || depth > kMaxDepth) return std::nullopt;
  std::optional<Gap> common;
  for (const Json& child : children) {
    if (IsEmptyBase(child)) continue;
    const std::optional<Gap> gap = CommonGap(child, depth + 1);
    if (!gap || (common && *common != *gap)) return std::nullopt;
    common = gap;
  }
  return common;
}

// Why nothing at all is known below, most frequent first; 0 leaves when something is known.
struct Gaps {
  size_t leaves = 0;
  std::map<Gap, size_t> reasons;
};
bool CountGaps(const Json& value, Gaps& gaps, int depth = 0) {
  if (value.contains("value") || depth > kMaxDepth) return false;
  const Json& children = List(value, "children");
  if (children.empty()) {
    const std::string status = Text(value, "status");
    if (status == "EXACT" || status == "RECOVERED") return IsEmptyBase(value);
    ++gaps.leaves;
    ++gaps.reasons[{status, Text(value, "reason")}];
    return true;
  }
  return std::all_of(children.begin(), children.end(), [&gaps, depth](const Json& child) {
    return CountGaps(child, gaps, depth + 1);
  });
}

// The reason for a value's one line in place of its tree: the same for all of it, or of most of
// many leaves that are all unknown.
std::optional<Gap> GapOf(const Json& value) {
  constexpr size_t kMany = 4;
  if (List(value, "children").empty()) return std::nullopt;
  if (auto common = CommonGap(value)) return common;
  Gaps gaps;
  if (!CountGaps(value, gaps) || gaps.leaves < kMany) return std::nullopt;
  return std::max_element(gaps.reasons.begin(), gaps.reasons.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// Code of the compiler's and the system's headers: in a caller it is what lies between the frames
// that somebody wrote.
bool IsSystemFrame(const Json& frame) { return Text(frame, "file").starts_with("/usr/include/"); }

// Nothing to show but the reason.
// "1.25 ms" of nanoseconds.
std::string DurationText(double nanos) {
  const char* const units[] = {"ns", "µs", "ms", "s"};
  int unit = 0;
  for (; unit < 3 && nanos >= 1000; ++unit) nanos /= 1000;
  char text[40];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.2f %s", nanos, units[unit]);
  return text;
}

// What a LOG says; what a SPAN was and how long.
std::string LineText(const Json& snapshot, const Json& frame) {
  if (Text(snapshot, "kind") == "LOG") return Text(snapshot, "message");
  const Json nanos = snapshot.value("durationNanos", Json());
  return Text(frame, "function") + "  " + DurationText(nanos.is_number() ? nanos.get<double>() : 0);
}

bool IsPlainGap(const Json& value) {
  return Text(value, "status") == "UNAVAILABLE" && !value.contains("value") &&
         List(value, "children").empty();
}

class Renderer {
 public:
  Renderer(const Style& style, const std::string& root) : style_(style), root_(root) {}

  std::string Render(const Json& snapshot) {
    Heading(snapshot);
    if (IsLine(snapshot)) {
      const Json& frames = List(snapshot, "frames");
      out_ += Paint(style_, Ink::kDim, "message ") +
              LineText(snapshot, frames.empty() ? Json::object() : frames[0]) + "\n";
    }
    const Json& expressions = List(snapshot, "expressions");
    if (!expressions.empty()) {
      out_ += "\n" + Paint(style_, Ink::kBold, "watches") + "\n";
      Values(expressions, "text", "  ", 0);
    }
    const Json& frames = List(snapshot, "frames");
    for (size_t i = 0; i < frames.size(); ++i) {
      size_t end = i;
      while (i > 0 && end < frames.size() && IsSystemFrame(frames[end])) ++end;
      if (end - i < 2) {
        Frame(frames[i], i);
        continue;
      }
      out_ += Paint(style_, Ink::kDim,
                    "#" + std::to_string(i) + "–#" + std::to_string(end - 1) + "  " +
                        std::to_string(end - i) + " frames in the headers of the system") +
              "\n";
      i = end - 1;
    }
    if (IsTrue(snapshot, "truncated")) {
      out_ += Paint(style_, Ink::kWarn, "the snapshot was cut at its byte limit") + "\n";
    }
    return std::move(out_);
  }

 private:
  void Heading(const Json& snapshot) {
    const auto found = snapshot.find("thread");
    const Json thread = found == snapshot.end() ? Json::object() : *found;
    out_ += Paint(style_, Ink::kBold, Text(snapshot, "service")) + "  " +
            Paint(style_, Ink::kDim, IsLine(snapshot) ? "event " : "snapshot ") +
            Text(snapshot, "id") + Paint(style_, Ink::kDim, "  tracepoint ") +
            Text(snapshot, "tracepointId") + "\n";
    std::string when = TimeText(Text(snapshot, "time"));
    const std::string micros = Micros(snapshot);
    if (!micros.empty()) when += "  " + Paint(style_, Ink::kGood, micros);
    out_ += Paint(style_, Ink::kDim, "time    ") + when + "\n";
    out_ += Paint(style_, Ink::kDim, "thread  ") + Text(thread, "name") + " (" +
            Text(thread, "id") + ")" + Paint(style_, Ink::kDim, "  instance ") +
            Text(snapshot, "instance").substr(0, 8) + "\n";
    const auto trace = snapshot.find("trace");
    if (trace != snapshot.end()) {
      out_ += Paint(style_, Ink::kDim, "trace   ") + Text(*trace, "traceId") +
              Paint(style_, Ink::kDim, "  span ") + Text(*trace, "spanId") +
              (IsTrue(*trace, "sampled") ? Paint(style_, Ink::kDim, "  sampled") : "") + "\n";
    }
  }

  void Frame(const Json& frame, size_t index) {
    const std::string function = Text(frame, "function");
    std::string title = Paint(style_, Ink::kDim, "#" + std::to_string(index) + "  ") +
                        Paint(style_, Ink::kBold, function.empty() ? "??" : function);
    if (IsTrue(frame, "inlined")) title += Paint(style_, Ink::kDim, " [inlined]");
    const std::string file = Text(frame, "file");
    const std::string line = Text(frame, "line");
    const std::string place =
        file.empty() ? Text(frame, "module") + " " + Text(frame, "pc") : file + ":" + line;
    const Json& variables = List(frame, "variables");
    // Callers that show nothing but gaps take one line; the JSON has the reasons.
    const bool tells = std::any_of(variables.begin(), variables.end(), [](const Json& variable) {
      return variable.contains("value") || variable.contains("children");
    });
    if (index == 0 || (tells && !IsSystemFrame(frame))) {
      out_ += "\n" + title + "\n    " + Paint(style_, Ink::kDim, place) + "\n";
      if (index == 0 && !file.empty()) Source(frame);
      Variables(variables, index);
    } else {
      out_ += title + "  " + Paint(style_, Ink::kDim, place) + "\n";
    }
    const std::string reason = Text(frame, "variablesReason");
    if (index == 0 && !reason.empty()) {
      out_ += "    " + Paint(style_, Ink::kWarn, "no variables: " + ReasonText(reason)) + "\n";
    }
  }

  void Source(const Json& frame) {
    const auto line = frame.find("line");
    if (line == frame.end() || !line->is_number_integer() || line->get<int64_t>() <= 0) return;
    const auto at = line->get<uint32_t>();
    for (const auto& [number, text] : LinesOf(frame, at, root_)) {
      char label[32];
      snprintf(label, sizeof label, "  %s %5u │ ", number == at ? "▶" : " ", number);
      const std::string shown = label + Fit(text, style_.width > 14 ? style_.width - 14 : 20);
      out_ += Paint(style_, number == at ? Ink::kPlain : Ink::kDim, shown) + "\n";
    }
  }

  // What is not known comes last, one line for each reason.
  void Variables(const Json& all, size_t index) {
    frame_ = index;
    Json known = Json::array();
    std::vector<std::pair<std::string, std::string>> gaps;  // reason, names
    for (const Json& variable : all) {
      if (!IsPlainGap(variable)) {
        known.push_back(variable);
        continue;
      }
      const std::string reason = Text(variable, "reason");
      auto found = std::find_if(gaps.begin(), gaps.end(),
                                [&reason](const auto& gap) { return gap.first == reason; });
      if (found == gaps.end()) found = gaps.insert(gaps.end(), {reason, ""});
      found->second += (found->second.empty() ? "" : ", ") + Text(variable, "name");
    }
    Values(known, "name", "    ", 0, gaps.empty());
    for (size_t i = 0; i < gaps.size(); ++i) {
      const std::string head = i + 1 == gaps.size() ? "    └─ " : "    ├─ ";
      const std::string note = "  — unavailable: " + ReasonText(gaps[i].first);
      const uint32_t used = Columns(head) + Columns(note);
      const uint32_t room = std::max(style_.width > used ? style_.width - used : 0, 24u);
      out_ += Paint(style_, Ink::kDim, head) +
              Paint(style_, Ink::kName, Fit(gaps[i].second, room)) +
              Paint(style_, Ink::kWarn, note) + "\n";
    }
  }

  // `ends`: nothing follows on this level.
  void Values(const Json& all, const char* name_key, const std::string& indent, int depth,
              bool ends = true) {
    Json values = Json::array();
    for (const Json& value : all) {
      if (!IsEmptyBase(value)) values.push_back(value);
    }
    const bool elements = !values.empty() && Text(values[0], name_key).starts_with("[");
    const size_t shown = elements ? std::min(values.size(), kMaxElements) : values.size();
    for (size_t i = 0; i < shown; ++i) {
      const bool last = ends && i + 1 == values.size();
      Value(values[i], name_key, indent + (last ? "└─ " : "├─ "), indent + (last ? "   " : "│  "),
            depth);
    }
    if (shown < values.size()) {
      out_ += Paint(style_, Ink::kDim,
                    indent + "└─ … " + std::to_string(values.size() - shown) +
                        " more (--output json shows them)") +
              "\n";
    }
  }

  void Value(const Json& value, const char* name_key, const std::string& head,
             const std::string& below, int depth) {
    const std::string name = Text(value, name_key);
    const std::string type = Text(value, "type");
    const std::string text = Text(value, "value");
    const Json& children = List(value, "children");
    std::string status = Text(value, "status");
    std::string reason = Text(value, "reason");
    const std::optional<Gap> gap = GapOf(value);
    if (gap) std::tie(status, reason) = *gap;
    std::string line = Paint(style_, Ink::kDim, head) + Paint(style_, Ink::kName, name);
    const uint32_t used = Columns(head) + Columns(name) + 3;
    const uint32_t room = std::max(style_.width > used ? style_.width - used : 0, 24u);
    std::string note = Note(status, reason);
    if (!text.empty()) line += " = " + Paint(style_, InkOf(text), Fit(text, room));
    const uint32_t shown = text.empty() ? 0 : std::min(Columns(text), room);
    if (!type.empty() && (room > shown + 6 || text.empty())) {
      const uint32_t left = room > shown + 2 ? room - shown - 2 : 12;
      line += "  " + Paint(style_, Ink::kDim, Fit(type, std::max(left, 12u)));
    }
    if (!note.empty()) line += "  " + note;
    if (const std::string same = depth == 0 && !gap ? SameAsInside(children, name) : "";
        !same.empty()) {
      out_ += line + Paint(style_, Ink::kDim, "  (as " + same + ")") + "\n";
      return;
    }
    out_ += line + "\n";
    if (depth < kMaxDepth && !gap) Values(children, "name", below, depth + 1);
  }

  // A function hands on what it was given: the tree of a variable that an inner frame has shown
  // already, with exactly these contents, is named, not repeated. "" when there is none.
  std::string SameAsInside(const Json& children, const std::string& name) {
    constexpr size_t kWorthIt = 250;  // bytes of JSON, about three lines
    if (children.empty()) return "";
    std::string contents = children.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (contents.size() < kWorthIt) return "";
    const auto [shown, is_new] =
        shown_.try_emplace(std::move(contents), frame_, name + " in #" + std::to_string(frame_));
    return is_new || shown->second.first == frame_ ? "" : shown->second.second;
  }

  std::string Note(const std::string& status, const std::string& reason) const {
    if (status == "EXACT" || status.empty()) return "";
    if (status == "RECOVERED") return Paint(style_, Ink::kDim, "(recovered: " + reason + ")");
    if (status == "REDACTED") return Paint(style_, Ink::kWarn, "— redacted");
    if (status == "TRUNCATED") return Paint(style_, Ink::kDim, "… " + ReasonText(reason));
    const std::string word = status == "UNREADABLE" ? "— unreadable" : "— unavailable";
    return Paint(style_, Ink::kWarn, word + (reason.empty() ? "" : ": " + ReasonText(reason)));
  }

  const Style& style_;
  const std::string& root_;
  std::string out_;
  size_t frame_ = 0;                                             // whose variables are being shown
  std::map<std::string, std::pair<size_t, std::string>> shown_;  // contents: frame, "name in #0"
};

}  // namespace

std::string ReasonText(const std::string& code) {
  static const std::map<std::string, std::string> kTexts = {
      {"OPTIMIZED_OUT", "optimized out by the compiler"},
      {"NOT_SAVED", "its register was not saved by a called function"},
      {"NOT_CAPTURED", "not copied at this hit"},
      {"UNREADABLE", "its memory cannot be read"},
      {"ENTRY_VALUE_UNKNOWN", "its register was overwritten and the caller does not tell it"},
      {"TAIL_CALL", "the function ended by jumping into another one, which has not returned yet"},
      {"FRAME_RELEASED", "it lived in the function's frame, which is gone"},
      {"TAIL_CALL_AMBIGUOUS", "its register was overwritten; a tail call hides who passed it"},
      {"THREAD_LOCAL_NOT_ALLOCATED", "this thread has not touched it yet"},
      {"UNSUPPORTED_LOCATION", "its location uses DWARF that is not supported yet"},
      {"UNSUPPORTED_TYPE", "its type is not supported yet"},
      {"INCOMPLETE_TYPE", "its type is only declared"},
      {"LIMIT", "more than the limits allow"},
      {"IMPLAUSIBLE", "its fields contradict each other (uninitialized?)"},
      {"NO_DEBUG_INFO", "no debug information"},
      {"NOT_IN_SCOPE", "not in scope"},
  };
  const auto found = kTexts.find(code);
  if (found != kTexts.end()) return found->second;
  // "IMPLAUSIBLE: its end is before its begin" explains itself.
  constexpr std::string_view kImplausible = "IMPLAUSIBLE: ";
  return code.starts_with(kImplausible) ? "corrupt: " + code.substr(kImplausible.size()) : code;
}

bool IsLine(const Json& snapshot) {
  const std::string kind = Text(snapshot, "kind");
  return kind == "LOG" || kind == "SPAN";
}

std::string RenderLogLine(const Json& snapshot, const Style& style) {
  const Json& frames = List(snapshot, "frames");
  const Json frame = frames.empty() ? Json::object() : frames[0];
  const std::string file = Text(frame, "file");
  const std::string place = file.substr(file.rfind('/') + 1) + ":" + Text(frame, "line");
  // "2026-01-02T03:04:05.678901234Z" -> "2026-01-02 03:04:05.678901"
  std::string time = Text(snapshot, "time").substr(0, 26);
  if (time.size() > 10 && time[10] == 'T') time[10] = ' ';
  const Json thread =
      snapshot.is_object() && snapshot.contains("thread") ? snapshot["thread"] : Json::object();
  std::string name = Text(thread, "name");
  if (name.empty()) name = Text(thread, "id");
  const std::string text = LineText(snapshot, frame);
  std::string line = Paint(style, Ink::kDim, time) + "  " + Paint(style, Ink::kName, name) + "  " +
                     Paint(style, Ink::kDim, place) + "  " + text;
  const auto trace = snapshot.find("trace");
  if (trace != snapshot.end()) {
    line += "  " + Paint(style, Ink::kDim, "trace " + Text(*trace, "traceId"));
  }
  return line;
}

std::string RenderSnapshot(const Json& snapshot, const Style& style,
                           const std::string& source_root) {
  if (!snapshot.is_object()) return "(not a snapshot)\n";
  return Renderer(style, source_root).Render(snapshot);
}

}  // namespace stillframe::cli
