/* Records on their way from hits to the agent thread.
 *
 * Mirrors Acquire, Commit and Abandon of src/agent/ring/ring.cc and Take and Release of
 * src/agent/ring/ring_control.cc.
 *
 * Writers claim a slot's bit in `free`, fill the slot, number it, and give the bit to `ready`; the
 * one reader takes the oldest that is ready, reads it and gives the bit back. A writer may abandon
 * its slot, and one may end for good at any step in between. Release and acquire orders are in the
 * order of the statements; the broken variants do what a missing one permits.
 *
 * Properties: the reader never sees a slot that is not whole; a slot has one owner at most; each
 * record whose Commit returned is taken exactly once; a writer that ends costs one slot, and its
 * record is taken once or never; the bits of `free` and `ready` are never given twice.
 *
 * Broken, and expected to fail:
 *   EARLY_READY    the bit is set before the record is whole (Commit without release)
 *   EARLY_FREE     the bit is given back before the record is read (Release without release)
 *   PLAIN_CLAIM    Acquire stores instead of exchanging
 *   PLAIN_READY    Commit reads and writes `ready` in two steps
 *   KEEP_READY     Take leaves the bit
 * Expected to be reached: REACH_FULL, REACH_TAKEN, REACH_DEATH.
 */
#define SLOTS 2
#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef RECORDS
#define RECORDS 1 /* of each writer */
#endif
#define ATTEMPTS 2
#define NOBODY 99
#define READER 98

#define BIT(i) (1 << (i))
#define ALL (BIT(SLOTS) - 1)
#define ID(writer, n) ((writer) * RECORDS + (n) + 1)

byte free = ALL;
byte ready;
byte committed;
byte sequence[SLOTS];
byte first_half[SLOTS], second_half[SLOTS]; /* of the record: its id, twice */

/* What the properties need, no part of the ring. */
byte holder[SLOTS] = NOBODY;
byte finished[WRITERS]; /* commits that returned */
bool taken[WRITERS * RECORDS + 1];
byte writers_left = WRITERS;
byte dead_slots;
bool may_die = true;

inline Become(slot, from, to) {
  assert(holder[slot] == from);
  holder[slot] = to
}

inline Acquire() {
  attempts = 0;
  seen = free;
  slot = NOBODY;
  do
  :: attempts < ATTEMPTS && seen != 0 && slot == NOBODY ->
     atomic { lowest = 0; do :: (seen & BIT(lowest)) != 0 -> break :: else -> lowest++ od };
#ifdef PLAIN_CLAIM
     free = seen & ~BIT(lowest);
     slot = lowest;
#else
     atomic {
       if
       :: free == seen -> free = seen & ~BIT(lowest); slot = lowest
       :: else -> seen = free
       fi
     };
#endif
     attempts++
  :: else -> break
  od;
  if
  :: slot != NOBODY -> Become(slot, NOBODY, me)
  :: else
  fi;
  seen = 0; lowest = 0; attempts = 0
}

inline SetReady() {
#ifdef PLAIN_READY
  seen = ready;
  atomic { holder[slot] = NOBODY; ready = seen | BIT(slot) };
  seen = 0
#else
  atomic { holder[slot] = NOBODY; ready = ready | BIT(slot) }
#endif
}

inline MayDie() {
  if
  :: may_die ->
     d_step { may_die = false; dead_slots++ };
#ifdef REACH_DEATH
     assert(may_die);
#endif
     goto gone
  :: true
  fi
}

proctype Writer(byte me) {
  byte slot, seen, lowest, attempts, number, mine;
  do
  :: number < RECORDS ->
     Acquire();
     if
     :: slot == NOBODY -> /* counted ringFull: no record */
#ifdef REACH_FULL
        assert(slot != NOBODY);
#endif
        taken[ID(me, number)] = true
     :: else ->
        first_half[slot] = ID(me, number);
        MayDie();
        if
        :: /* Abandon */
           atomic { Become(slot, me, NOBODY); free = free | BIT(slot) };
           taken[ID(me, number)] = true
        :: /* Commit */
#ifdef EARLY_READY
           atomic { committed++; mine = committed };
           sequence[slot] = mine;
           SetReady();
           second_half[slot] = ID(me, number)
#else
           second_half[slot] = ID(me, number);
           atomic { committed++; mine = committed };
           MayDie();
           sequence[slot] = mine;
           SetReady()
#endif
        fi
     fi;
     number++;
     finished[me] = number;
     slot = 0; mine = 0
  :: else -> break
  od;
gone:
  writers_left--
}

inline Take() {
  seen = ready;
  oldest = NOBODY;
  atomic { /* `least` and what was looked at are the reader's own */
    i = 0;
    do
    :: i < SLOTS ->
       if
       :: (seen & BIT(i)) != 0 && (oldest == NOBODY || sequence[i] < least) ->
          oldest = i; least = sequence[i]
       :: else
       fi;
       i++
    :: else -> break
    od;
    i = 0; least = 0
  };
  if
  :: oldest != NOBODY ->
#ifndef KEEP_READY
     atomic { ready = ready & ~BIT(oldest); Become(oldest, NOBODY, READER) }
#else
     skip
#endif
  :: else
  fi
}

inline Read() {
  d_step {
    whole = (first_half[oldest] == second_half[oldest] && first_half[oldest] != 0);
    assert(whole);
    taken_before = taken[first_half[oldest]];
    assert(!taken_before);
    taken[first_half[oldest]] = true;
#ifdef REACH_TAKEN
    assert(!taken[first_half[oldest]]);
#endif
    whole = 0; taken_before = 0
  }
}

inline Release() {
  atomic { holder[oldest] = NOBODY; free = free | BIT(oldest) }
}

proctype Reader() {
  byte seen, oldest, i, least, w, n;
  bool whole, taken_before, lost, last;
  do
  :: true ->
     last = (writers_left == 0);
     Take();
     if
     :: oldest != NOBODY ->
#ifdef EARLY_FREE
        Release();
        Read()
#else
        Read();
        Release()
#endif
     :: oldest == NOBODY && last -> break
     :: oldest == NOBODY && !last -> (ready != 0 || writers_left == 0)
     fi
  od;
  atomic { /* nothing moves any more */
    w = 0;
    do
    :: w < WRITERS ->
       n = 0;
       do
       :: n < finished[w] -> lost = lost || !taken[ID(w, n)]; n++
       :: else -> break
       od;
       w++
    :: else -> break
    od;
    assert(!lost);
    n = 0; i = 0;
    do
    :: i < SLOTS -> if :: (free & BIT(i)) != 0 -> n++ :: else fi; i++
    :: else -> break
    od;
    assert(n + dead_slots == SLOTS)
  }
}

init {
  byte w;
  atomic {
    do
    :: w < WRITERS -> run Writer(w); w++
    :: else -> break
    od;
    run Reader()
  }
}
