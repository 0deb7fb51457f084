#include "agent/decode/time_text.h"

#include <cstdio>

namespace stillframe::decode {
namespace {

struct Unit {
  uint64_t numerator;
  uint64_t denominator;
  const char* name;
};
constexpr Unit kUnits[] = {
    {1, 1'000'000'000, "ns"},
    {1, 1'000'000, "us"},
    {1, 1'000, "ms"},
    {1, 1, "s"},
    {60, 1, "min"},
    {3'600, 1, "h"},
    {86'400, 1, "d"},
    // C++ has no short name for these ("[604800]s"); a month and a year are averages
    // ([time.syn]: a year is 365.2425 days, a month a twelfth of that).
    {604'800, 1, "w"},
    {2'629'746, 1, "mo"},
    {31'556'952, 1, "y"},
};

const Unit* FindUnit(uint64_t numerator, uint64_t denominator) {
  for (const Unit& unit : kUnits) {
    if (unit.numerator == numerator && unit.denominator == denominator) return &unit;
  }
  return nullptr;
}

std::string UnitName(uint64_t numerator, uint64_t denominator) {
  if (const Unit* unit = FindUnit(numerator, denominator)) return unit->name;
  std::string name = "[" + std::to_string(numerator);
  if (denominator != 1) name += "/" + std::to_string(denominator);
  return name + "]s";
}

// The digits of `part` (< 10^width) as a fraction, zeros at its end left out.
std::string Fraction(Uint128 part, int width) {
  if (width == 0) return "";
  std::string digits = UnsignedText(part);
  if (digits.size() < static_cast<size_t>(width)) digits.insert(0, width - digits.size(), '0');
  while (!digits.empty() && digits.back() == '0') digits.pop_back();
  return digits.empty() ? "" : "." + digits;
}

// Days since 1970 to a date: Howard Hinnant, "chrono-compatible low-level date algorithms".
void CivilDate(int64_t days, int64_t& year, unsigned& month, unsigned& day) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146'097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * day_of_year + 2) / 153;
  day = day_of_year - (153 * shifted + 2) / 5 + 1;
  month = shifted < 10 ? shifted + 3 : shifted - 9;
  year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
}

}  // namespace

std::string DurationText(Int128 count, uint64_t numerator, uint64_t denominator) {
  const bool negative = count < 0;
  const Uint128 size = negative ? -static_cast<Uint128>(count) : static_cast<Uint128>(count);
  const std::string sign = negative ? "-" : "";
  const bool decimal = numerator == 1 && (denominator == 1'000 || denominator == 1'000'000 ||
                                          denominator == 1'000'000'000);
  if (!decimal || size == 0) {
    return sign + UnsignedText(size) + UnitName(numerator, denominator);
  }
  Uint128 scale = 1;
  int width = 0;
  uint64_t below = denominator;
  while (below > 1 && size / scale >= 1'000) {
    scale *= 1'000;
    width += 3;
    below /= 1'000;
  }
  return sign + UnsignedText(size / scale) + Fraction(size % scale, width) + UnitName(1, below);
}

std::string DurationText(const std::string& count, uint64_t numerator, uint64_t denominator) {
  return count + UnitName(numerator, denominator);
}

std::string SystemTimeText(Int128 count, uint64_t numerator, uint64_t denominator) {
  // Ticks in a second or seconds in a tick: one of the two is a whole number for all clocks there
  // are.
  if (numerator == 0 || denominator == 0 || (numerator != 1 && denominator != 1)) return "";
  const Int128 in_ticks = count * static_cast<Int128>(numerator);
  const auto per_second = static_cast<Int128>(denominator);
  Int128 seconds = in_ticks / per_second;
  Int128 rest = in_ticks % per_second;
  if (rest < 0) {
    rest += per_second;
    --seconds;
  }
  constexpr Int128 kFirst = -62'167'219'200;  // 0000-01-01
  constexpr Int128 kLast = 253'402'300'799;   // 9999-12-31
  if (seconds < kFirst || seconds > kLast) return "";
  int width = 0;
  for (uint64_t power = denominator; power > 1; power /= 10, ++width) {
    if (power % 10 != 0) return "";
  }
  const auto whole = static_cast<int64_t>(seconds);
  const int64_t days = (whole >= 0 ? whole : whole - 86'399) / 86'400;
  const auto of_day = static_cast<int>(whole - days * 86'400);
  int64_t year = 0;
  unsigned month = 0, day = 0;
  CivilDate(days, year, month, day);
  char text[40];
  snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(year), month, day,
           of_day / 3'600, of_day / 60 % 60, of_day % 60);
  return text + Fraction(static_cast<Uint128>(rest), width) + "Z";
}

}  // namespace stillframe::decode
