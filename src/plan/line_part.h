// What a site's `part` (plan.h) tells about the line table there.
#ifndef STILLFRAME_PLAN_LINE_PART_H_
#define STILLFRAME_PLAN_LINE_PART_H_

#include <cstdint>

namespace stillframe {

// A part is a column and how often that came before in one run of the line's rows; these flags say
// what else is known of the site.
struct LinePartBits {
  // No statement begins here by the line table, only rows of the line do: GCC marks no statements
  // in instances of templates.
  static constexpr uint32_t kRun = 1u << 31;
  // The last row of the same address is another line's: the statement has no code of its own here.
  static constexpr uint32_t kEmpty = 1u << 30;
  // Another line's statement comes before it at the same address, and behind it.
  static constexpr uint32_t kBehind = 1u << 27;
  static constexpr uint32_t kBefore = 1u << 26;
  // A call begins that is inlined, on a line that has no code of its own.
  static constexpr uint32_t kCall = 1u << 25;
  // The compiler marks each statement once for each of its copies (GCC when it optimizes). Else the
  // same part again may as well be the rest of it, with another line's code scheduled between.
  static constexpr uint32_t kExact = 1u << 29;
  // Code without optimization: there are no copies.
  static constexpr uint32_t kPlain = 1u << 28;
  static constexpr uint32_t kNumber = kCall - 1;
};

}  // namespace stillframe

#endif  // STILLFRAME_PLAN_LINE_PART_H_
