// A service that does as it is told: each line of its input is a batch of requests, each of which
// runs the probed line once:
//   COUNT TRACEPARENT BAGGAGE THREAD-NAME      ("-" for what is absent)
// and is answered by "done COUNT". `spin SECONDS` runs the line as fast as it can.
#include <pthread.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "stillframe/trace.h"

struct Node {
  int depth;
  std::string text;
  std::vector<Node> children;
};

__attribute__((noinline)) uint64_t Serve(const Node& node, uint64_t n) {
  asm volatile("" : "+r"(n) : "r"(&node) : "memory");
  return n * 31 + node.text.size();  // mark-serve
}

Node Tree(int depth) {
  Node node{depth, "at depth " + std::to_string(depth) + std::string(60, 'x'), {}};
  for (int i = 0; depth > 0 && i < 8; ++i) node.children.push_back(Tree(depth - 1));
  return node;
}

int main() {
  std::string line;
  const Node tree = Tree(4);
  uint64_t sum = 0, n = 0;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string first, traceparent = "-", baggage = "-", name = "-";
    words >> first >> traceparent >> baggage >> name;
    if (first == "spin") {
      const auto end = std::chrono::steady_clock::now() +
                       std::chrono::milliseconds(static_cast<int>(1000 * std::stod(traceparent)));
      while (std::chrono::steady_clock::now() < end) sum ^= Serve(tree, ++n);
      std::cout << "done spin" << std::endl;
      continue;
    }
    if (name != "-") pthread_setname_np(pthread_self(), name.c_str());
    const stillframe::TraceScope scope(traceparent == "-" ? "" : traceparent,
                                       baggage == "-" ? "" : baggage);
    for (int i = std::stoi(first); i > 0; --i) sum ^= Serve(tree, ++n);
    std::cout << "done " << first << std::endl;
  }
  std::cout << "sum " << sum << std::endl;
  return 0;
}
