"""One snapshot against what GDB showed at the same pc and hit."""
import collections
import re
import struct

SHOWN = ("EXACT", "RECOVERED", "TRUNCATED")
MAX_EXAMPLES = 40
# Of memory that a variable's own bytes lead to, which may be garbage.
LED_ASTRAY = ("NOT_CAPTURED", "UNREADABLE", "IMPLAUSIBLE")
# Of a range-based for, a variable-length array, a coroutine.
MADE_BY_COMPILER = re.compile(r"__(for_)?(range|begin|end)\d*$|__vla_expr\d+$|saved_stack$|"
                              r"__coro_gro$|_Coro_|Is$|Fs$|(Yd|Aw)\d+$")


def as_number(text):
    try:
        return float(text)
    except ValueError:
        return None


def as_float(number):
    """Of 4 bytes."""
    try:
        return struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        return number


def normal(text):
    """GDB's text of a scalar and ours, brought to one form."""
    text = text.strip()
    text = re.sub(r"^\((.*)\)$", r"\1", text)  # flags enums
    text = re.sub(r"nan\(0x[0-9a-f]+\)$", "nan", text)
    return re.sub(r"\s*\.\.\.$", "", text)


def same_scalar(ours, gdb, is_float=False):
    """Of 4 bytes the shortest text that tells the number in ours, GDB's with nine digits."""
    if normal(ours) == normal(gdb):
        return True
    numbers = as_number(ours), as_number(gdb)
    if None in numbers:
        return False
    if is_float:
        numbers = [as_float(number) for number in numbers]
    return numbers[0] == numbers[1] or numbers[0] != numbers[0] and numbers[1] != numbers[1]


def same_text(ours, gdb):
    """String literals; each side may stop early, and GDB repeats a fixed array's zero bytes."""
    gdb, incomplete, _ = gdb.partition('", <incomplete sequence')  # GDB's of a multibyte character
    strip = lambda t: re.sub(r'(\\000)*"?(\.\.\.)?$', "", re.sub(r'^[uUL8]*"', "", t.strip()))
    a, b = strip(ours), strip(gdb)
    return a == b or (incomplete and a.startswith(b)) or (len(b) > 180 and a.startswith(b[:180])) or (
        len(a) > 180 and b.startswith(a[:180]))


def gdb_has(value):
    if "missing" in value:
        return False
    if "synthetic" in value:
        return gdb_has(value["synthetic"])
    if "fields" in value and value["fields"]:
        return any(gdb_has(field) for field in value["fields"].values())
    return True


def determined(value):
    """Without what GDB's own runs differ in."""
    if "undetermined" in value:
        return {"missing": "not determined by the program"}
    if "fields" in value:
        return {"fields": {name: determined(field) for name, field in value["fields"].items()}}
    if "synthetic" in value:
        return {"synthetic": determined(value["synthetic"])}
    return value


def ours_has(value):
    """Also a pointer to what could not be read, and the raw members of what is corrupt."""
    if "value" in value:
        return True
    children = value.get("children")
    if children:
        return any(ours_has(child) for child in children)
    return value["status"] in SHOWN


def without_pointers(value):
    """Addresses differ between runs; everything else is the same in one that is initialized."""
    if isinstance(value, dict):
        return {k: without_pointers(v) if k != "pointer" else v != 0 for k, v in value.items()}
    return [without_pointers(v) for v in value] if isinstance(value, list) else value


def without_template_arguments(name):
    """As it is where an operator's name makes the brackets ambiguous."""
    if re.search(r"\boperator\b\s*[<>-]", name):
        return name
    kept, depth = [], 0
    for char in name:
        depth += (char == "<") - (char == ">")
        if depth == 0 and char != ">":
            kept.append(char)
    return "".join(kept)


def bare_name(function):
    """The last component of a function's name, without arguments of any kind and tags."""
    name = function.replace("(anonymous namespace)", "")
    operator = re.search(r"\boperator\b\s*([^\s\w(]+|\(\)|[^(]+)", name)
    if operator:
        return "operator" + operator.group(1)
    kept, depth = [], 0
    for char in name:
        if char == "(" and depth == 0:
            break
        depth += (char == "<") - (char == ">")
        if depth == 0 and char != ">":
            kept.append(char)
    return re.sub(r"\[.*?\]", "", "".join(kept)).split("::")[-1].split(" ")[-1].strip()


def unexplained(value):
    """Values below (and with) this one that are missing without a reason."""
    lacks = value["status"] in ("UNAVAILABLE", "UNREADABLE") and not value.get("reason")
    return lacks + sum(unexplained(child) for child in value.get("children", []))


def has_ended(frame):
    return frame.get("variablesReason") == "TAIL_CALL"


def by_place(frames, is_chosen):
    """The chosen frames by the number of others that stand before them."""
    places, others = collections.defaultdict(list), 0
    for frame in frames:
        if is_chosen(frame):
            places[others].append(frame)
        else:
            others += 1
    return places


class Comparison:
    def __init__(self):
        self.counts = collections.Counter()
        self.wrong, self.lost, self.gained, self.frames_differ = [], [], [], []
        self.undetermined = []  # differs between GDB's own runs

    # Values -----------------------------------------------------------------------------------

    def value(self, where, ours, gdb):
        """Compares what both show; what one lacks inside an aggregate is counted as `inner`."""
        if "skipped" in gdb or "missing" in gdb or ours["status"] not in SHOWN:
            return None
        if "undetermined" in gdb:  # whatever ours is
            self.undetermined.append((where, ours.get("value"), gdb))
            return None
        if "synthetic" in gdb:
            below = ours.get("children", [])
            is_scalar = len(below) == 1 and below[0]["name"].startswith("*")
            return self.value(where, below[0] if is_scalar else ours, gdb["synthetic"])
        if "fields" in gdb:
            return self.fields(where, ours, gdb["fields"])
        if "children" in gdb:
            return self.children(where, ours, gdb)
        if "value" not in ours:
            return None
        if "to" in gdb and not ours["value"].startswith("0x"):  # a smart pointer's object
            return self.value(where, ours, gdb["to"])
        self.counts["values"] += 1
        if "pointer" in gdb:
            # Address spaces differ between the two runs: only null is comparable.
            match = re.match(r"0x[0-9a-f]+", ours["value"])
            same = bool(match) and (int(match.group(0), 16) == 0) == (gdb["pointer"] == 0)
        elif "string" in gdb:
            same = same_text(ours["value"], gdb["string"])
        else:
            same = same_scalar(ours["value"], gdb["value"], "float" in gdb)
        if not same:
            self.wrong.append((where, ours["value"], gdb))
        return None

    def fields(self, where, ours, fields):
        children = {child["name"]: child for child in ours.get("children", [])}
        for name, field in fields.items():
            if name in children:
                self.value(f"{where}.{name}", children[name], field)

    def children(self, where, ours, gdb):
        mine = ours.get("children", [])
        if gdb["printer"] == "map":
            theirs = [pair[1] for pair in gdb["children"][1::2]]
        else:
            theirs = [pair[1] for pair in gdb["children"]]
        if not mine and len(theirs) == 1 and "value" in ours:  # an optional shows what it holds
            return self.value(where, ours, theirs[0])
        if "size" in gdb and "size=" in ours.get("value", ""):
            self.counts["values"] += 1
            if ours["value"] != f"size={gdb['size']}":
                self.wrong.append((where, ours["value"], {"size": gdb["size"]}))
                return None
        size = "size" not in gdb and re.match(r"size=(\d+)$", ours.get("value", ""))
        if size and gdb["printer"] in ("map", "array") and "more" not in gdb and theirs:
            self.counts["values"] += 1
            if int(size.group(1)) != len(theirs):
                self.wrong.append((where, ours["value"], {"size": len(theirs)}))
                return None
        if gdb["printer"] in ("map", "array") or len(mine) == len(theirs):
            for i, (a, b) in enumerate(zip(mine, theirs)):
                self.value(f"{where}[{i}]", a, b)
        return None

    # Frames -----------------------------------------------------------------------------------

    def snapshot(self, where, frames, oracle):
        frames = self.aligned(frames, oracle)
        self.ended(where, frames, oracle)
        # Functions that ended by a tail call: GDB shows what it can of their variables, we none.
        frames = [frame for frame in frames if not has_ended(frame)]
        oracle = [frame for frame in oracle if not frame["ended"]]
        for index, theirs in enumerate(oracle):
            self.counts["frames"] += 1
            if index >= len(frames) or not self.same_frame(frames[index], theirs):
                self.counts["frames differ"] += 1
                self.frames_differ.append((f"{where} #{index}",
                                           [f["function"] for f in frames[:len(oracle)]],
                                           [f["function"] for f in oracle]))
                break  # what lies below is not comparable frame by frame
            self.frame(f"{where} #{index}", index, frames[index], theirs)

    def ended(self, where, frames, oracle):
        """Counts the frames of tail calls; where both show some they must be the same."""
        ours, theirs = by_place(frames, has_ended), by_place(oracle, lambda frame: frame["ended"])
        for place in range(sum(not frame["ended"] for frame in oracle[:-1])):
            mine, told = ours.get(place, []), theirs.get(place, [])
            self.counts["ended"] += len(mine)
            self.counts["ended gdb"] += len(told)
            if mine and told and not all(map(self.same_frame, mine, told)):
                self.counts["frames differ"] += 1
                self.frames_differ.append((f"{where} behind #{place}",
                                           [f["function"] for f in mine],
                                           [f["function"] for f in told]))

    def aligned(self, frames, oracle):
        """Where a breakpoint is an inlined call's first instruction, GDB stops before the call: it
        shows the caller, and we show both."""
        inlined = [frame["inlined"] for frame in frames]
        reachable = frames[:inlined.index(False) + 1] if False in inlined else frames
        # Several may be an operator(), or a destructor inlined into the one that deletes: the one
        # of the same full name first, and the one whose callers agree.
        for same in (self.same_name, self.same_frame):
            starts = [i for i, frame in enumerate(reachable) if same(frame, oracle[0])]
            if starts:
                return frames[max(starts, key=lambda i: self.agreeing(frames[i:], oracle)):]
        return frames

    def agreeing(self, frames, oracle):
        count = 0
        while count < min(len(frames), len(oracle)) and self.same_frame(frames[count], oracle[count]):
            count += 1
        return count

    @staticmethod
    def same_name(ours, theirs):
        """With parameters in ours, and a template's result type in front of it."""
        wanted = without_template_arguments(theirs["function"] or "")
        name = without_template_arguments(ours["function"])
        if not wanted or name == wanted:
            return bool(wanted)
        at = name.find(wanted + "(")
        before = name[:max(at, 0)]  # a parameter's type may be a lambda's of the wanted function
        return at == 0 or at > 0 and before[-1] in " :" and before.count("(") == before.count(")")

    @staticmethod
    def same_frame(ours, theirs):
        if not theirs["function"] or theirs["function"].startswith("_Z"):
            return True  # GDB knows no name, or not what it means
        return (Comparison.same_name(ours, theirs) or ours["function"] == "" or
                bare_name(ours["function"]) == bare_name(theirs["function"]))

    def frame(self, where, index, ours, theirs):
        mine = {}
        for variable in ours["variables"]:
            mine.setdefault(variable["name"], variable)
            self.counts["unexplained"] += unexplained(variable)
        level = "0" if index == 0 else "up"
        for name, gdb in theirs["variables"].items():
            declared = gdb.get("declared", 0)
            if declared > ours["line"] or MADE_BY_COMPILER.match(name):
                continue  # not declared yet at this line; made by the compiler
            variable = mine.get(name)
            if variable is not None and variable["status"] == "REDACTED" or "skipped" in gdb:
                continue  # not to be shown; GDB's printer fails
            has, had = variable is not None and ours_has(variable), gdb_has(gdb)
            self.counts[f"pairs {level}"] += 1
            self.counts[f"ours {level}"] += has
            self.counts[f"gdb {level}"] += had
            place = f"{where} {ours['function'][:60]}:{ours['line']} {name}"
            if had and not has and variable is not None and \
                    variable.get("reason") == "NOT_SAVED":
                # GDB shows what a callee left in a register that callees need not keep.
                self.counts["guessed"] += 1
            elif had and not has and variable is not None and not gdb_has(determined(gdb)) and \
                    (variable.get("reason") or "").startswith(LED_ASTRAY):
                self.undetermined.append((place, variable.get("reason"), gdb))
            elif had and not has:
                self.lost.append((place, variable and {
                    k: variable.get(k) for k in ("type", "status", "reason")}, gdb))
            elif has and not had:
                self.counts["gained"] += 1
                self.gained.append((place, variable.get("value"), gdb))
            elif has and had:
                self.value(place, variable, gdb)
