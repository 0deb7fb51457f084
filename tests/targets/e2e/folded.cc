// Closures and types whose code is identical: a linker that folds it leaves one for all.
#include <any>
#include <cstdio>
#include <functional>

namespace shop {

struct First {
  long id;
};
struct Second {
  long id;
};

[[gnu::noinline]] void Show(const std::function<int(int)>& first, const std::function<int(int)>& second,
                            const std::any& one, const std::any& other) {
  // Five bytes: a function that is a bare `ret` can be probed at some load addresses and not at others.
  asm volatile("nopl 0(%%rax,%%rax,1)" : : "r"(&first), "r"(&second), "r"(&one), "r"(&other) : "memory");  // mark-show
}

}  // namespace shop

int main() {
  const std::function<int(int)> first = [](int x) { return x + 1; };
  const std::function<int(int)> second = [](int x) { return x + 1; };
  const std::any one = shop::First{1}, other = shop::Second{2};
  shop::Show(first, second, one, other);
  std::printf("%d %s %s\n", first(1) + second(2), one.type().name(), other.type().name());
}
