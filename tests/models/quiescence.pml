/* When what a hit may still read can be freed.
 *
 * Mirrors Enter, Withdraw, ClaimSlot and TakeFromDead of src/agent/hit/hit.cc (and the announcement of compiled
 * probe code, src/agent/probe/arch/x86_64/trampoline.cc), and WaitForQuiescence, Barrier, AnyOlder
 * and FreeDeadSlots of src/agent/hit/hit_control.cc.
 *
 * A hit announces the epoch that it read in its thread's slot with a plain store, then loads the
 * list and uses it, then withdraws. Threads without a slot count themselves in and out with locked
 * additions. The agent replaces the list, turns the epoch twice, each time making every thread pass
 * a barrier and waiting for older hits, and frees the old list. Memory is x86's: each thread's
 * stores wait in a buffer, its loads do not (total store order); locked operations, membarrier(2)
 * and the end of a thread empty the buffer. Threads end, also inside of a hit, and their number may
 * be given to a new thread.
 *
 * Property: no list is freed while a hit uses it.
 *
 * Broken, and expected to fail:
 *   NO_BARRIER       no membarrier
 *   ONE_TURN         the epoch is turned once (needs a thread without a slot)
 *   EPOCH_FIRST      the list is replaced after the epochs
 *   CLEAR_FIRST      a dead thread's announcement is cleared before its slot is taken back
 *   CHECK_FIRST      whether the owner is dead is asked before its slot is taken back
 *   HITS_CLAIM_DEAD  the same in hits
 * Expected to be reached: REACH_USE_AFTER_REPLACE, REACH_DEAD_IN_HIT, REACH_UNSLOTTED, REACH_END.
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifdef ONE_TURN
#define TURNS 1
#else
#define TURNS 2
#endif
#ifndef THREADS
#define THREADS 3 /* the third has the first one's number, and begins when that has ended */
#endif
#ifndef HITS
#define HITS 1 /* of each thread */
#endif
#ifndef LISTS
#define LISTS 2
#endif
#define NOBODY 0
#define TAKING_BACK 9 /* as an owner: kTakingBack */
#define NO_SLOT 99

byte list;           /* SiteRuntime::list */
bool freed[LISTS];
byte epoch = 1;      /* odd, steps of two; 0 is "no hit" */
byte owner[SLOTS];   /* a thread number, NOBODY or TAKING_BACK */
byte announced[SLOTS];
byte running[2];     /* hits of threads without a slot */
bool alive[3];       /* by thread number */
bool first_ended;

chan buffer[THREADS] = [3] of { byte, byte }; /* slot, value: stores on their way */

inline Flush(whose) {
  d_step {
    do
    :: nempty(buffer[whose]) -> buffer[whose]?fs, fv; announced[fs] = fv
    :: empty(buffer[whose]) -> break
    od;
    fs = 0; fv = 0
  }
}

proctype StoreBuffer(byte me) {
  byte fs, fv;
end:
  do
  :: d_step { nempty(buffer[me]) -> buffer[me]?fs, fv; announced[fs] = fv; fs = 0; fv = 0 }
  od
}

/* ---- a thread ---- */

/* The exchange compares with what was read just before, so the two are one step here. */
inline ClaimSlot() {
  s = 0;
  slot = NO_SLOT;
  do
  :: atomic { s < SLOTS && slot == NO_SLOT ->
       if
       :: owner[s] == NOBODY || owner[s] == number ->
          Flush(me);
          owner[s] = number;
          slot = s;
          buffer[me]!slot, 0
       :: else
       fi;
#ifndef HITS_TAKE_FREE_ONLY
       seen = owner[s]
     };
     if
#ifdef HITS_CLAIM_DEAD
     :: slot == NO_SLOT && seen != TAKING_BACK && !alive[seen] ->
        atomic {
          if
          :: owner[s] == seen -> Flush(me); owner[s] = number; slot = s; buffer[me]!slot, 0
          :: else
          fi
        }
#else
     :: slot == NO_SLOT && seen != TAKING_BACK ->
        atomic {
          if
          :: owner[s] == seen -> Flush(me); owner[s] = TAKING_BACK
          :: else -> seen = TAKING_BACK
          fi
        };
        if
        :: seen == TAKING_BACK
        :: seen != TAKING_BACK && alive[seen] -> owner[s] = seen
        :: seen != TAKING_BACK && !alive[seen] ->
           owner[s] = number; slot = s; buffer[me]!slot, 0
        fi
#endif
     :: else
     fi;
     atomic {
#endif
       s++
     }
  :: else -> break
  od;
  s = 0; seen = 0
}

inline End() {
  atomic {
    Flush(me);
    alive[number] = false;
    first_ended = first_ended || me == 0
  }
}

proctype Thread(byte me; byte number) {
  byte fs, fv, s, seen, slot, hits, read_epoch, mine;
  atomic {
    me < 2 || first_ended;
    alive[number] = true
  };
  ClaimSlot();
  do
  :: hits < HITS ->
     read_epoch = epoch;
     if
     :: slot != NO_SLOT -> buffer[me]!slot, read_epoch
     :: else ->
#ifdef REACH_UNSLOTTED
        assert(slot != NO_SLOT);
#endif
        atomic { Flush(me); running[(read_epoch / 2) % 2]++ }
     fi;
     mine = list;
     assert(!freed[mine]);
#ifdef REACH_USE_AFTER_REPLACE
     assert(mine == list);
#endif
     assert(!freed[mine]);
     if
     :: slot != NO_SLOT -> buffer[me]!slot, 0
     :: slot == NO_SLOT -> atomic { Flush(me); running[(read_epoch / 2) % 2]-- }
     :: slot != NO_SLOT && me == 0 -> break /* ends inside of the hit */
     fi;
     mine = 0;
     read_epoch = 0;
     hits++
  :: else -> break
  od;
  End()
}

/* ---- the agent ---- */

inline FreeDeadSlots() {
  f = 0;
  do
  :: f < SLOTS ->
     was = owner[f];
     if
     :: was == NOBODY || was == TAKING_BACK
     :: else ->
#ifdef CLEAR_FIRST
        if
        :: alive[was]
        :: !alive[was] ->
           announced[f] = 0;
           atomic { if :: owner[f] == was -> owner[f] = NOBODY :: else fi }
        fi
#else
#ifdef CHECK_FIRST
        if
        :: alive[was] -> goto next_dead
        :: !alive[was]
        fi;
        atomic { if :: owner[f] == was -> owner[f] = TAKING_BACK :: else -> goto next_dead fi };
#else
        atomic { if :: owner[f] == was -> owner[f] = TAKING_BACK :: else -> goto next_dead fi };
        if
        :: alive[was] -> owner[f] = was; goto next_dead
        :: !alive[was]
        fi;
#endif
#ifdef REACH_DEAD_IN_HIT
        assert(announced[f] == 0);
#endif
        announced[f] = 0;
        owner[f] = NOBODY
#endif
     fi;
next_dead:
     f++
  :: else -> break
  od;
  f = 0; was = 0
}

inline Barrier() {
#ifdef NO_BARRIER
  skip
#else
  t = 0;
  do
  :: t < THREADS -> Flush(t); t++
  :: else -> break
  od;
  t = 0
#endif
}

#define OLDER(slot) (announced[slot] != 0 && announced[slot] < epoch)

inline WaitForEpoch() {
  running[((epoch - 2) / 2) % 2] == 0;
  s = 0;
  do
  :: s < SLOTS ->
     do
     :: !OLDER(s) -> break
     :: OLDER(s) && looks > 0 -> looks--; FreeDeadSlots()
     od;
     s++
  :: else -> break
  od;
  s = 0
}

inline WaitForQuiescence() {
  turn = 0;
  do
  :: turn < TURNS -> epoch = epoch + 2; Barrier(); WaitForEpoch(); turn++
  :: else -> break
  od;
  turn = 0
}

proctype Agent() {
  byte fs, fv, s, t, f, was, turn, old;
  byte looks = 1; /* at dead threads: every second or so, and when a wait takes long */
end:
  do
  :: list < LISTS - 1 ->
     old = list;
     if
     :: looks > 0 -> looks--; FreeDeadSlots()
     :: true
     fi;
#ifdef EPOCH_FIRST
     WaitForQuiescence();
     list = old + 1;
#else
     list = old + 1;
     WaitForQuiescence();
#endif
     freed[old] = true
  :: else -> break
  od;
#ifdef REACH_END
  assert(!freed[old])
#endif
}

init {
  atomic {
    run Thread(0, 1); run Thread(1, 2);
    run StoreBuffer(0); run StoreBuffer(1);
#if THREADS == 3
    run Thread(2, 1);
    run StoreBuffer(2);
#endif
    run Agent()
  }
}
