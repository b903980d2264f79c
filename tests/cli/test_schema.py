#!/usr/bin/python3
"""config/runner.schema.json agrees with the validator: it takes every example spec and refuses the wrong ones it can see.

Needs python3-jsonschema and python3-yaml. Starts nothing.
"""

import json
import pathlib
import re
import sys
import unittest

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli/wrong_specs"))
import table  # noqa: E402

SCHEMA = json.loads((ROOT / "config/runner.schema.json").read_text())


class CoreSchemaLoader(yaml.SafeLoader):
    """YAML 1.2's core schema, as the YAML language servers of editors read: `no` is text, 010 is ten, dates are text."""


CoreSchemaLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
]:
    CoreSchemaLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))
CoreSchemaLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def errors_of(text):
    value = yaml.load(text, Loader=CoreSchemaLoader)
    return [e.message for e in jsonschema.Draft7Validator(SCHEMA).iter_errors(value)]


class SchemaTest(unittest.TestCase):
    def test_it_is_a_valid_draft_07_schema(self):
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    def test_every_example_passes(self):
        examples = sorted((ROOT / "config").glob("*.yaml"))
        self.assertGreaterEqual(len(examples), 6)
        for path in examples:
            with self.subTest(path=path.name):
                self.assertEqual(errors_of(path.read_text()), [])

    def test_every_example_names_the_schema_for_editors(self):
        for path in sorted((ROOT / "config").glob("*.yaml")):
            with self.subTest(path=path.name):
                self.assertIn("# yaml-language-server: $schema=runner.schema.json", path.read_text())

    def test_wrong_specs_fail_where_the_table_says_so_and_only_there(self):
        for wrong in table.read():
            with self.subTest(name=wrong.name):
                try:
                    errors = errors_of(wrong.text.decode())
                except (yaml.YAMLError, UnicodeDecodeError):
                    self.assertFalse(wrong.seen_by_schema, "not YAML at all, so nothing the schema could see")
                    continue
                self.assertEqual(bool(errors), wrong.seen_by_schema, errors)

    def test_every_key_of_the_reference_is_in_the_schema_and_back(self):
        reference = (ROOT / "config/SPEC.md").read_text()
        documented = set(re.findall(r"^### `([a-z_]+)`", reference, re.MULTILINE))
        self.assertEqual(documented, set(SCHEMA["properties"]))

    def test_everything_is_described(self):
        for name, prop in SCHEMA["properties"].items():
            with self.subTest(name=name):
                self.assertTrue(prop.get("description"))


if __name__ == "__main__":
    unittest.main()
