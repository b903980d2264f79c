"""The binaries are built with what the compiler and the linker have against exploits; see CMakeLists.txt."""
import os
import platform
import re
import subprocess
import unittest

from support import RUNNER

BINARIES = [RUNNER] + ([os.environ["PAIRCOUNT"]] if "PAIRCOUNT" in os.environ else [])


def readelf(option, binary):
    env = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["readelf", "-W", option, binary], env=env, check=True, stdout=subprocess.PIPE,
                          text=True).stdout


def functions_of_ours(binary):
    """Name and address of every function that other files may call."""
    pattern = r"^\s*\d+: ([0-9a-f]+)\s+\d+ FUNC\s+GLOBAL DEFAULT\s+\d+ (_ZN6runner\S+|main)$"
    return [(name, int(address, 16)) for address, name in re.findall(pattern, readelf("-s", binary), re.MULTILINE)]


def code_at(binary, addresses, size):
    """The bytes at these addresses of the text segment."""
    text = re.search(r"\] \.text\s+PROGBITS\s+([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)", readelf("-S", binary))
    start, offset, length = (int(number, 16) for number in text.groups())
    with open(binary, "rb") as file:
        file.seek(offset)
        code = file.read(length)
    return [code[address - start:address - start + size] for address in addresses]


class Hardening(unittest.TestCase):
    def setUp(self):
        symbols = readelf("--dyn-syms", RUNNER)
        if re.search(r"__(asan|tsan|ubsan)_", symbols + readelf("-s", RUNNER)):
            self.skipTest("a build with sanitizers, which check more")

    def test_code_is_loaded_at_a_random_address(self):
        for binary in BINARIES:
            self.assertRegex(readelf("-h", binary), r"Type:\s+DYN")
            dynamic = readelf("-d", binary)
            self.assertRegex(dynamic, r"FLAGS_1\).*\bPIE\b")
            self.assertNotIn("TEXTREL", dynamic)

    def test_what_the_loader_fills_in_is_read_only_afterwards(self):
        for binary in BINARIES:
            self.assertIn("GNU_RELRO", readelf("-l", binary))
            self.assertRegex(readelf("-d", binary), r"BIND_NOW|FLAGS_1\).*\bNOW\b")

    def test_no_memory_is_both_writable_and_executable(self):
        for binary in BINARIES:
            segments = readelf("-l", binary)
            self.assertRegex(segments, r"GNU_STACK\s.*\sRW\s")
            self.assertNotRegex(segments, r"(LOAD|GNU_STACK)\s.*RWE")

    def test_libraries_come_from_where_the_system_has_them(self):
        for binary in BINARIES:
            self.assertNotRegex(readelf("-d", binary), r"\((RPATH|RUNPATH)\)")

    def test_the_stack_is_guarded(self):
        for binary in BINARIES:
            self.assertIn("__stack_chk_fail", readelf("--dyn-syms", binary))

    def test_calls_of_the_c_library_are_checked(self):
        if os.environ.get("BUILD_TYPE", "Release") == "Debug":
            self.skipTest("_FORTIFY_SOURCE needs optimisation")
        self.assertRegex(readelf("--dyn-syms", RUNNER), r"__(read|pread|poll|memcpy|memmove|fread)(64)?_chk")

    @unittest.skipUnless(platform.machine() == "x86_64", "CET is x86's")
    def test_every_function_is_a_target_for_indirect_calls_that_are_tracked(self):
        """Whether the processor tracks them is the C library's business: Debian 12's start-up code does not ask for it."""
        for binary in BINARIES:
            functions = functions_of_ours(binary)
            self.assertGreater(len(functions), 20 if binary == RUNNER else 0)
            code = code_at(binary, [address for _, address in functions], 4)
            unmarked = [name for (name, _), start in zip(functions, code) if start != b"\xf3\x0f\x1e\xfa"]  # endbr64
            self.assertEqual(unmarked, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
