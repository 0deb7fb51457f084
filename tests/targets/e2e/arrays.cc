// Variable-length arrays: their sizes are known at run time only.
#include <cstdio>
#include <cstring>
#include <string>

namespace shop {

__attribute__((noinline)) void Hold(const void* object) {
  asm volatile("" : : "r"(object) : "memory");
}

struct Item {
  const char* name;
  int count;
};

__attribute__((noinline)) int Fill(int n, int room) {
  int squares[n];
  char text[room];
  double grid[n][3];
  Item items[n];
  for (int i = 0; i < n; ++i) {
    squares[i] = i * i;
    items[i] = {i % 2 == 0 ? "even" : "odd", i};
    for (int j = 0; j < 3; ++j) grid[i][j] = i + j / 10.0;
  }
  std::memset(text, 0, static_cast<size_t>(room));
  std::strcpy(text, "hello");
  Hold(squares);
  Hold(text);
  Hold(grid);
  Hold(items);  // mark-arrays
  std::printf("%d %s %g %s\n", squares[n - 1], text, grid[1][2], items[1].name);
  return squares[n - 1];
}

// Its frame is aligned at run time, so GCC describes what is in it by rbp.
__attribute__((noinline)) int FillAligned(int n) {  // mark-begins-wide
  alignas(64) double wide[8] = {0.5};
  int squares[n];
  double grid[n][n + 1];
  for (int i = 0; i < n; ++i) {
    squares[i] = i * i;
    for (int j = 0; j <= n; ++j) grid[i][j] = i + j / 10.0;
  }
  Hold(wide);
  Hold(squares);
  Hold(grid);  // mark-aligned
  return squares[n - 1];
}

}  // namespace shop

int main(int argc, char**) {
  std::printf("%d\n", shop::FillAligned(argc + 4));
  std::printf("%d\n", shop::Fill(argc + 4, 40));
  return 0;
}
