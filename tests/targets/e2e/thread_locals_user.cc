#include "thread_locals.h"

thread_local int t_choice = 1;
thread_local int t_own = 11;
static thread_local int t_hidden = 21;

[[gnu::noinline]] void Use(int round) {
  Keep({1});
  data::t_number += 2 * round;
  DataBy(round);
  t_choice += 10;
  t_own += 10 + round;
  t_hidden += 7;
  Pool::t_size += 3;
  std::printf("truth library data::t_number=%d data::t_config[1]=%ld t_choice=%d t_own=%d "
              "t_hidden=%d Pool::t_size=%d\n",
              data::t_number, data::t_config[1], t_choice, t_own, t_hidden, Pool::t_size);
  std::fflush(stdout);  // mark-user
}

[[gnu::noinline]] void DoNotUse(int round) {
  std::printf("untouched %d\n", round);
  std::fflush(stdout);  // mark-untouched
}
