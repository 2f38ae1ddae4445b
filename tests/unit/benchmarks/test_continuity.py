"""How the load of `benchmarks.continuity` counts what it has seen: what is wrong counts, and nothing else does."""

import time

import pytest

from benchmarks.continuity import STALENESS, Load, Task


@pytest.mark.parametrize(
    ("left", "asked", "ended", "said", "valid", "revoked"),
    [
        (300, None, None, "200", {"200": 1}, {}),
        (300, None, None, "token_invalid", {"token_invalid": 1}, {}),
        (5, None, None, "token_expired", {}, {}),
        (300, 0, None, "token_revoked", {}, {}),
        (300, 2, 1, "token_revoked", {}, {"token_revoked": 1}),
        (300, 2, 1, "200", {}, {"200": 1}),
        (300, 2, STALENESS + 5, "200", {}, {"late": 1}),
    ],
)
def test_what_counts(
    left: float, asked: float | None, ended: float | None, said: str, valid: dict[str, int], revoked: dict[str, int]
) -> None:
    """A task that nobody ended is valid, one whose end was acknowledged before is revoked, and in between nothing is judged.

    Times are in seconds: what is left of the token, and how long ago its task's end was asked for and acknowledged.
    """
    now, load = time.time(), Load(0, "")
    ago = [None if seconds is None else now - seconds for seconds in (asked, ended)]
    load._note(Task("t", "token", "kid", now + left, *ago), now, said)
    assert (load.valid, load.revoked) == (valid, revoked)
