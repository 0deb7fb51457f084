#include "thread_locals.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

thread_local int t_choice = 2;

[[gnu::noinline]] void UseHere(int round) {
  Keep({1});
  data::t_number += 5 * round;
  data::t_config[1] += 1;
  t_choice += 5;
  t_own += 1;
  Pool::t_size += round;
  std::printf("truth program data::t_number=%d data::t_config[1]=%ld t_choice=%d t_own=%d "
              "t_hidden=0 Pool::t_size=%d\n",
              data::t_number, data::t_config[1], t_choice, t_own, Pool::t_size);
  std::fflush(stdout);  // mark-program
}

// A thread that does what it is told, one thing after another.
class Worker {
 public:
  Worker() : thread_([this] { Run(); }) {}
  ~Worker() {
    Do({});
    thread_.join();
  }
  void Do(std::function<void()> work) {
    std::unique_lock lock(mutex_);
    const bool ends = !work;
    work_ = std::move(work);
    is_told_ = true;
    changed_.notify_all();
    if (!ends) changed_.wait(lock, [this] { return !is_told_; });
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return is_told_; });
      if (!work_) return;
      work_();
      is_told_ = false;
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  bool is_told_ = false;
  std::thread thread_;
};

class Plugin {
 public:
  explicit Plugin(const char* path) : library_(dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) {
      std::puts(dlerror());
      std::exit(1);
    }
    WaitForProbe();
  }
  ~Plugin() { dlclose(library_); }
  void Call(int touch) const { function()(touch); }

 private:
  using Function = void (*)(int);
  Function function() const { return reinterpret_cast<Function>(dlsym(library_, "Plugin")); }
  // Until its code is no longer as it was, and has not changed for a while: the agent has seen the
  // library and is done with it.
  void WaitForProbe() const {
    const auto* const code = reinterpret_cast<const char*>(function());
    const size_t size = std::min<size_t>(256, 4096 - reinterpret_cast<uintptr_t>(code) % 4096);
    const std::string before(code, size);
    std::string now = before;
    for (int waits = 0, unchanged = 0; waits < 1000 && unchanged < 20; ++waits) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      const std::string then = std::exchange(now, std::string(code, size));
      unchanged = now == before || now != then ? 0 : unchanged + 1;
    }
  }
  void* library_;
};

int main(int count, char** argv) {
  for (int round = 1; round <= 2; ++round) {
    UseHere(round);
    Use(round);
    std::thread([&] {
      Use(10 * round);
      UseHere(10 * round);
    }).join();
  }
  std::thread([] { DoNotUse(1); }).join();
  if (count < 4) return 0;
  Worker worker;
  {
    const Plugin first(argv[1]);
    worker.Do([&] { first.Call(3); });
  }
  {
    const Plugin second(argv[2]);
    second.Call(4);
    // The worker has the first one's block in the second one's place, and has not looked since.
    worker.Do([&] { second.Call(0); });
    worker.Do([&] { second.Call(5); });
  }
  const Plugin fixed(argv[3]);  // initial-exec
  worker.Do([&] { fixed.Call(6); });
}
