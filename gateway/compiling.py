"""What the compiler of hot modules reads, and nothing else does; knows no module by name."""

from typing import TYPE_CHECKING

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:  # the name must be there at run time, where mypy_extensions need not be installed

    def mypyc_attr(**_: bool) -> object:
        """Leave the class as it is."""
        return lambda made: made
