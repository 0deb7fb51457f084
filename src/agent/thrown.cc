#include "agent/thrown.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/status.h"
#include "model/redaction.h"
#include "symbolizer/symbol_table.h"

namespace stillframe::agent {
namespace {

constexpr const char* kTypeOfType = "std::type_info";

// `0x55… "text"` -> `"text"`, with its quotes; "" when there is no text.
std::string TextOf(const std::string& value) {
  const size_t begin = value.find('"');
  return begin == std::string::npos ? "" : value.substr(begin);
}

std::string TypeName(std::string_view mangled) {
  constexpr std::string_view kPrefix = "typeinfo name for ";
  if (mangled.starts_with('*')) mangled.remove_prefix(1);  // a type of one unit only
  const std::string symbol = "_ZTS" + std::string(mangled);
  const std::string demangled = Demangle(symbol);
  return demangled.starts_with(kPrefix) ? demangled.substr(kPrefix.size()) : std::string(mangled);
}

}  // namespace

void NameThrown(model::Snapshot& snapshot) {
  if (snapshot.expressions.size() < 2) return;
  model::Value& type = snapshot.expressions[0];
  const std::string name = TextOf(type.value);
  if (name.size() > 2 && name.ends_with('"')) {
    type.value = TypeName(std::string_view(name).substr(1, name.size() - 2));
    type.type = kTypeOfType;
  }
  model::Value& what = snapshot.expressions[1];
  if (const std::string text = TextOf(what.value); !text.empty()) what.value = text;
}

void HideThrown(model::Snapshot& snapshot) {
  for (model::Value& value : snapshot.expressions) {
    if (&value == &snapshot.expressions.front() && value.type == kTypeOfType) continue;
    model::WipeText(value.value);
    value.value.clear();
    value.has_value = false;
    value.children.clear();
    value.status = model::ValueStatus::kRedacted;
    value.reason = CodeName(Code::kDeniedByPolicy);
  }
  if (snapshot.kind != model::Kind::kLog) return;
  model::WipeText(snapshot.message);
  snapshot.message = "<redacted>";
}

std::string FingerprintText(uint64_t fingerprint) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(fingerprint));
  return text;
}

void AddFault(const RecordHeader& header, model::Snapshot& snapshot) {
  const auto add = [&snapshot](const char* name, const char* type, std::string value) {
    model::Value fact;
    fact.name = name;
    fact.type = type;
    fact.value = std::move(value);
    fact.has_value = true;
    snapshot.expressions.push_back(std::move(fact));
  };
  const char* const name = sigabbrev_np(static_cast<int>(header.signal_number));
  add("signal", "int", std::string("SIG") + (name == nullptr ? "?" : name));
  if (header.signal_number == SIGABRT) return;
  char address[24];
  std::snprintf(address, sizeof address, "0x%llx",
                static_cast<unsigned long long>(header.fault_address));
  add("address", "void *", address);
}

}  // namespace stillframe::agent
