// Durations and times as people write them.
#ifndef STILLFRAME_AGENT_DECODE_TIME_TEXT_H_
#define STILLFRAME_AGENT_DECODE_TIME_TEXT_H_

#include <cstdint>
#include <string>

#include "agent/decode/scalar_text.h"

namespace stillframe::decode {

// `count` units of numerator / denominator seconds: "250ms", "1.5s", "36h", "42[1/60]s". Decimal
// fractions of seconds go up to the largest unit that they fill, without losing a digit.
std::string DurationText(Int128 count, uint64_t numerator, uint64_t denominator);
// The same of a floating-point count, whose text is `count`: "1.5s".
std::string DurationText(const std::string& count, uint64_t numerator, uint64_t denominator);
// That long after 1970 in UTC: "2026-01-02T03:04:05.678Z"; "" when out of the calendar's years
// 0000 to 9999.
std::string SystemTimeText(Int128 count, uint64_t numerator, uint64_t denominator);

}  // namespace stillframe::decode

#endif  // STILLFRAME_AGENT_DECODE_TIME_TEXT_H_
