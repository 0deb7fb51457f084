// What every hit-path file needs around its code so that it is compiled for general registers only
// and so that ordinary library calls are not generated.
//
// GCC takes -mgeneral-regs-only for the whole file. Clang 14 has no such option that works with the
// standard headers; there the attribute is pushed after the includes and popped at the end.
#ifndef STILLFRAME_AGENT_RING_HIT_PATH_H_
#define STILLFRAME_AGENT_RING_HIT_PATH_H_

#if defined(__clang__)
// _Pragma takes one literal; the line break is a limit of the preprocessor's, not of the text.
// clang-format off
#define SF_HIT_PATH_BEGIN \
  _Pragma("clang attribute push(__attribute__((target(\"general-regs-only\"))), apply_to = function)")
// clang-format on
#define SF_HIT_PATH_END _Pragma("clang attribute pop")
#else
#define SF_HIT_PATH_BEGIN
#define SF_HIT_PATH_END
#endif

#define SF_HIT_INLINE inline __attribute__((always_inline))

#endif  // STILLFRAME_AGENT_RING_HIT_PATH_H_
