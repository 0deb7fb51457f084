// Built several times; each library takes the number of the one that was unloaded before it.
#include <cstdio>

static thread_local long t_plugin[SIZE] = {PLUGIN};

extern "C" void Plugin(int touch) {
  if (touch != 0) t_plugin[0] += touch;
  std::printf("plugin %d %d\n", PLUGIN, touch);
  std::fflush(stdout);  // mark-plugin
  if (touch != 0) std::printf("truth plugin t_plugin[0]=%ld\n", t_plugin[0]);
}
