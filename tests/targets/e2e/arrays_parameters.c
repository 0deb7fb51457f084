// C's parameters of variable length: pointers to rows, of which only the caller's numbers tell how
// long they are.
#include <stdio.h>

__attribute__((noinline)) int Row(int n, int m, int table[n][m]) {
  int sum = table[0][0] + table[n - 1][m - 1];
  printf("%d\n", sum);  // mark-row
  return sum;
}

__attribute__((noinline)) int Slab(int n, int m, int k, short cube[n][m][k]) {
  int sum = cube[0][0][0] + cube[n - 1][m - 1][k - 1];
  printf("%d\n", sum);  // mark-slab
  return sum;
}

int main(int argc, char** argv) {
  (void)argv;
  int table[2][3] = {{1, 2, 3}, {4, 5, 6}};
  short cube[2][2][3] = {{{1, 2, 3}, {4, 5, 6}}, {{7, 8, 9}, {10, 11, 12}}};
  return Row(argc + 1, argc + 2, table) + Slab(argc + 1, argc + 1, argc + 2, cube) == 0;
}
