// A plain program for sandboxes: threads run lines of every shape; no call that sandboxes forbid.
#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <string>

struct Node {
  long value;
  Node* next;
};

__attribute__((noinline)) long Step(long value) {
  asm volatile(".byte 0x0f, 0x1f, 0x44, 0, 0" : "+r"(value));  // mark-step
  return value + 1;
}

__attribute__((noinline)) long Visit(const Node* node) {
  long sum = node->value;             // mark-first
  sum += node->next->value * 3;       // mark-second
  asm volatile("" : "+r"(sum));
  if (sum > 1000000) sum -= 7;        // mark-third
  asm volatile("" : "+r"(sum));
  return sum;                         // mark-fourth
}

__attribute__((noinline)) long Text(long value) {
  std::string text = std::to_string(value);
  asm volatile("" : : "r"(text.data()) : "memory");
  return static_cast<long>(text.size());  // mark-text
}

void* Work(void* out) {
  long sum = 0;
  Node* second = new Node{2, nullptr};
  Node* first = new Node{1, second};
  for (long i = 0; i < 3000; ++i) {
    first->value = i;
    sum += Step(i) + Visit(first) + Text(i);
  }
  delete first;
  delete second;
  *static_cast<long*>(out) = sum;
  return nullptr;
}

int main() {
  long sums[2] = {};
  pthread_t thread;
  const bool two = pthread_create(&thread, nullptr, &Work, &sums[0]) == 0;
  Work(&sums[1]);
  if (two) pthread_join(thread, nullptr);
  std::printf("%ld %d\n", sums[1], !two || sums[0] == sums[1]);
  return 0;
}
