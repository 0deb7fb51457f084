// LTTng-UST's static tracepoint with the five fields. Included again and again by its macros.
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER sfbench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_events.h"

#if !defined(STILLFRAME_BENCHMARKS_PROBES_LTTNG_EVENTS_H_) || \
    defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define STILLFRAME_BENCHMARKS_PROBES_LTTNG_EVENTS_H_

#include <lttng/tracepoint.h>
#include <stdint.h>

// clang-format off
LTTNG_UST_TRACEPOINT_EVENT(
    sfbench, hit,
    LTTNG_UST_TP_ARGS(int64_t, id, int64_t, count, double, price, const char*, name,
                      int64_t, quantity),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int64_t, id, id)
        lttng_ust_field_integer(int64_t, count, count)
        lttng_ust_field_float(double, price, price)
        lttng_ust_field_string(name, name)
        lttng_ust_field_integer(int64_t, quantity, quantity)))
// clang-format on

#endif  // STILLFRAME_BENCHMARKS_PROBES_LTTNG_EVENTS_H_

#include <lttng/tracepoint-event.h>
