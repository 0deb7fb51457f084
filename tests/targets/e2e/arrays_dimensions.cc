// Variable-length arrays of several dimensions, of which any may be known at run time only.
#include <cstdio>
#include <cstring>

namespace shop {

__attribute__((noinline)) void Hold(const void* object) {
  asm volatile("" : : "r"(object) : "memory");
}

struct Item {
  const char* name;
  int count;
};

__attribute__((noinline)) int Dimensions(int n, int m, int k) {
  short cube[n][m][k];
  int wide[2][m];
  int deep[n][3][k];
  Item items[n][m];
  char words[n][k];
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < m; ++j) {
      items[i][j] = {(i + j) % 2 == 0 ? "even" : "odd", 10 * i + j};
      for (int l = 0; l < k; ++l) cube[i][j][l] = static_cast<short>(100 * i + 10 * j + l);
    }
    for (int j = 0; j < 3; ++j) {
      for (int l = 0; l < k; ++l) deep[i][j][l] = -(100 * i + 10 * j + l);
    }
    std::memset(words[i], 0, static_cast<size_t>(k));
    std::strcpy(words[i], i == 0 ? "one" : "two");
  }
  for (int j = 0; j < m; ++j) {
    wide[0][j] = j;
    wide[1][j] = 7 * j;
  }
  Hold(cube);
  Hold(wide);
  Hold(deep);
  Hold(words);
  Hold(items);  // mark-dimensions
  std::printf("%d %d %d %s %s\n", cube[n - 1][m - 1][k - 1], wide[1][m - 1], deep[n - 1][2][k - 1],
              items[n - 1][m - 1].name, words[n - 1]);
  return cube[0][0][0] + n + m + k;
}

}  // namespace shop

int main(int argc, char**) {
  std::printf("%d\n", shop::Dimensions(argc + 1, argc + 2, argc + 3));
  return 0;
}
