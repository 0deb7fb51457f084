// Between entry_stash.cc, which has debug information, and entry_stash_callers.cc, which has none.
#pragma once

using Callback = long (*)(long key, long other, double rate);
using Compare = int (*)(const void*, const void*);

// Calls it back, with its arguments in another order so that nobody knows them but by looking.
long CallBack(Callback callback, long key, double rate);
void Sort(long* values, unsigned long count, Compare compare);
void SortStd(long* values, unsigned long count, bool (*less)(long, long));
// Calls `again(left - 1, key + 1)`.
long Descend(long (*again)(long left, long key), long left, long key);
