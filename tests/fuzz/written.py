r"""Cases as text: one a line, with its name and what is to come of it above; knows no target.

    # a chunk size with a sign
    broken +5\r\nhello\r\n

The first word is the verdict, the rest the bytes, with the escapes of Python. In a file of grown cases there is neither
name nor verdict: the fuzzer kept those inputs because each reached something that no other did.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"
GROWN = CORPUS / "grown"
WORDS = Path(__file__).parent / "words"


class Case(NamedTuple):
    """One input with its name, and the verdict that is expected."""

    name: str
    verdict: str
    raw: bytes


def named_cases(target: str) -> Iterator[Case]:
    """The cases that somebody wrote for this target."""
    name = ""
    for line in (CORPUS / f"{target}.txt").read_text("ascii").splitlines():
        if line.startswith("# "):
            name = line[2:]
        elif line:
            verdict, _, text = line.partition(" ")
            yield Case(name, verdict, bytes_of(text))


def words(name: str) -> list[bytes]:
    """Words that mean something to a target, one a line."""
    return [bytes_of(line) for line in (WORDS / f"{name}.txt").read_text("ascii").splitlines()]


def grown_cases(target: str) -> list[bytes]:
    """The inputs that were kept from long runs."""
    file = GROWN / f"{target}.txt"
    return [bytes_of(line) for line in file.read_text("ascii").splitlines()] if file.exists() else []


def write_grown(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these inputs, shortest first."""
    GROWN.mkdir(exist_ok=True)
    lines = [text_of(raw) for raw in sorted(inputs, key=lambda raw: (len(raw), raw)) if raw]
    (GROWN / f"{target}.txt").write_text("\n".join(lines) + "\n", "ascii")


def text_of(raw: bytes) -> str:
    """Bytes on one line of ASCII; a space at an end is escaped, for editors take those away."""
    text = raw.decode("latin-1").encode("unicode_escape").decode("ascii")
    inner = text.removesuffix(" ") + ("\\x20" if text.endswith(" ") else "")
    return "\\x20" + inner[1:] if inner.startswith(" ") else inner


def bytes_of(text: str) -> bytes:
    """What `text_of` wrote down."""
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")
