"""Writes small shared objects with debug information of any shape."""
import struct

# Tags, attributes, forms, kinds of units (DWARF 5 section 7.5).
ARRAY, PARAMETER, BLOCK, MEMBER, POINTER, UNIT, STRUCT = 0x01, 0x05, 0x0b, 0x0d, 0x0f, 0x11, 0x13
TYPEDEF, INHERITANCE, INLINED, SUBRANGE, BASE, CONST = 0x16, 0x1c, 0x1d, 0x21, 0x24, 0x26
FUNCTION, VARIABLE, NAMESPACE, PARTIAL, IMPORT = 0x2e, 0x34, 0x39, 0x3c, 0x3d
SIBLING, LOCATION, NAME, SIZE, STMT_LIST, LOW, HIGH, IMPORTED = 1, 2, 3, 0xb, 0x10, 0x11, 0x12, 0x18
COMP_DIR, UPPER, ORIGIN, MEMBER_AT, ENCODING, EXTERNAL = 0x1b, 0x2f, 0x31, 0x38, 0x3e, 0x3f
FRAME_BASE, SPECIFICATION, TYPE, RANGES = 0x40, 0x47, 0x49, 0x55
ADDR, DATA2, DATA4, DATA8, STRING, DATA1, REF_ADDR, REF4 = 1, 5, 6, 7, 8, 0xb, 0x10, 0x13
OFFSET, EXPRLOC, PRESENT = 0x17, 0x18, 0x19
COMPILE_UNIT, PARTIAL_UNIT = 1, 3


def uleb(value):
    out = bytearray()
    while True:
        byte = value & 0x7f
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value):
    out = bytearray()
    while True:
        byte = value & 0x7f
        value >>= 7
        done = (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40)
        out.append(byte | (0 if done else 0x80))
        if done:
            return bytes(out)


class Info:
    """One unit of .debug_info, and its abbreviations."""

    def __init__(self, abbrev_at=0, kind=COMPILE_UNIT):
        self.abbrev_at, self.kind = abbrev_at, kind
        self.body, self.abbrevs, self.known = bytearray(), bytearray(), {}
        self.patches = []

    @property
    def at(self):  # offset in the unit of what comes next
        return 12 + len(self.body)

    def abbrev(self, tag, children, forms):
        key = (tag, children, tuple(forms))
        if key not in self.known:
            self.known[key] = len(self.known) + 1
            self.abbrevs += uleb(self.known[key]) + uleb(tag) + bytes([children])
            for attribute, form in forms:
                self.abbrevs += uleb(attribute) + uleb(form)
            self.abbrevs += b"\0\0"
        return self.known[key]

    def die(self, tag, attributes, children=False):
        """attributes: (attribute, form, value). Returns the DIE's offset in the unit."""
        at = self.at
        code = self.abbrev(tag, int(children), [(a, f) for a, f, _ in attributes])
        self.body += uleb(code)
        for _, form, value in attributes:
            if form == STRING:
                self.body += value.encode() + b"\0"
            elif form == EXPRLOC:
                self.body += uleb(len(value)) + value
            elif form in (ADDR, DATA8):
                self.body += struct.pack("<Q", value)
            elif form in (DATA4, REF4, OFFSET, REF_ADDR):
                if isinstance(value, str):
                    self.patches.append((len(self.body), value))
                    value = 0
                self.body += struct.pack("<I", value)
            elif form == DATA2:
                self.body += struct.pack("<H", value)
            elif form == DATA1:
                self.body.append(value)
        return at

    def end(self):
        self.body.append(0)

    def patch(self, name, value):
        for at, wanted in self.patches:
            if wanted == name:
                struct.pack_into("<I", self.body, at, value)

    def bytes(self):
        header = struct.pack("<HBBI", 5, self.kind, 8, self.abbrev_at)
        return struct.pack("<I", len(self.body) + len(header)) + header + bytes(self.body)


class Module:
    """A shared object, or the debug file of one, with code at [low, high)."""

    def __init__(self, low=0x1000, high=0x2000, source="/bomb/bomb.cc", function="Checkout",
                 line=1, build_id=b""):
        self.low, self.high, self.source, self.function = low, high, source, function
        self.line, self.build_id = line, build_id
        self.sections, self.flags = {}, {}
        self.shared = b""  # contents of sections that have none
        self.long_names = (0, 0)  # so many sections with a name of so many bytes

    def line_program(self, more=b""):
        folder, name = self.source.rsplit("/", 1)
        tables = (b"\1\1\x08" b"\1" + folder.encode() + b"\0"  # one format: path, string
                  b"\1\1\x08" b"\2" + (name.encode() + b"\0") * 2)
        program = (b"\0\x09\x02" + struct.pack("<Q", self.low) + b"\3" + sleb(self.line - 1) +
                   b"\1" + more + b"\2" + uleb(self.high - self.low) + b"\0\1\1")
        header = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + bytes(
            [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + tables
        rest = struct.pack("<HBBI", 5, 8, 0, len(header)) + header + program
        return struct.pack("<I", len(rest)) + rest

    def unit(self):
        info = Info()
        info.die(UNIT, [(NAME, STRING, self.source), (COMP_DIR, STRING, "/"),
                        (STMT_LIST, OFFSET, 0),
                        (LOW, ADDR, self.low), (HIGH, DATA8, self.high - self.low)], True)
        return info

    def function_die(self, info, more=()):
        return info.die(FUNCTION, [(NAME, STRING, self.function), (LOW, ADDR, self.low),
                                   (HIGH, DATA8, self.high - self.low),
                                   (FRAME_BASE, EXPRLOC, b"\x9c"), *more], True)

    def set_unit(self, info):
        self.sections[".debug_info"] = info.bytes()
        self.sections[".debug_abbrev"] = bytes(info.abbrevs) + b"\0"
        self.sections.setdefault(".debug_line", self.line_program())

    def bytes(self):
        names, table, at = b"\0", [bytes(64)], 64 + 56
        text = bytes([0x90]) * (self.high - self.low)
        content, body = bytearray(), {".text": text, **self.sections}
        if self.build_id:
            body[".note.gnu.build-id"] = (struct.pack("<III", 4, len(self.build_id), 3) +
                                          b"GNU\0" + self.build_id)
        for name, data in body.items():
            kind = {".note.gnu.build-id": 7}.get(name, 1)
            flag = {".text": 6, ".eh_frame": 2}.get(name, 0) | self.flags.get(name, 0)
            address = self.low if name == ".text" else 0x100000 if flag & 2 else 0
            size = len(data)
            if name == ".text" and self.build_id:
                kind, data = 8, b""
            table.append(struct.pack("<IIQQQQIIQQ", len(names), kind, flag, address,
                                     at + len(content), size, 0, 0, 1, 0))
            names += name.encode() + b"\0"
            content += data
        table.append(struct.pack("<IIQQQQIIQQ", len(names), 3, 0, 0, at + len(content),
                                 len(names) + 10, 0, 0, 1, 0))
        content += names + b".shstrtab\0"
        header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
            "<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, at + len(content), 0, 64, 56, 1, 64, len(table),
            len(table) - 1)
        segment = struct.pack("<IIQQQQQQ", 1, 5, at, self.low, self.low, len(text), len(text), 1)
        return header + segment + bytes(content) + b"".join(table)


INT = [(NAME, STRING, "int"), (SIZE, DATA1, 4), (ENCODING, DATA1, 5)]
HERE = (LOCATION, EXPRLOC, b"\x91\0")


def finish(module):
    """The file, with what Module.bytes() does not know."""
    data = bytearray(module.bytes())
    table, = struct.unpack_from("<Q", data, 40)
    count, = struct.unpack_from("<H", data, 60)
    layout = struct.Struct("<IIQQQQIIQQ")
    headers = [list(layout.unpack_from(data, table + 64 * i)) for i in range(count)]
    for header in headers:
        if header[5] == 0 and header[1] == 1:
            header[4:6] = len(data), len(module.shared)
    data += module.shared
    extra, length = module.long_names
    names = headers[-1]
    text = data[names[4]:names[4] + names[5]] + b"n" * length + b"\0"
    headers[-1:] = [[names[5], 1, 0, 0, 64, 1, 0, 0, 1, 0]] * extra + [names]
    names[4:6] = len(data), len(text)
    data += text
    struct.pack_into("<Q", data, 40, len(data))
    struct.pack_into("<HH", data, 60, len(headers), len(headers) - 1)
    return bytes(data) + b"".join(layout.pack(*header) for header in headers)
