"""Inside GDB: what all its scripts do with the program."""
import gdb


def load_bias(path):
    with open(path, "rb") as file:
        position_independent = file.read(18)[16] == 3
    if not position_independent:
        return 0
    with open(f"/proc/{gdb.selected_inferior().pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            if line.rstrip().endswith(path):
                return int(line.split("-")[0], 16)
    return 0


def resume():
    """Until the next stop; False: the program has ended."""
    try:
        gdb.execute("continue", to_string=True)
    except gdb.error:
        return False
    return bool(gdb.selected_inferior().pid)
