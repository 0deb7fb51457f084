"""Debug information made to cost time and memory: a few megabytes at most, and well-formed enough
to get as far as the reader that it is meant for.

bombs.py FOLDER [NAME...]: writes them. As a module: BOMBS, Module, make."""
import lzma
import pathlib
import struct
import sys
import zlib

from dwarf_writer import (
    ADDR, ARRAY, BASE, BLOCK, CONST, DATA1, DATA2, DATA4, DATA8, EXPRLOC, EXTERNAL, FUNCTION,
    HERE, HIGH, IMPORT, IMPORTED, INHERITANCE, INLINED, INT, Info, LOCATION, LOW, MEMBER,
    MEMBER_AT, Module, NAME, NAMESPACE, OFFSET, ORIGIN, PARAMETER, PARTIAL, PARTIAL_UNIT,
    POINTER, PRESENT, RANGES, REF4, REF_ADDR, SIBLING, SIZE, SPECIFICATION, STRING, STRUCT,
    SUBRANGE, TYPE, TYPEDEF, UNIT, UPPER, VARIABLE, finish, uleb)


def simple(module, order):
    """A function with the parameter `order`, whose type is made by order(info) beside it."""
    info = module.unit()
    kind = order(info)
    module.function_die(info)
    info.die(PARAMETER, [(NAME, STRING, "order"), (TYPE, REF4, kind), HERE])
    info.end()
    info.end()
    module.set_unit(info)


def sound(module):
    simple(module, lambda info: info.die(BASE, INT))


def abbrev_attributes(module, attributes=1000000, dies=100000):
    info = module.unit()
    code = len(info.known) + 1
    info.known["many"] = code
    info.abbrevs += (uleb(code) + uleb(VARIABLE) + b"\0" +
                     (uleb(EXTERNAL) + uleb(PRESENT)) * attributes + b"\0\0")
    module.function_die(info)
    info.body += uleb(code) * dies
    info.end()
    info.body += uleb(code) * dies
    info.end()
    module.set_unit(info)


def unit_attributes(module, attributes=200000, units=10000):
    """Each of many units has a root of so many attributes."""
    sound(module)
    abbrevs = module.sections[".debug_abbrev"]
    module.sections[".debug_abbrev"] = abbrevs + uleb(1) + uleb(UNIT) + b"\0" + (
        uleb(EXTERNAL) + uleb(PRESENT)) * attributes + b"\0\0\0"
    one = struct.pack("<IHBBIB", 9, 5, 1, 8, len(abbrevs), 1)
    module.sections[".debug_info"] += one * units


def abbrev_codes(module, dies=100000):
    """Every entry's code is the last of many."""
    info = module.unit()
    for i in range(100000):
        info.abbrevs += uleb(100 + i) + uleb(VARIABLE) + b"\0\0\0"
    module.function_die(info)
    info.body += uleb(100 + 99999) * dies
    info.end()
    info.end()
    module.set_unit(info)


def deep(tag):
    def make(module, depth=1000000):
        info = module.unit()
        module.function_die(info)
        code = info.abbrev(tag, 1, [])
        info.body += uleb(code) * depth + bytes(depth)
        info.end()
        info.end()
        module.set_unit(info)
    return make


def deep_with_code(tag):
    """Each of them covers the whole function."""
    def make(module, depth=100000):
        info = module.unit()
        at = module.function_die(info)
        more = [(ORIGIN, REF4, at)] if tag == INLINED else []
        for _ in range(depth):
            info.die(tag, [(LOW, ADDR, module.low), (HIGH, DATA8, module.high - module.low), *more],
                     True)
        info.body += bytes(depth + 2)
        module.set_unit(info)
    return make


def siblings_into_children(module, count=60):
    """Each entry's sibling is its own first child: 2^60 ways."""
    info = module.unit()
    for _ in range(count):
        at = info.at
        info.die(FUNCTION, [(NAME, STRING, module.function), (LOW, ADDR, module.low),
                            (HIGH, DATA8, module.high - module.low), (SIBLING, REF4, "next")], True)
        info.patch("next", info.at)
        info.patches.clear()
    info.body += bytes(count + 1)
    module.set_unit(info)


def cycles(attribute):
    def make(module):
        info = module.unit()
        first = info.die(FUNCTION, [(attribute, REF4, "second")])
        second = info.die(FUNCTION, [(attribute, REF4, first)])
        info.patch("second", second)
        module.function_die(info, [(attribute, REF4, first)])
        info.die(PARAMETER, [(attribute, REF4, "itself")])
        info.patch("itself", first)
        info.die(VARIABLE, [(NAME, STRING, "order"), (TYPE, REF4, first), HERE,
                            (attribute, REF4, second)])
        info.die(INLINED, [(attribute, REF4, first), (LOW, ADDR, module.low), (HIGH, DATA2, 64)])
        info.end()
        info.end()
        module.set_unit(info)
    return make


def imports(count=40, back=False):
    """A chain of units, each importing the next one twice (2^40 ways), or all one another."""
    def make(module):
        info = module.unit()
        info.die(IMPORT, [(IMPORTED, REF_ADDR, "next")])
        module.function_die(info)
        info.die(PARAMETER, [(NAME, STRING, "order"), (TYPE, REF4, info.die(BASE, INT)), HERE])
        info.end()
        info.end()
        info.patch("next", len(info.bytes()) + 12)
        module.set_unit(info)
        units, at = info.bytes(), len(info.bytes())
        abbrev_at = len(module.sections[".debug_abbrev"])
        for i in range(count):
            part = Info(abbrev_at, PARTIAL_UNIT)
            part.die(PARTIAL, [], True)
            for _ in range(2):
                part.die(IMPORT, [(IMPORTED, REF_ADDR, "next")])
            part.end()
            size = len(part.bytes())
            following = at + size if i < count - 1 else at
            part.patch("next", (len(info.bytes()) if back and i % 2 else following) + 12)
            units += part.bytes()
            at += size
        module.sections[".debug_info"] = units
        module.sections[".debug_abbrev"] += bytes(part.abbrevs) + b"\0"
    return make


def ranges(module, entries=300000, count=2000, tag=FUNCTION):
    info = module.unit()
    for _ in range(count):
        info.die(tag, [(NAME, STRING, module.function), (RANGES, OFFSET, 12)])
    info.end()
    module.set_unit(info)
    one = b"\4" + uleb(1) + uleb(3)  # DW_RLE_offset_pair, of the unit's low_pc
    body = struct.pack("<HBBI", 5, 8, 0, 0) + one * entries + b"\0"
    module.sections[".debug_rnglists"] = struct.pack("<I", len(body)) + body


def inlined_ranges(module):
    ranges(module, tag=INLINED)


def locations(module, entries=100000, count=100):
    """Lists without an end."""
    info = module.unit()
    kind = info.die(BASE, INT)
    module.function_die(info)
    for i in range(count):
        info.die(VARIABLE, [(NAME, STRING, f"v{i}"), (TYPE, REF4, kind), (LOCATION, OFFSET, 12)])
    info.end()
    info.end()
    module.set_unit(info)
    one = b"\4" + uleb(0xf00) + uleb(0xf01) + uleb(1) + b"\x50"
    body = struct.pack("<HBBI", 5, 8, 0, 0) + one * entries
    module.sections[".debug_loclists"] = struct.pack("<I", len(body)) + body


def expression(ops, count=1000):
    def make(module):
        info = module.unit()
        kind = info.die(BASE, INT)
        module.function_die(info)
        for i in range(count):
            info.die(VARIABLE, [(NAME, STRING, f"v{i}"), (TYPE, REF4, kind),
                                (LOCATION, EXPRLOC, ops)])
        info.end()
        info.end()
        module.set_unit(info)
    return make


def variables(module, count=100000):
    info = module.unit()
    kind = info.die(BASE, INT)
    module.function_die(info)
    for i in range(count):
        info.die(VARIABLE, [(NAME, STRING, f"v{i}"), (TYPE, REF4, kind), HERE])
    info.end()
    info.end()
    module.set_unit(info)


def globals_(module, count=100000):
    info = module.unit()
    kind = info.die(BASE, INT)
    for i in range(count):
        info.die(VARIABLE, [(NAME, STRING, "order"), (TYPE, REF4, kind),
                            (LOCATION, EXPRLOC, b"\3" + bytes(8))])
    module.function_die(info)
    info.end()
    info.end()
    module.set_unit(info)


def member(info, kind, name="part", at=0):
    info.die(MEMBER, [(NAME, STRING, name), (TYPE, REF4, kind), (MEMBER_AT, DATA4, at)])


def holds_itself(info):
    at = info.die(STRUCT, [(NAME, STRING, "Cart"), (SIZE, DATA1, 16)], True)
    member(info, at)
    member(info, at, "other", 8)
    info.die(INHERITANCE, [(TYPE, REF4, at), (MEMBER_AT, DATA1, 0)])
    info.end()
    return at


def array_of_itself(info):
    at = info.die(ARRAY, [(TYPE, REF4, info.at)], True)
    info.die(SUBRANGE, [(UPPER, DATA8, 7)])
    info.end()
    return at


def chain_of_itself(tag):
    def make(info):
        at = info.at
        info.die(tag, [(TYPE, REF4, info.at)])
        return at
    return make


def long_chain(tag, count=300000):
    def make(info):
        kind = info.die(BASE, INT)
        for _ in range(count):
            kind = info.die(tag, [(TYPE, REF4, kind)])
        return kind
    return make


def doubling(tag, count=60):
    """Each has two of the one before."""
    def make(info):
        kind = info.die(BASE, INT)
        for i in range(count):
            at = info.die(STRUCT, [(NAME, STRING, f"S{i}"), (SIZE, DATA8, 4 << i)], True)
            for k in range(2):
                info.die(tag, [(NAME, STRING, f"m{k}"), (TYPE, REF4, kind),
                               (MEMBER_AT, DATA8, k * 2 << i)])
            info.end()
            kind = at
        return kind
    return make


def members(info, count=100000):
    kind = info.die(BASE, INT)
    at = info.die(STRUCT, [(NAME, STRING, "Cart"), (SIZE, DATA4, 4 * count)], True)
    for i in range(count):
        member(info, kind, f"m{i}", i * 4)
    info.end()
    return at


def array(upper, dimensions=1):
    def make(info):
        kind = info.die(BASE, INT)
        at = info.die(ARRAY, [(TYPE, REF4, kind)], True)
        for _ in range(dimensions):
            info.die(SUBRANGE, [(UPPER, DATA8, upper)])
        info.end()
        return at
    return make


def of_type(order):
    return lambda module: simple(module, order)


def line_rows(module, count=700000):
    """A row of each byte of the program."""
    sound(module)
    module.sections[".debug_line"] = module.line_program(b"\x12" * count)


def line_headers(module, count=20000):
    """Tables without number."""
    sound(module)
    module.sections[".debug_line"] += module.line_program() * count


def line_files(module, count=1 << 60, folders=False):
    """Files without number, of no bytes each."""
    sound(module)
    tables = (b"\0" + uleb(count) if folders else b"\1\1\x08\1/x\0") + b"\0" + uleb(count)
    header = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + bytes(
        [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + tables
    rest = struct.pack("<HBBI", 5, 8, 0, len(header)) + header + b"\0\1\1"
    module.sections[".debug_line"] = struct.pack("<I", len(rest)) + rest


def line_folders(module):
    line_files(module, folders=True)


def cfi(program, entries=1):
    def make(module):
        sound(module)
        cie = struct.pack("<IB", 0, 1) + b"zR\0" + b"\1\x78\x10" + b"\1\x1b" + b"\x0c\7\x08"
        frame = struct.pack("<I", len(cie)) + cie
        step = (module.high - module.low) // entries
        for i in range(entries):
            at = len(frame)
            address = module.low + i * step - (0x100000 + at + 8)
            fde = struct.pack("<Iii", at + 4, address, step) + b"\0" + program
            frame += struct.pack("<I", len(fde)) + fde
        module.sections[".eh_frame"] = frame + bytes(4)
    return make


def compressed(algorithm, name=".debug_info", size=400 << 20):
    def make(module):
        sound(module)
        data = module.sections[name]
        if algorithm == 1:
            packer = zlib.compressobj(6)
            packed = packer.compress(data) + b"".join(
                packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
        else:  # RLE blocks of 128 KiB (RFC 8878 §3.1.1.2)
            packed = struct.pack("<IBQ", 0xfd2fb528, 0xe0, len(data) + size)
            packed += struct.pack("<I", len(data) << 3)[:3] + data
            count = size >> 17
            for i in range(count):
                packed += struct.pack("<I", (1 << 17) << 3 | 1 << 1 | (i == count - 1))[:3] + b"\0"
            # A frame that is skipped: what is claimed is then no more than zlib could do.
            packed += b"\x50\x2a\x4d\x18" + struct.pack("<I", size // 1000) + bytes(size // 1000)
        module.sections[name] = struct.pack("<IIQQ", algorithm, 0, len(data) + size, 1) + packed
        module.flags = {name: 0x800}
    return make


def same_bytes_often(module, count=100, size=8 << 20):
    """Many compressed sections, all of which are the same bytes."""
    sound(module)
    for i in range(count):
        module.sections[f".debug_x{i}"] = b""
        module.flags[f".debug_x{i}"] = 0x800
    module.shared = struct.pack("<IIQQ", 1, 0, size, 1) + zlib.compress(bytes(size))


def section_names(module, count=20000, length=1 << 18):
    """Each section's name is the same quarter of a megabyte."""
    sound(module)
    module.long_names = (count, length)


def gnu_debugdata(module, size=256 << 20):
    sound(module)
    module.sections = {".gnu_debugdata": lzma.compress(bytes(size), preset=0)}


BOMBS = {
    "sound": sound,
    "abbrev_attributes": abbrev_attributes,
    "unit_attributes": unit_attributes,
    "abbrev_codes": abbrev_codes,
    "deep_blocks": deep(BLOCK),
    "deep_functions": deep(FUNCTION),
    "deep_namespaces": deep(NAMESPACE),
    "deep_structs": deep(STRUCT),
    "deep_variables": deep(VARIABLE),
    "deep_scopes": deep_with_code(BLOCK),
    "deep_inlined": deep_with_code(INLINED),
    "siblings_into_children": siblings_into_children,
    "specification_cycle": cycles(SPECIFICATION),
    "origin_cycle": cycles(ORIGIN),
    "import_tree": imports(),
    "import_cycle": imports(back=True),
    "ranges": ranges,
    "inlined_ranges": inlined_ranges,
    "locations": locations,
    "long_expressions": expression(b"\x96" * 6000),
    "many_literals": expression(b"\x30" * 6000),
    "many_pieces": expression(b"\x50\x93\1" * 2000),
    "expression_loops": expression(b"\x30\x2f\xfc\xff" * 1500),
    "variables": variables,
    "globals": globals_,
    "holds_itself": of_type(holds_itself),
    "array_of_itself": of_type(array_of_itself),
    "typedef_of_itself": of_type(chain_of_itself(TYPEDEF)),
    "const_of_itself": of_type(chain_of_itself(CONST)),
    "pointer_to_itself": of_type(chain_of_itself(POINTER)),
    "typedef_chain": of_type(long_chain(TYPEDEF)),
    "pointer_chain": of_type(long_chain(POINTER)),
    "array_chain": of_type(long_chain(ARRAY)),
    "members_double": of_type(doubling(MEMBER)),
    "bases_double": of_type(doubling(INHERITANCE)),
    "members": of_type(members),
    "array_2_63": of_type(array((1 << 63) - 1)),
    "array_2_64": of_type(array((1 << 64) - 1)),
    "array_dimensions": of_type(array(1, 100000)),
    "line_rows": line_rows,
    "line_headers": line_headers,
    "line_files": line_files,
    "line_folders": line_folders,
    "cfi_remember": cfi(b"\x0a" * 1000000),
    "cfi_rows": cfi((b"\x41\x0e\x10\x41\x0e\x08") * 300000),
    "cfi_rows_many": cfi((b"\x0e\x10\x0e\x08") * 100, 4000),
    "cfi_remember_rows": cfi(b"\x0a\x41\x0e\x10" * 100, 4000),
    "zlib_bomb": compressed(1),
    "zstd_bomb": compressed(2),
    "zlib_bomb_line": compressed(1, ".debug_line"),
    "same_bytes_often": same_bytes_often,
    "section_names": section_names,
    "gnu_debugdata": gnu_debugdata,
}


def make(name, *args, **kwargs):
    """The file of that name for a module with those arguments."""
    module = Module(*args, **kwargs)
    BOMBS[name](module)
    return finish(module)


if __name__ == "__main__":
    for wanted in sys.argv[2:] or BOMBS:
        (pathlib.Path(sys.argv[1]) / wanted).write_bytes(make(wanted))
