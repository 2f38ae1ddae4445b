"""A secret that cannot be shown by accident; knows nothing of where it came from and where it goes."""

from typing import Final, NoReturn, final


@final
class Secret:
    """The bytes of a secret. Only code inside `credentials/` calls `reveal`; an architecture test finds any other."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: Final = value

    def reveal(self) -> bytes:
        """The bytes themselves."""
        return self._value

    def __repr__(self) -> str:
        return "<Secret>"

    __str__ = __repr__

    def __format__(self, _specification: str) -> str:
        return "<Secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")
