// Compiled without debug information: callers that tell nothing.
#include "entry_stash.h"

#include <algorithm>
#include <cstdlib>

long CallBack(Callback callback, long key, double rate) {
  return callback(key * 3 + 1, key ^ 0x55, rate * 0.5) + 1;
}

void Sort(long* values, unsigned long count, Compare compare) {
  std::qsort(values, count, sizeof *values, compare);
}

void SortStd(long* values, unsigned long count, bool (*less)(long, long)) {
  std::sort(values, values + count, less);
}

long Descend(long (*again)(long left, long key), long left, long key) {
  return again(left - 1, key + 1) + 1;
}
