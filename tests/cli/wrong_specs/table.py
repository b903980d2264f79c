"""Reads table.txt, the specs that are wrong and what runner must say of each. Used by the tests in tests/cli."""

import pathlib
import re
from dataclasses import dataclass, field


@dataclass
class WrongSpec:
    name: str
    seen_by_schema: bool
    text: bytes = b""
    files: dict = field(default_factory=dict)  # name -> bytes, to be written beside the spec
    expected: list = field(default_factory=list)  # lines; DIR stands for the absolute path of the spec's directory

    def write_to(self, directory):
        """Writes spec.yaml and its files; the path of the spec."""
        directory = pathlib.Path(directory)
        for name, content in self.files.items():
            (directory / name).write_bytes(content)
        (directory / "spec.yaml").write_bytes(self.text)
        return directory / "spec.yaml"


def _decode(line):
    def one(match):
        escape = match.group(1)
        if escape.startswith(b"x"):
            return bytes([int(escape[1:], 16)])
        return {b"t": b"\t", b"r": b"\r"}.get(escape, escape)

    return re.sub(rb"\\(x[0-9A-Fa-f]{2}|.)", one, line)


def read(path=pathlib.Path(__file__).with_name("table.txt")):
    specs, part, escapes = [], None, False
    for line in path.read_bytes().splitlines():
        if line.startswith(b"=== "):
            name = line[4:].decode().split(" [")[0]
            specs.append(WrongSpec(name, b"[schema]" in line))
            escapes, part = b"[escapes]" in line, "text"
        elif not specs:
            continue
        elif line.startswith(b"+++ "):
            part = line[4:].decode()
            specs[-1].files[part] = b""
        elif line == b">>>":
            part = None
        elif part == "text":
            specs[-1].text += (_decode(line) if escapes else line) + b"\n"
        elif part is not None:
            specs[-1].files[part] += line + b"\n"
        elif line:
            specs[-1].expected.append(line.decode())
    return specs
