// Data of three modules: module_globals_data.cc and module_globals_user.cc are shared libraries,
// module_globals.cc is the program.
#pragma once

namespace data {
struct Config {
  int level;
  const char* name;
};
extern int g_number;
extern Config g_config;
extern const long g_fixed;
struct Registry {
  static long count;
  int used;
};
}  // namespace data

extern int g_shared;  // of the data library, and of the program, which comes first
extern int g_choice;  // of the user library, and of the program
extern int g_own;     // of the user library alone
extern int g_absent __attribute__((weak));

struct Pool {
  static inline int size = 5;
  int used;
};

void UseAll(const char* who);
void Keep(const data::Registry& registry, const Pool& pool);
