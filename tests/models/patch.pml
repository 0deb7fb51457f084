/* Changing live text while threads run it.
 *
 * Mirrors TextWriter::ReplaceAll (src/agent/probe/text_writer.cc), ReplaceBatch (replace_batch.cc),
 * and the contract of TextSystem::CoreSync (text_system.h).
 *
 * The instruction is four bytes. Memory changes by single stores: a byte, or an aligned word. A
 * thread fetches word by word, each whole, and may then run what it fetched for any time, whatever
 * memory holds by now, until it passes a core sync. Arming and disarming follow one another; each
 * step of the guarded store that can fail does so now and then.
 *
 * Property: what a thread runs is the complete old instruction, the complete new one, or the
 * complete guard, on which it stays.
 *
 * Method (one): PUN one byte changes; ALIGNED all four in one word, one store; GUARDED two words.
 * Broken, and expected to fail:
 *   BYTEWISE       ALIGNED, but the word is written byte by byte (/proc/self/mem may tear)
 *   NO_GUARD       GUARDED without the guard
 *   NO_SYNC_1      GUARDED without the core sync after the guard
 *   NO_SYNC_2      GUARDED without the core sync after the tail
 *   SYNC_DIES      the core sync fails from some moment on for good (a sandbox that comes down in
 *                  the middle of a store): a known limit of ReplaceBatch's roll-back
 *   FOREIGN ONE_ATTEMPT  see FOREIGN; the word is not read again when the exchange fails
 * With GUARDED, and expected to hold:
 *   FOREIGN        another patcher changes a neighbour's byte in the head's word at any time, some
 *                  times over: what it wrote is taken over and the exchange made again
 * Expected to be reached: REACH_NEW, REACH_GUARD, REACH_ROLLBACK.
 */
#ifndef THREADS
#define THREADS 2
#endif
#define CHANGES 3 /* arm, disarm, arm */

#define O 1 /* a byte of the old instruction */
#define N 2 /* of the new one */
#define C 3 /* common to both: the punned bytes */
#define G 4 /* of the guard */

#ifdef GUARDED
#define HEAD_BYTES 2 /* in the first word; the rest lies in the second */
#else
#define HEAD_BYTES 4
#endif
#ifdef PUN
#define TAIL_OLD C
#define TAIL_NEW C
#else
#define TAIL_OLD O
#define TAIL_NEW N
#endif

byte mem[4];

typedef Fetched {
  byte bytes[4];
  bit valid[2] /* of each word */
};
Fetched cpu[THREADS];

/* ---- the threads ---- */

inline Fetch(me, first, end, word) {
  d_step {
    j = first;
    do
    :: j < end -> cpu[me].bytes[j] = mem[j]; j++
    :: else -> break
    od;
    cpu[me].valid[word] = 1;
    j = 0
  }
}

#define IS(f, head, tail) (f.bytes[0] == head && f.bytes[1] == tail && f.bytes[2] == tail && \
                           f.bytes[3] == tail)

inline Run(me) {
  d_step {
    runs_guard = (cpu[me].bytes[0] == G);
    runs_new = IS(cpu[me], N, TAIL_NEW);
    if
    :: runs_guard -> runs_whole = (cpu[me].bytes[1] == G) /* both in the first word */
    :: else -> runs_whole = runs_new || IS(cpu[me], O, TAIL_OLD)
    fi;
    assert(runs_whole);
#ifdef REACH_GUARD
    assert(!runs_guard);
#endif
#ifdef REACH_NEW
    assert(!runs_new);
#endif
    runs_whole = 0; runs_guard = 0; runs_new = 0
  }
}

proctype Thread(byte me) {
  byte j;
  bit runs_whole, runs_guard, runs_new;
end:
  do
  :: Fetch(me, 0, HEAD_BYTES, 0)
  :: Fetch(me, HEAD_BYTES, 4, 1)
  :: cpu[me].valid[0] && (cpu[me].valid[1] || cpu[me].bytes[0] == G) -> Run(me)
  od
}

/* ---- the agent ---- */

bool sync_works = true;
bool sync_ok;

/* One thread after the other, the rest running on: membarrier(2) returns when all have passed. */
inline CoreSync() {
  i = 0;
  if
  :: sync_works ->
     do
     :: i < THREADS -> d_step { cpu[i].valid[0] = 0; cpu[i].valid[1] = 0; i++ }
     :: else -> break
     od;
     sync_ok = true
#ifdef SYNC_DIES
  :: true -> sync_works = false; sync_ok = false
  :: !sync_works -> sync_ok = false
#endif
#ifdef GUARDED
  :: failures > 0 -> failures--; sync_ok = false /* once */
#endif
  fi;
  i = 0
}

/* Bytes first..end-1 become those of the instruction `armed` (N) or not (O); one store. */
inline StoreHead(armed, end) {
  d_step {
    k = 0;
    do
    :: k < end ->
       if
       :: k == 0 -> mem[k] = (armed -> N : O)
       :: else -> mem[k] = (armed -> TAIL_NEW : TAIL_OLD)
       fi;
       k++
    :: else -> break
    od;
    k = 0
  }
}
inline StoreTail(armed) {
  d_step {
    k = HEAD_BYTES;
    do
    :: k < 4 -> mem[k] = (armed -> TAIL_NEW : TAIL_OLD); k++
    :: else -> break
    od;
    k = 0
  }
}

inline ReplaceInOneStore(armed) {
#ifdef BYTEWISE
  mem[0] = (armed -> N : O);
  mem[1] = (armed -> TAIL_NEW : TAIL_OLD);
  mem[2] = (armed -> TAIL_NEW : TAIL_OLD);
  mem[3] = (armed -> TAIL_NEW : TAIL_OLD);
#else
  StoreHead(armed, 4);
#endif
  CoreSync();
  done = armed
}

inline ReplaceGuarded(armed) {
  ok = true;
  written = false;
#ifndef NO_GUARD
  d_step { mem[0] = G; mem[1] = G };
#ifndef NO_SYNC_1
  CoreSync();
  ok = sync_ok;
#endif
#endif
  if
  :: ok ->
     if
     :: StoreTail(armed); written = true
     :: failures > 0 -> failures--; ok = false /* another patcher changed the word */
     fi;
#ifndef NO_SYNC_2
     if
     :: written -> CoreSync(); ok = sync_ok
     :: else
     fi
#endif
  :: else
  fi;
  if
  :: !ok && written ->
#ifdef REACH_ROLLBACK
     assert(!written);
#endif
     StoreTail(!armed);
     CoreSync()
  :: else
  fi;
#ifdef FOREIGN
  do
  :: near_before = near; /* what the failed exchange tells */
     atomic {
       if
       :: near == near_before ->
          if
          :: ok -> StoreHead(armed, HEAD_BYTES); done = armed
          :: else -> StoreHead(!armed, HEAD_BYTES)
          fi;
          break
       :: else
#ifdef ONE_ATTEMPT
          -> goto finished
#endif
       fi
     }
  od;
#else
  if
  :: ok -> StoreHead(armed, HEAD_BYTES); done = armed
  :: else -> StoreHead(!armed, HEAD_BYTES)
  fi;
#endif
  CoreSync()
}

byte failures = 1;

#ifdef FOREIGN
byte near; /* a byte of the head's word that is not ours */
active proctype OtherPatcher() { near = 1; near = 2; near = 3 }
#endif

proctype Agent() {
  byte i, k, changes;
  bool ok, written, want, done, waits_for_ever;
#ifdef FOREIGN
  byte near_before;
#endif
  do
  :: changes < CHANGES ->
     want = !done;
#ifdef GUARDED
     ReplaceGuarded(want);
#else
     ReplaceInOneStore(want);
#endif
     changes++
  :: else -> break
  od;
finished:
  waits_for_ever = (mem[0] == G);
  assert(!waits_for_ever)
}

init {
  byte t;
  d_step {
    mem[0] = O; mem[1] = TAIL_OLD; mem[2] = TAIL_OLD; mem[3] = TAIL_OLD;
  }
  atomic {
    do
    :: t < THREADS -> run Thread(t); t++
    :: else -> break
    od;
    run Agent()
  }
}
