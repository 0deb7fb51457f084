#include "tests/fuzz/plans.h"

#include <fstream>

#include "symbolizer/symbolizer.h"

namespace stillframe::fuzz {
namespace {

uint32_t LineOf(const std::string& path, std::string_view mark) {
  std::ifstream in(path);
  uint32_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find(mark) != std::string::npos) return number;
  }
  return 0;
}

ProbePlan Compile(const std::string& module, const std::string& source, std::string_view mark,
                  std::vector<std::string> expressions) {
  const auto symbolizer = Symbolizer::Create({});
  const auto opened = symbolizer->OpenModule(module, "");
  SF_FUZZ_CHECK(opened.ok());
  PlanRequest request;
  request.file = source.substr(source.rfind('/') + 1);
  request.line = LineOf(source, mark);
  request.expressions = std::move(expressions);
  auto plan = (*opened)->Compile(request);
  if (!plan.ok()) Broken("seeds compile", __FILE__, __LINE__, plan.status().ToString());
  return std::move(plan).value();
}

template <typename T>
void DamageEntry(std::vector<T>& table, size_t entry, size_t offset, uint8_t value) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (table.empty()) return;
  auto* const bytes = reinterpret_cast<uint8_t*>(&table[entry % table.size()]);
  bytes[offset % sizeof(T)] = value;
}

}  // namespace

const std::vector<ProbePlan>& SoundPlans() {
  static const std::vector<ProbePlan> plans = [] {
    const std::string sources = STILLFRAME_FUZZ_SOURCES;
    std::vector<ProbePlan> made;
    made.push_back(Compile(STILLFRAME_FUZZ_SEEDS "/containers", sources + "/containers.cc",
                           "plans: here", {"order.text", "derived->number + 1"}));
    made.push_back(Compile(STILLFRAME_FUZZ_SEEDS "/modules/small_gcc_O2_5", sources + "/small.cc",
                           "Outside(this, sum, rate)", {"items", "id"}));
    return made;
  }();
  return plans;
}

void Damage(ProbePlan& plan, Input& input, unsigned edits) {
  PlanUnit& unit = plan.unit;
  for (; edits > 0 && !input.empty(); --edits) {
    const uint8_t table = input.Byte();
    const size_t entry = input.Byte();
    const size_t offset = input.Byte();
    const uint8_t value = input.Byte();
    switch (table % 13) {
      case 0:
        DamageEntry(unit.code, entry, offset, value);
        break;
      case 1:
        DamageEntry(unit.types, entry, offset, value);
        break;
      case 2:
        DamageEntry(unit.members, entry, offset, value);
        break;
      case 3:
        DamageEntry(unit.enumerators, entry, offset, value);
        break;
      case 4:
        DamageEntry(unit.views, entry, offset, value);
        break;
      case 5:
        DamageEntry(unit.derived, entry, offset, value);
        break;
      case 6:
        DamageEntry(unit.pieces, entry, offset, value);
        break;
      case 7:
        DamageEntry(unit.variables, entry, offset, value);
        break;
      case 8:
        DamageEntry(unit.virtual_frames, entry, offset, value);
        break;
      case 9:
        DamageEntry(unit.frames, entry, offset, value);
        break;
      case 10:
        DamageEntry(unit.call_parameters, entry, offset, value);
        break;
      case 11:
        DamageEntry(plan.sites, entry, offset, value);
        break;
      default: {
        std::string& text = unit.strings[entry % unit.strings.size()];
        if (!text.empty()) text[offset % text.size()] = static_cast<char>(value);
      }
    }
  }
}

}  // namespace stillframe::fuzz
