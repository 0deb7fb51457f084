"""Marks what the program did not determine: values that differ between GDB's own runs.

Ours play no part here. Two runs at the same addresses with complementary patterns in memory that holds
nothing (gdb_pattern.py) differ in each value that depends on such memory. A run at other addresses
differs in values that are part of an address, such as a number that shares a union with a pointer; of
memory that was never written such a run may differ too.
"""
PATTERN, ADDRESS = "memory that was never written", "differs at other addresses"


def mark(base, a, b):
    """Sets "undetermined" in the nodes of `base` (as gdb_frames.py writes them): where the runs with
    patterns differ; else where they show another value than `base`, whose stack and heap lie elsewhere.
    """
    mark_frames(base, (a, b), differ_by_pattern, PATTERN)
    mark_address(base, a)


def mark_address(base, elsewhere):
    """The same for one run at other addresses; of pointers only null tells anything."""
    mark_frames(base, (elsewhere,), differ_by_address, ADDRESS)


def differ_by_pattern(_, a, b):
    return part(a) != part(b)


def differ_by_address(base, elsewhere):
    if "pointer" in base and "pointer" in elsewhere:
        return (base["pointer"] == 0) != (elsewhere["pointer"] == 0)
    return part(base) != part(elsewhere)


def mark_frames(base, others, differ, why):
    for frames in zip(base, *others):
        if len({frame["function"] for frame in frames}) != 1:
            return  # not the same stack: nothing is known
        for name in set.intersection(*(set(frame["variables"]) for frame in frames)):
            mark_node([frame["variables"][name] for frame in frames], differ, why)


def part(node):
    """What a node tells without its parts."""
    told = {key: value for key, value in node.items()
            if key not in ("declared", "undetermined", "fields", "children", "synthetic", "to")}
    return (told, *(key in node for key in ("fields", "children", "synthetic")),
            len(node.get("children", ())))


def gave_up(node):
    return "skipped" in node and "raw" not in node


def mark_node(nodes, differ, why):
    """The first is marked."""
    if any(map(gave_up, nodes)) or "undetermined" in nodes[0]:
        return  # too deep, or too long: nothing is known
    if differ(*nodes):
        nodes[0]["undetermined"] = why
        return
    for parts in parts_of(nodes):
        mark_node(parts, differ, why)


def parts_of(nodes):
    """Pairs (or more) of what stands at the same place in each; none where the places differ."""
    for key in ("synthetic", "to"):
        if all(key in node for node in nodes):
            yield [node[key] for node in nodes]
    if all("fields" in node for node in nodes):
        for name in nodes[0]["fields"]:
            if all(name in node["fields"] for node in nodes):
                yield [node["fields"][name] for node in nodes]
    if len({len(node.get("children", ())) for node in nodes}) == 1:
        for children in zip(*(node.get("children", ()) for node in nodes)):
            yield [child for _, child in children]
