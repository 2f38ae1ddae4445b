"""The names of a store's epochs: whoever knows two of one store can tell which was earlier; knows no store.

The first eight hexadecimal digits of a name are its number, which grows by one with each epoch of a store; the rest is random,
so that two epochs that began after the same one are two. Of a name without a number, such as an earlier build has drawn, its
first eight digits are taken for one. `redis_epochs.lua` says the same.
"""

import re
from typing import Final

from gateway.stores.store import StoreUnavailableError

_DIGITS: Final = 8
_NUMBER: Final = re.compile(f"[0-9a-f]{{{_DIGITS}}}")
_LAST: Final = 16**_DIGITS - 1


def number(epoch: str) -> int:
    """The place of an epoch among those of its store; 0 of a name that says none."""
    found = _NUMBER.match(epoch)
    return 0 if found is None else int(found.group(), 16)


def after(epoch: str, drawn: str) -> str:
    """The name of an epoch that follows `epoch`, with the digits of `drawn` for its rest.

    Raises `StoreUnavailableError` after the last number there is: a smaller one would look like an epoch that is over.
    """
    before = number(epoch)
    if before >= _LAST:
        raise StoreUnavailableError("no number is left for another epoch of the store")
    return f"{before + 1:0{_DIGITS}x}{drawn[_DIGITS:]}"


def is_past(epoch: str, known: str) -> bool:
    """Whether this epoch is over for whoever knows of `known`: it is another one and does not come after that."""
    return known not in ("", epoch) and number(epoch) <= number(known)
