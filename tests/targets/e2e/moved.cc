// Does what its input says, one line at a time, and answers each: files behind running code are moved,
// replaced and deleted meanwhile.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "moved.h"

__attribute__((noinline)) int ProgramStep(int value) {
  std::string text(3, 'p');
  asm volatile("" : "+r"(value) : "r"(&text) : "memory");
  return value + static_cast<int>(text.size());  // mark-program
}

int main() {
  int (*step)(int) = nullptr;
  std::string word, from, to;
  for (int round = 0; std::cin >> word; ++round) {
    long answer = -1;
    if (word == "program") answer = ProgramStep(round);
    if (word == "shared") answer = SharedStep(round);
    if (word == "library" && step != nullptr) answer = step(round);
    if (word == "leave" && std::cin >> to) answer = chdir(to.c_str());
    if (word == "delete" && std::cin >> from) answer = unlink(from.c_str());
    if (word == "rename" && std::cin >> from >> to) answer = std::rename(from.c_str(), to.c_str());
    if (word == "load" && std::cin >> from) {
      void* const handle = dlopen(from.c_str(), RTLD_NOW);
      void* const found = handle == nullptr ? nullptr : dlsym(handle, "LibraryStep");
      if (found != nullptr) step = reinterpret_cast<int (*)(int)>(found);
      answer = handle != nullptr;
    }
    std::cout << word << ' ' << answer << std::endl;
  }
  return 3;
}
