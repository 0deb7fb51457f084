// Texts that end with a zero, among them some behind which nothing can be read.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "stillframe/trace.h"

struct Message {
  const char* at_page_end;
  const char* plain;
  char* none;
  const char* wild;
  const char* unending;  // the page ends before it does
  const char* large;
  const char* sealed;
  long number;
};

__attribute__((noinline)) void Handle(const Message& message, const char* own) {
  asm volatile("" : : "r"(&message), "r"(own) : "memory");
  asm volatile("nop" : : "r"(&message), "r"(own) : "memory");  // mark-text
  asm volatile("" : : "r"(&message), "r"(own) : "memory");
}

int main() {
  const long page = sysconf(_SC_PAGESIZE);
  auto* const pages = static_cast<char*>(
      mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(pages + page, page, PROT_NONE);
  std::memset(pages + page - 8, 'u', 8);
  static char last[64];
  auto* const other = static_cast<char*>(
      mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(other + page, page, PROT_NONE);
  std::strcpy(other + page - 5, "edge");
  std::strcpy(last, "own");
  const std::string large(300, 'x');
  // Made here: no text of the program's file is to look like a secret.
  const std::string token = std::string("Bearer ") + std::string(24, 't');
  Message message{other + page - 5, "plain \"text\"",  nullptr,       reinterpret_cast<char*>(16),
                  pages + page - 8, large.c_str(), token.c_str(), 0};
  for (long i = 0; i < 60; ++i) {
    char parent[64];
    std::snprintf(parent, sizeof parent, "00-%032lx-%016lx-01", i + 1, i + 1);
    stillframe::TraceScope scope(i % 2 == 0 ? parent : "");
    message.number = i;
    Handle(message, last);
  }
  std::puts("done");
}
