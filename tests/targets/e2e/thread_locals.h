// Thread-locals of several modules. thread_locals_data.cc and thread_locals_user.cc are shared
// libraries, thread_locals_plugin.cc one that is loaded and unloaded, thread_locals.cc the program.
#pragma once

#include <cstdio>

namespace data {
extern thread_local int t_number;    // of the data library
extern thread_local long t_config[2];
}  // namespace data
extern thread_local int t_choice;    // of the user library, and of the program, which comes first
extern thread_local int t_own;       // of the user library, which exports it

struct Pool {
  static inline thread_local int t_size = 5;  // of each module that uses it; the program's counts
  int used;
};

void Use(int round);         // of the user library
void DoNotUse(int round);    // has no need of thread-local storage
long DataBy(int summand);    // of the data library

[[gnu::noinline]] inline void Keep(const Pool& pool) { asm volatile("" : : "r"(&pool)); }
