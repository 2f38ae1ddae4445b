"""Makes new inputs of old ones: bytes, lines and words are turned, moved, doubled and joined; knows no protocol's rules."""

import random
import re
from collections.abc import Callable, Sequence

_WORDS = re.compile(rb"[A-Za-z0-9_.+-]+")
_NUMBERS = re.compile(rb"[0-9a-fA-F]+")
_BYTES = b"\x00\x01\x08\t\n\x0b\x0c\r\x1c\x1f !\"#$%&'()*+,-./0129:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\x85\xa0\xad\xc2\xff"
_NUMBERS_WORTH_TRYING = (b"0", b"00", b"1", b"2", b"-1", b"+1", b"7f", b"80", b"ffffffff", b"100000000", b"FFFFFFFFFFFFFFFF",
                         b"18446744073709551616", b"9" * 40, b"0x1", b"1_0", b"1e1", b"1.0", b"")  # fmt: skip
MOST_AT_ONCE = 4


class Mutator:
    """A source of chance with the words that mean something to a target."""

    def __init__(self, chance: random.Random, words: Sequence[bytes], longest: int) -> None:
        self._chance = chance
        self._words = words
        self._longest = longest
        self._ways: list[Callable[[bytes, bytes], bytes]] = [
            self._turn_a_bit, self._put_a_byte, self._put_a_byte, self._cut_out, self._double_a_part, self._put_a_word,
            self._put_a_word, self._change_a_word, self._change_a_number, self._change_case, self._double_a_line,
            self._drop_a_line, self._swap_lines, self._borrow_a_line, self._join, self._splice, self._cut_off,
        ]  # fmt: skip

    def of(self, raw: bytes, other: bytes) -> bytes:
        """A few changes at once; `other` lends parts."""
        for _ in range(self._chance.randint(1, MOST_AT_ONCE)):
            raw = self._chance.choice(self._ways)(raw, other)
        return raw[: self._longest]

    def _place(self, raw: bytes) -> int:
        return self._chance.randint(0, len(raw))

    def _part(self, raw: bytes) -> tuple[int, int]:
        start = self._place(raw)
        return start, min(len(raw), start + self._chance.choice((1, 1, 2, 4, 8, 32)))

    def _turn_a_bit(self, raw: bytes, _other: bytes) -> bytes:
        if not raw:
            return raw
        at = self._chance.randrange(len(raw))
        return raw[:at] + bytes((raw[at] ^ (1 << self._chance.randrange(8)),)) + raw[at + 1 :]

    def _put_a_byte(self, raw: bytes, _other: bytes) -> bytes:
        at, byte = self._place(raw), bytes((self._chance.choice(_BYTES),))
        return raw[:at] + byte + raw[at + self._chance.randint(0, 1) :]

    def _cut_out(self, raw: bytes, _other: bytes) -> bytes:
        start, end = self._part(raw)
        return raw[:start] + raw[end:]

    def _double_a_part(self, raw: bytes, _other: bytes) -> bytes:
        start, end = self._part(raw)
        return raw[:end] + raw[start:end] * self._chance.choice((1, 1, 1, 2, 40)) + raw[end:]

    def _put_a_word(self, raw: bytes, _other: bytes) -> bytes:
        at = self._place(raw)
        if self._chance.random() < 0.5 and b"\r\n" in raw:
            at = self._chance.choice([found.end() for found in re.finditer(rb"\r\n", raw)])
        return raw[:at] + self._chance.choice(self._words) + raw[at:]

    def _change_a_word(self, raw: bytes, _other: bytes) -> bytes:
        return self._change(_WORDS, raw, self._chance.choice(self._words))

    def _change_a_number(self, raw: bytes, _other: bytes) -> bytes:
        return self._change(_NUMBERS, raw, self._chance.choice(_NUMBERS_WORTH_TRYING))

    def _change(self, pattern: re.Pattern[bytes], raw: bytes, new: bytes) -> bytes:
        found = list(pattern.finditer(raw))
        if not found:
            return raw
        old = self._chance.choice(found)
        return raw[: old.start()] + new + raw[old.end() :]

    def _change_case(self, raw: bytes, _other: bytes) -> bytes:
        start, end = self._part(raw)
        return raw[:start] + raw[start:end].swapcase().replace(b"-", b"_") + raw[end:]

    def _double_a_line(self, raw: bytes, _other: bytes) -> bytes:
        lines = raw.split(b"\r\n")
        lines.insert(self._chance.randint(0, len(lines)), self._chance.choice(lines))
        return b"\r\n".join(lines)

    def _drop_a_line(self, raw: bytes, _other: bytes) -> bytes:
        lines = raw.split(b"\r\n")
        del lines[self._chance.randrange(len(lines))]
        return b"\r\n".join(lines)

    def _swap_lines(self, raw: bytes, _other: bytes) -> bytes:
        lines = raw.split(b"\r\n")
        one, other = self._chance.randrange(len(lines)), self._chance.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        return b"\r\n".join(lines)

    def _borrow_a_line(self, raw: bytes, other: bytes) -> bytes:
        lines = raw.split(b"\r\n")
        lines.insert(self._chance.randint(0, len(lines)), self._chance.choice(other.split(b"\r\n")))
        return b"\r\n".join(lines)

    def _join(self, raw: bytes, other: bytes) -> bytes:
        return raw + other

    def _splice(self, raw: bytes, other: bytes) -> bytes:
        return raw[: self._place(raw)] + other[self._place(other) :]

    def _cut_off(self, raw: bytes, _other: bytes) -> bytes:
        return raw[: self._place(raw)]
