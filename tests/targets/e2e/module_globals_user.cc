#include "module_globals.h"

#include <cstdio>

int g_choice = 1;
int g_own = 11;

[[gnu::noinline]] void Keep(const data::Registry&, const Pool&) { asm volatile(""); }

[[gnu::noinline]] void UseAll(const char* who) {
  Keep({1}, {2});  // else their types are not described
  data::g_number += 2;
  ++data::Registry::count;
  g_choice += 10;
  g_own += 10;
  Pool::size += 3;
  g_shared += 7;
  std::printf("truth %s data::g_number=%d data::g_config.level=%d data::Registry::count=%ld "
              "g_shared=%d g_choice=%d g_own=%d Pool::size=%d data::g_fixed=%ld absent=%d\n",
              who, data::g_number, data::g_config.level, data::Registry::count, g_shared, g_choice,
              g_own, Pool::size, data::g_fixed, &g_absent != nullptr);
  std::fflush(stdout);  // mark-user
}
