#include "symbolizer/prologue.h"

#include <dwarf.h>

#include <optional>
#include <string_view>

namespace stillframe {
namespace {

std::string_view Producer(Dwarf_Die* unit) {
  Dwarf_Attribute attribute;
  if (dwarf_attr(unit, DW_AT_producer, &attribute) == nullptr) return {};
  const char* text = dwarf_formstring(&attribute);
  return text == nullptr ? std::string_view() : text;
}

// GCC records its options in DW_AT_producer ("GNU C++17 12.2.0 -mtune=generic -O2 -g"); nullopt
// when the producer says nothing about optimization.
std::optional<bool> OptimizedByProducer(Dwarf_Die* unit) {
  const std::string_view producer = Producer(unit);
  if (producer.substr(0, 4) != "GNU " || producer.find(" -") == std::string_view::npos) {
    return std::nullopt;
  }
  // The last -O wins.
  const size_t option = producer.rfind(" -O");
  return option != std::string_view::npos && producer.substr(option + 3, 1) != "0";
}

// By the frame's base, or by the register that stands for it in frames aligned at run time (Clang:
// rbx), which is the caller's before the prologue has run.
bool IsInFrame(const Dwarf_Op& op) {
  return op.atom == DW_OP_fbreg || op.atom == DW_OP_breg3 || op.atom == DW_OP_breg6;
}

bool HasAttribute(Dwarf_Die* die, unsigned name) { return dwarf_hasattr_integrate(die, name) != 0; }

}  // namespace

bool NeedsPrologueSkip(Dwarf_Die* unit, Dwarf_Die* function) {
  if (const std::optional<bool> optimized = OptimizedByProducer(unit)) return !*optimized;
  // Clang and GCC write these only when they optimize.
  for (const unsigned name : {DW_AT_call_all_calls, DW_AT_call_all_tail_calls,
                              DW_AT_GNU_all_call_sites, DW_AT_GNU_all_tail_call_sites}) {
    if (HasAttribute(function, name)) return false;
  }
  Dwarf_Die child;
  if (dwarf_child(function, &child) != 0) return true;
  do {
    Dwarf_Attribute location;
    if (dwarf_tag(&child) != DW_TAG_formal_parameter ||
        dwarf_attr(&child, DW_AT_location, &location) == nullptr) {
      continue;
    }
    const unsigned form = dwarf_whatform(&location);
    if (form == DW_FORM_loclistx || form == DW_FORM_sec_offset) return false;
    Dwarf_Op* expression = nullptr;
    size_t length = 0;
    if (dwarf_getlocation(&location, &expression, &length) == 0 && length > 0) {
      return IsInFrame(expression[0]);
    }
  } while (dwarf_siblingof(&child, &child) == 0);
  return true;
}

bool MarksEachStatement(Dwarf_Die* unit) {
  return OptimizedByProducer(unit).value_or(false) &&
         Producer(unit).find("-gno-statement-frontiers") == std::string_view::npos;
}

}  // namespace stillframe
