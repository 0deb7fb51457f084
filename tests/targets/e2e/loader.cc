// Libraries that come and go: MODE PLUGIN [OTHER-PLUGIN] [ROUNDS].
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using Function = long (*)(long);
using Clock = std::chrono::steady_clock;

struct Plugin {
  explicit Plugin(const char* path) : handle(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (handle == nullptr) {
      std::printf("%s\n", dlerror());
      std::exit(4);
    }
    step = reinterpret_cast<Function>(dlsym(handle, "PluginStep"));
    steps = reinterpret_cast<Function>(dlsym(handle, "PluginSteps"));
  }
  void Close() { dlclose(handle); }
  void* handle;
  Function step;
  Function steps;
};

bool Ask() {
  char byte;
  return read(STDIN_FILENO, &byte, 1) == 1;
}

void Say(const char* word) {
  std::printf("%s\n", word);
  std::fflush(stdout);
}

bool IsPatched(Function step, const unsigned char (&before)[16]) {
  return std::memcmp(reinterpret_cast<const void*>(step), before, sizeof before) != 0;
}

// Prints how many microseconds after dlopen returned the text was patched; the code at the first
// moment is what the file has, because the agent cannot be that fast.
long MicrosecondsUntilPatched(const char* path) {
  const Plugin plugin(path);
  const auto start = Clock::now();
  unsigned char before[16];
  std::memcpy(before, reinterpret_cast<const void*>(plugin.step), sizeof before);
  while (!IsPatched(plugin.step, before)) {
    if (Clock::now() - start > std::chrono::seconds(5)) return -1;
    usleep(500);
  }
  const auto took = Clock::now() - start;
  plugin.steps(100);
  const_cast<Plugin&>(plugin).Close();
  return static_cast<long>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
}

int Later(const char* path, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    usleep(60000);
    std::printf("%ld\n", MicrosecondsUntilPatched(path));
  }
  return 0;
}

// The two files have the same size, so that one is mapped where the other was.
int Loop(const char* first, const char* second, int rounds) {
  long wrong = 0, same_place = 0;
  Function last = nullptr;
  for (int i = 0; i < rounds; ++i) {
    Plugin plugin(i % 2 == 0 ? first : second);
    const long number = i % 2 == 0 ? 1 : 2;
    wrong += plugin.steps(50) != 50 * number;
    if (i % 16 == 0) usleep(40000);  // the agent gets to see it
    wrong += plugin.steps(50) != 50 * number;
    same_place += plugin.step == last;
    last = plugin.step;
    plugin.Close();
  }
  std::printf("wrong %ld same place %s\n", wrong, same_place > rounds / 2 ? "often" : "seldom");
  return 0;
}

// Unloads and loads at once: the agent sees the same list as before, but the text is new.
int Reload(const char* path) {
  Plugin plugin(path);
  Say("loaded");
  if (!Ask()) return 3;
  long value = plugin.steps(10);
  plugin.Close();
  Plugin again(path);
  Say("loaded");
  if (!Ask()) return 3;
  value += again.steps(10);
  std::printf("value %ld\n", value);
  return 0;
}

int CloseArmed(const char* path) {
  Plugin plugin(path);
  Say("loaded");
  if (!Ask()) return 3;
  const long value = plugin.steps(10);
  plugin.Close();
  Say("closed");
  if (!Ask()) return 3;
  std::printf("value %ld\n", value);
  return 0;
}

// A thread is blocked in the library's code when it goes; it never comes back.
int CloseInside(const char* path) {
  Plugin plugin(path);
  Say("loaded");
  if (!Ask()) return 3;
  int pipes[2];
  if (pipe(pipes) != 0) return 1;
  const auto wait = reinterpret_cast<long (*)(int)>(dlsym(plugin.handle, "PluginWait"));
  std::thread([wait, fd = pipes[0]] { wait(fd); }).detach();
  usleep(50000);
  plugin.Close();
  Say("closed");
  if (!Ask()) return 3;
  std::printf("done\n");
  return 0;
}

// A constructor's thread holds the loader's lock and forks there.
int Threads(const char* path, int rounds) {
  std::atomic<bool> stop{false};
  std::atomic<long> wrong{0};
  std::thread forker([&] {
    while (!stop) {
      const pid_t child = fork();
      if (child == 0) {
        // The loader's lock must be free in the child.
        void* library = dlopen("libm.so.6", RTLD_NOW);
        _exit(library == nullptr ? 1 : 0);
      }
      int status = 0;
      waitpid(child, &status, 0);
      wrong += status != 0;
      usleep(1000);
    }
  });
  for (int i = 0; i < rounds; ++i) {
    Plugin plugin(path);
    wrong += plugin.steps(100) != 100;
    if (i % 10 == 0) usleep(30000);
    plugin.Close();
  }
  stop = true;
  forker.join();
  std::printf("wrong %ld\n", wrong.load());
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string mode = argv[1];
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 10;
  if (mode == "later") return Later(argv[2], rounds);
  if (mode == "loop") return Loop(argv[2], argv[3], rounds);
  if (mode == "reload") return Reload(argv[2]);
  if (mode == "close-armed") return CloseArmed(argv[2]);
  if (mode == "close-inside") return CloseInside(argv[2]);
  if (mode == "threads") return Threads(argv[2], rounds);
  return 2;
}
