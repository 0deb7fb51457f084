// Plans for the targets that want some: made by the symbolizer from the seeds, and then damaged.
#ifndef STILLFRAME_TESTS_FUZZ_PLANS_H_
#define STILLFRAME_TESTS_FUZZ_PLANS_H_

#include "plan/plan.h"
#include "tests/fuzz/fuzz.h"

namespace stillframe::fuzz {

// A plan over the standard containers, and one over plain classes of optimized code.
const std::vector<ProbePlan>& SoundPlans();

// Changes bytes of the plan's tables: each edit is 4 bytes (table, entry, offset, value).
void Damage(ProbePlan& plan, Input& input, unsigned edits);

}  // namespace stillframe::fuzz

#endif  // STILLFRAME_TESTS_FUZZ_PLANS_H_
