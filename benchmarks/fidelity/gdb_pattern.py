"""Inside GDB: fills memory that holds nothing with a pattern, so that what a program never wrote shows.

Two runs with complementary patterns and the same addresses differ in a value only where the program
has not determined it. What is filled is dead by the psABI (System V AMD64, 3.2.2):

- at a function's first instruction, all below the stack pointer: the red zone is for "temporary data
  that is not needed across function calls", and this function has stored nothing yet. Where a jump
  inside the function leads back to its first instruction the red zone is spared;
- at any other stop, what lies below the red zone, which a signal's handler might overwrite at any time.

Only stacks are written: the main thread's, and mappings of their own behind a guard page, so that what
lies below a fiber's stack is left alone. The heap is the allocator's part (glibc.malloc.perturb).
Registers are not touched: a caller may rely on those that this callee is known to leave alone
(GCC's -fipa-ra), and in callee-saved ones lies the caller's data.
"""
import re

import gdb

RED_ZONE_BYTES = 128
BELOW_BYTES = 8192
MAIN_BYTES = 1 << 16  # what start-up used
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")


def stack_of(address):
    """(first, last, whether the main thread's) of its stack; first is None if it is not known to be
    one."""
    before = None
    with open(f"/proc/{gdb.selected_inferior().pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            first, last, rights, name = MAPPING.match(line).groups()
            first, last = int(first, 16), int(last, 16)
            if first <= address < last:
                guarded = before is not None and before == (first, "---p") and name == ""
                is_main = name == "[stack]"
                return first if is_main or guarded else None, last, is_main
            before = (last, rights)
    return None, None, False


def returns_to_entry(entry):
    """Whether a jump inside the function leads to its first instruction."""
    block = gdb.block_for_pc(entry)
    while block is not None and block.function is None:
        block = block.superblock
    if block is None:
        return True
    code = gdb.selected_inferior().architecture().disassemble(block.start, block.end - 1)
    return any(instruction["asm"].startswith(("j", "loop")) and
               re.search(rf"\b{entry:#x}\b", instruction["asm"]) for instruction in code)


class Pattern:
    """Fills at stops; `entries` are the functions whose first instruction is one."""

    def __init__(self, byte, entries):
        self.byte, self.spared, self.main_stack = byte, {}, None
        for entry in entries:
            self.spared[entry] = RED_ZONE_BYTES if returns_to_entry(entry) else 0

    def fill(self, size=BELOW_BYTES):
        frame = gdb.newest_frame()
        rsp = int(frame.read_register("rsp"))
        end = rsp - self.spared.get(frame.pc(), RED_ZONE_BYTES)
        lowest = self.lowest(rsp)
        if lowest is not None and end > lowest:
            first = max(lowest, end - size)
            gdb.selected_inferior().write_memory(first, bytes([self.byte]) * (end - first))

    def lowest(self, rsp):
        """The main thread's stack is asked for once: it only grows."""
        if self.main_stack is None or not self.main_stack[0] <= rsp < self.main_stack[1]:
            first, last, is_main = stack_of(rsp)
            if not is_main:
                return first
            self.main_stack = first, last
        return self.main_stack[0]

    def fill_at_main(self):
        """Writes over the stack that `main` is going to use: what start-up left there is no value."""
        gdb.Breakpoint("*main", internal=True, temporary=True)  # its own frame is not made yet
        gdb.execute("continue", to_string=True)
        self.fill(MAIN_BYTES)
