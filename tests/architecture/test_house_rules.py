"""Every module keeps the rules of the house, and every rule is shown a sample that breaks it; knows no single feature."""

import ast
import textwrap
import tomllib
from collections import Counter

import house_rules as rules
import pytest

from gateway.errors import PROBLEMS

PRODUCT = rules.product_files()

SAMPLES = {
    rules.says_what_it_is_for: [
        "",
        '"""No period"""',
        '"""Two sentences here. This is the second; knows nothing."""',
    ],
    rules.says_what_it_does_not_know: ['"""Does many things."""'],
    rules.reveals_secrets: ["x = secret.reveal()", "read = secret.reveal", "x = getattr(secret, 'reveal')()"],
    rules.issues_permits: ["Permit._issue(grant='x')", "make = Permit._issue", "getattr(Permit, '_issue')()"],
    rules.prints: ["print('x')", "say = print", "breakpoint()"],
    rules.catches_everything: [
        "try: pass\nexcept Exception: raise",
        "try: pass\nexcept: pass",
        "try: pass\nexcept (ValueError, Exception): pass",
        "try: pass\nexcept BaseException: pass",
        "try: pass\nexcept BaseException as error: raise error",
    ],
    rules.spawns: [
        "asyncio.create_task(work())",
        "asyncio.get_running_loop().create_task(work())",
        "asyncio.ensure_future(work())",
        "asyncio.Task(work())",
        "asyncio.TaskGroup()",
        "from asyncio import create_task",
    ],
    rules.imports_tests: ["import fakes.clock", "from tests import x", "import pytest", "from hypothesis import given"],
    rules.tests_without_sentence: ["def test_x(): pass", 'async def test_x():\n    """No period"""'],
}
"""Rules, each with sources that break it: at least one sentence must come of every one."""

FINE = '''
"""Does one thing well; knows nothing of the rest."""
try:
    tasks: set[asyncio.Task] = set()
except BaseException:
    clean()
    raise
def test_x():
    """A thing holds."""
'''


@pytest.mark.parametrize("rule", [rule for rule in SAMPLES if rule is not rules.tests_without_sentence])
def test_the_product_keeps_the_rule(rule):
    """No module of the product breaks a rule of the house."""
    assert rules.broken(rule, PRODUCT) == []


@pytest.mark.parametrize(("rule", "sample"), [(rule, sample) for rule, samples in SAMPLES.items() for sample in samples])
def test_a_rule_finds_what_breaks_it(rule, sample):
    """A rule that cannot fail holds nothing, so each one is shown bad samples."""
    assert rules.broken(rule, {"gateway/sample.py": sample})


@pytest.mark.parametrize("rule", SAMPLES)
def test_a_rule_lets_good_code_be(rule):
    """What keeps the rules is not found guilty."""
    assert rules.broken(rule, {"gateway/sample.py": textwrap.dedent(FINE).lstrip()}) == []


def test_every_test_states_a_behaviour():
    """Every test function has a docstring that is a sentence."""
    assert rules.broken(rules.tests_without_sentence, rules.files_of_tests()) == []


def test_no_file_outgrows_its_reader():
    """A module of the product has at most 400 lines."""
    assert [path for path, text in PRODUCT.items() if rules.too_long(text)] == []
    assert rules.too_long("x\n" * 401)
    assert not rules.too_long("x\n" * 400)


def test_no_name_says_nothing():
    """Neither a file nor a folder is called by a word that fits anything."""
    assert [path for path in PRODUCT if rules.forbidden_name(path)] == []
    assert all(map(rules.forbidden_name, ("gateway/utils.py", "gateway/http/head_helpers.py", "gateway/data/x.py")))


def test_no_two_files_begin_alike():
    """The first sentence of a module is its own: a copied one was not read."""
    sentences = Counter(rules.first_sentence(ast.parse(text)) for text in PRODUCT.values())
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


def test_the_type_checker_is_not_told_to_look_away():
    """No comment of the product ignores types, and a word in a text is no comment."""
    assert [path for path, text in PRODUCT.items() if rules.ignores_types(text)] == []
    assert rules.ignores_types("x = 1  # type: ignore[assignment]\n")
    assert not rules.ignores_types("x = '# type: ignore'\n")


def test_the_codes_of_refusals_are_those_of_the_table():
    """Each refusal is made with a literal code of the table, and each code of the table can occur."""
    used = {code for text in PRODUCT.values() for code in rules.refusal_codes(ast.parse(text))}
    assert used == set(PROBLEMS)
    assert rules.refusal_codes(ast.parse("Refusal(code)")) == {"?"}
    assert rules.refusal_codes(ast.parse("Refusal('denied' if x else 'internal')")) == {"denied", "internal"}


def layers() -> set[str]:
    """The modules that the import contract puts into layers; those in brackets may still be missing."""
    contracts = tomllib.loads((rules.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    return {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}


def test_every_part_has_its_layer():
    """Each module and package at the top of the product stands in the import contract."""
    top = {path.split("/")[1].removesuffix(".py") for path in PRODUCT}
    assert top - {"__init__", "__main__"} - layers() == set()


def test_a_secret_is_read_only_by_its_method():
    """Its bytes lie behind one method, so that the rule about the method is a rule about the bytes."""
    readers = [path for path, text in PRODUCT.items() if "secret._value" in text or "_Secret" in text]
    assert readers == []
