#include "agent/measure_plan.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "plan/verifier.h"

namespace stillframe::agent {
namespace {

Program Append(PlanUnit& unit, const Insn& insn) {
  const Program program{static_cast<uint32_t>(unit.code.size()), 2};
  unit.code.push_back(insn);
  unit.code.push_back(MakeInsn(Op::kReturn));
  return program;
}

std::optional<hit::NumberFormat> FormatOf(const TypeNode& type) {
  using hit::NumberFormat;
  switch (type.kind) {
    case TypeKind::kSigned:
      if (type.size_bytes > 8) return std::nullopt;
      return NumberFormat::kSigned;
    case TypeKind::kBool:
    case TypeKind::kUnsigned:
      if (type.size_bytes > 8) return std::nullopt;
      return NumberFormat::kUnsigned;
    case TypeKind::kChar:
    case TypeKind::kUnicode:
    case TypeKind::kEnum:
      return (type.flags & kFlagUnsigned) != 0 ? NumberFormat::kUnsigned : NumberFormat::kSigned;
    case TypeKind::kFloat:
      if (type.size_bytes == 4) return NumberFormat::kFloat32;
      return type.size_bytes == 8 ? std::optional(NumberFormat::kFloat64) : std::nullopt;
    default:
      return std::nullopt;
  }
}

// kOk, or why there is nothing to be had at this site.
Code ReadLocation(PlanUnit& unit, const Location& location, hit::MeasureSite& site) {
  switch (location.kind) {
    case LocationKind::kMemory:
    case LocationKind::kValue:
      site.program = location.program;
      site.in_memory = location.kind == LocationKind::kMemory ? 1 : 0;
      return Code::kOk;
    case LocationKind::kXmm:
      site.program =
          Append(unit, MakeInsn(Op::kXmm, 0, location.reg, site.size_bytes <= 4 ? 4 : 8));
      return Code::kOk;
    case LocationKind::kBytes: {
      const std::string& bytes = unit.strings[location.bytes];
      int64_t value = 0;
      if (bytes.size() < site.size_bytes) return Code::kUnsupportedLocation;
      std::memcpy(&value, bytes.data(), site.size_bytes);
      site.program = Append(unit, MakeInsn(Op::kConst, value));
      return Code::kOk;
    }
    case LocationKind::kUnavailable:
      return location.reason;
    default:
      return Code::kUnsupportedLocation;
  }
}

}  // namespace

Result<std::vector<hit::MeasureSite>> MakeMeasureSites(ProbePlan& plan) {
  std::vector<hit::MeasureSite> sites;
  Code reason = Code::kOk;
  bool any = false;
  for (const SitePlan& site : plan.sites) {
    if (site.expression_count == 0) {
      return Status(Code::kInvalidArgument, "a DISTRIBUTION needs an expression");
    }
    const Variable variable = plan.unit.variables[site.first_expression];
    const TypeNode& type = plan.unit.types[variable.type];
    const std::string& text = plan.unit.strings[variable.name];
    if ((variable.flags & kVariableRedacted) != 0) {
      return Status(Code::kRedacted, "'" + text + "' is redacted");
    }
    hit::MeasureSite measure;
    const auto format = FormatOf(type);
    if (!format && variable.location.kind != LocationKind::kUnavailable) {
      return Status(Code::kBadExpression,
                    "'" + text + "' is no number but a " + plan.unit.strings[type.name]);
    }
    measure.format = format.value_or(hit::NumberFormat::kSigned);
    measure.size_bytes = static_cast<uint8_t>(std::clamp<uint32_t>(type.size_bytes, 1, 8));
    const Code code = ReadLocation(plan.unit, variable.location, measure);
    if (code == Code::kOk) {
      any = true;
    } else {
      reason = code;
      measure.program = Append(plan.unit, MakeInsn(Op::kFail, 0, static_cast<uint8_t>(code)));
    }
    sites.push_back(measure);
  }
  if (!any) return Status(reason, "the expression has no value at this line");
  SF_RETURN_IF_ERROR(VerifyPlan(plan).WithContext("distribution"));
  return sites;
}

void AddDistribution(const hit::DistributionSums& from, hit::DistributionSums& into) {
  if (from.count == 0) return;
  into.min = into.count == 0 ? from.min : std::min(into.min, from.min);
  into.max = into.count == 0 ? from.max : std::max(into.max, from.max);
  into.count += from.count;
  into.zeros += from.zeros;
  into.sum += from.sum;
  for (int sign = 0; sign < 2; ++sign) {
    for (int i = 0; i < hit::kBuckets; ++i) into.buckets[sign][i] += from.buckets[sign][i];
  }
}

model::Distribution DescribeDistribution(const hit::DistributionSums& sums) {
  model::Distribution out;
  out.count = sums.count;
  out.sum = sums.sum;
  out.min = sums.min;
  out.max = sums.max;
  out.scale = hit::kScale;
  out.zero_count = sums.zeros;
  for (int i = 0; i < hit::kBuckets; ++i) {
    const int32_t index = i + hit::kFirstIndex;
    if (sums.buckets[0][i] != 0) out.positive[index] = sums.buckets[0][i];
    if (sums.buckets[1][i] != 0) out.negative[index] = sums.buckets[1][i];
  }
  return out;
}

}  // namespace stillframe::agent
