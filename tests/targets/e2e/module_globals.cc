#include "module_globals.h"

#include <cstdio>

int g_shared = 200;
int g_choice = 2;

[[gnu::noinline]] void UseHere() {
  Keep({1}, {2});
  data::g_number += 5;
  data::g_config.level += 4;
  data::Registry::count *= 2;
  g_shared += 3;
  g_choice += 5;
  Pool::size += 1;
  std::printf("truth program data::g_number=%d data::g_config.level=%d data::Registry::count=%ld "
              "g_shared=%d g_choice=%d g_own=%d Pool::size=%d data::g_fixed=%ld\n",
              data::g_number, data::g_config.level, data::Registry::count, g_shared, g_choice, g_own,
              Pool::size, data::g_fixed);
  std::fflush(stdout);  // mark-program
}

int main() {
  UseHere();
  UseAll("library");
  UseHere();
}
