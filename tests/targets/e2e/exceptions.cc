// Standard exceptions, of which the debug information has declarations only, as handlers see them.
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

namespace shop {

struct NoStock : std::runtime_error {
  NoStock(const std::string& item, int wanted) : std::runtime_error(item), missing(wanted) {}
  int missing;
};
struct Closed : std::exception {
  const char* what() const noexcept override { return "closed"; }
  int day = 7;
};
struct Report {
  std::exception nothing;
  int code = 12;
  std::range_error error{"the range of the report"};
};

__attribute__((noinline)) void Hold(const void* object) { asm volatile("" : : "r"(object) : "memory"); }

__attribute__((noinline)) int Throw(int kind) {
  if (kind == 0) throw std::out_of_range("the twelfth of ten");
  if (kind == 1) throw NoStock("bread", 3);
  if (kind == 2) throw Closed();
  if (kind == 3) throw std::bad_alloc();
  if (kind == 4) throw std::system_error(std::make_error_code(std::errc::io_error), "disk");
  throw std::exception();
}

__attribute__((noinline)) int Handle(int kind) {
  try {
    return Throw(kind);
  } catch (const std::exception& error) {
    const std::exception* pointer = &error;
    Hold(&pointer);
    Hold(&error);  // mark-handler
    return kind;
  }
}

__attribute__((noinline)) int Locals() {
  std::invalid_argument argument("an argument that is no number");
  std::logic_error& reference = argument;
  Report report;
  Hold(&argument);
  Hold(&reference);
  Hold(&report);
  return report.code;  // mark-locals
}

}  // namespace shop

int main() {
  int sum = shop::Locals();
  for (int kind = 0; kind < 6; ++kind) sum += shop::Handle(kind);
  std::printf("%d\n", sum);
}
