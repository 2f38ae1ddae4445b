"""What the reader makes of YAML, and where it says that a file is wrong."""

from pathlib import Path

import pytest
import yaml

from gateway.errors import ConfigurationError, DoorwardError
from gateway.settings import yaml_file
from gateway.settings.nodes import Node
from gateway.settings.yaml_file import DEPTH, FILE_BYTES, parse_yaml, read_text

ENVIRONMENT = {"HOME_URL": "https://canary.example", "EMPTY": ""}


def told(text: str) -> tuple[object, list[str]]:
    """The plain value, or None, and all flaws as `line:column: message`."""
    try:
        root, flaws = parse_yaml(text, "f", ENVIRONMENT)
    except ConfigurationError as error:
        return None, [str(flaw)[2:] for flaw in error.flaws]
    return root.value, [str(flaw)[2:] for flaw in flaws]


FLAWS = [
    ("a: [1, 2", "2:1: the list [...] is not closed (it begins on line 1)"),
    ("a: {b: 1", "2:1: the mapping {...} is not closed (it begins on line 1)"),
    ("a:\n\t- b", "2:1: a tab cannot indent YAML; use spaces"),
    ("a: b: c", "1:5: a colon does not fit here: indent the key like its neighbours, or put text that holds ': ' in quotes"),
    ("a: 'x", "1:6: the quotes are not closed"),
    ("a: @b", "1:4: text cannot begin with @; put it in quotes"),
    ('a: "\\q"', "1:5: unknown escape in double quotes; write \\\\ for a backslash, or use single quotes"),
    ("a: 1\nb\nc: 2", "3:1: this line has no colon; a key is written as `key: value` (it begins on line 2)"),
    ("a: \x07", "1:4: control characters are not allowed in YAML; remove it, or escape it in double quotes"),
    ("", "1:1: the file is empty; `doorward init` writes a configuration to begin with"),
    ("# nothing", "1:1: the file is empty; `doorward init` writes a configuration to begin with"),
    ("a: 1\n---\nb: 2", "2:1: a second document begins here; a configuration is one document, so remove the ---"),
    ("a: 1\nb: 2\na: 3", "3:1: the key 'a' stands twice; it stood first on line 1"),
    ("404: x", "1:1: a key must be text; write '404' in quotes"),
    ("no: 1\ntrue: x", "2:1: a key must be text; write 'true' in quotes"),
    ("?\n: x", "1:2: a key is missing before the colon"),
    ("? [a]\n: b", "1:3: a key must be text, not a list or a mapping"),
    ("a: &x b\n*x : c", "2:1: an alias cannot be a key; write the key out"),
    ("a: *n", "1:4: the alias *n has no anchor before it"),
    ("a: &n [*n]", "1:8: the alias *n stands inside its own anchor"),
    ("a: 1\n<<: 3", "2:1: << takes the alias of a mapping, or a list of such aliases"),
    ("a: !ruby/object x", "1:4: unknown tag '!ruby/object'; remove it"),
    ("a: !foo [x]", "1:4: unknown tag '!foo'; remove it"),
    ("a: !!int x", "1:4: the tag says an integer, but the value is none"),
    ('a: "\\0"', "1:4: text cannot hold a NUL character"),
    ("a: " + "9" * 301, "1:4: a number has at most 300 digits; put text in quotes"),
    ("a: ${NO_SUCH}", "1:4: the environment variable NO_SUCH is not set; set it, or write ${NO_SUCH:-default}"),
    ("a: ${1}", "1:4: after ${ comes the name of a variable and }; for a plain ${ write $${"),
    ("[" * (DEPTH + 1), f"1:{DEPTH + 1}: the file nests deeper than {DEPTH} levels"),
    (
        "a: é\nü: é: x",
        "2:5: a colon does not fit here: indent the key like its neighbours, or put text that holds ': ' in quotes",
    ),
]


@pytest.mark.parametrize(("text", "flaw"), FLAWS)
def test_a_flaw_says_where_and_what_to_do(text: str, flaw: str) -> None:
    """Each mistake in the YAML itself is one line with its place."""
    assert told(text)[1] == [flaw]


def test_several_flaws_are_reported_at_once() -> None:
    """What does not keep the rest from being read does not hide the next mistake."""
    assert len(told("a: ${NO}\nb: *x\nb: 1\n2: 3")[1]) == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("x-a: &x {b: 1, c: 1}\nd: {<<: *x, c: 2}", {"d": {"c": 2, "b": 1}}),
        ("x-a: &x {b: 1}\nx-c: &y {b: 2, d: 3}\ne: {<<: [*x, *y]}", {"e": {"b": 1, "d": 3}}),
        ("'<<': 1", {"<<": 1}),
        ("a: {x-b: 1, c: 2}", {"a": {"c": 2}}),
        ("%YAML 1.2\n---\na: no", {"a": "no"}),
        ("\ufeffa: 1".removeprefix("\ufeff"), {"a": 1}),
        ("a: ${HOME_URL}/x", {"a": "https://canary.example/x"}),
        ("a: ${EMPTY:-d}${NO:-}$$${EMPTY}", {"a": "d$"}),
        ("a: ${NO:-12}", {"a": "12"}),
        ("a: ^x$", {"a": "^x$"}),
        ("${HOME_URL}: 1", {"${HOME_URL}": 1}),
        ("a: |\n  x: ${HOME_URL}\n", {"a": "x: https://canary.example\n"}),
        ("a: !!str 12", {"a": "12"}),
        ("a: ! 12", {"a": "12"}),
    ],
)
def test_values(text: str, value: object) -> None:
    """Anchors, merges, ignored keys and environment variables."""
    assert told(text) == (value, [])


def test_the_pure_parser_reads_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML has no C library, the values and places are the same."""
    text = "a: {b: [1, no, 'x']}\nc: |\n  d\n"
    fast, _ = parse_yaml(text, "f", {})
    monkeypatch.setattr(yaml_file, "_Loader", yaml.SafeLoader)
    slow, _ = parse_yaml(text, "f", {})
    assert slow.value == fast.value
    assert [node.place for node in slow.walk()] == [node.place for node in fast.walk()]


def test_nested_aliases_are_bounded() -> None:
    """A billion laughs end at the bound, and cost no memory before it."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    flaws = told("\n".join(lines))[1]
    assert len(flaws) == 1
    assert "more than 1000000 values when its aliases are put in" in flaws[0]


def test_aliases_count_for_depth() -> None:
    """Nesting by aliases is nesting."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, DEPTH)]
    assert f"the file nests deeper than {DEPTH} levels where *a" in told("\n".join(lines))[1][0]


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    """More than 8 MiB is not read."""
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (FILE_BYTES + 1))
    with pytest.raises(ConfigurationError, match=r":1:1: the file is larger than 8 MiB"):
        parse_yaml(read_text(file), str(file), {})


def test_a_file_is_utf8(tmp_path: Path) -> None:
    """Another encoding is a flaw with the place of the first byte that does not fit."""
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: 1\nb: é".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r":2:4: the file is not UTF-8 text; save it as UTF-8"):
        parse_yaml(read_text(file), str(file), {})


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """Editors of some systems write one."""
    file = tmp_path / "marked.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    root, flaws = parse_yaml(read_text(file), str(file), {})
    assert (root.value, flaws) == ({"a": 1, "b": 2}, [])
    assert root.nearest(("b",)).of_key == (2, 1)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """It says how to get one."""
    with pytest.raises(DoorwardError, match=r"there is no file .*`doorward init` writes a configuration"):
        parse_yaml(read_text(tmp_path / "none.yaml"), str(tmp_path / "none.yaml"), {})
    with pytest.raises(DoorwardError, match=r"cannot read .*: Is a directory"):
        parse_yaml(read_text(tmp_path), str(tmp_path), {})


def test_places_of_keys_and_values() -> None:
    """The way to a value leads to its place and to its key's; what is not there is its parent."""
    root, _ = parse_yaml("a:\n  - b: 1\n    c:\n", "f", {})
    assert root.nearest(("a", 0, "b")).of_key == (2, 5)
    assert root.nearest(("a", 0, "b")).of_value == (2, 8)
    assert root.nearest(("a", 0, "c")).of_value == (3, 5)
    assert root.nearest(("a", 0, "d")).of_value == (2, 5)
    assert root.nearest(("a", 7)).of_key == (1, 1)
    found = root.find(("a", 0))
    assert isinstance(found, Node)
    assert found.value == {"b": 1, "c": None}
    assert root.find(("a", 1, "b")) is None


def test_a_node_does_not_show_its_value() -> None:
    """It could be a secret."""
    root, _ = parse_yaml("canary", "f", {})
    assert "canary" not in repr(root)
