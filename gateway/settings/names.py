"""What entries of the configuration may be called; knows nothing of the entries."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}").fullmatch


def _check_name(value: Any) -> str:
    if not isinstance(value, str) or _NAME(value) is None:
        raise PydanticCustomError(
            "name",
            "a name has at most 64 characters: lower-case letters, digits, dots, dashes, underscores; a letter or digit first",
        )
    return value


Name = Annotated[
    str, BeforeValidator(_check_name), WithJsonSchema({"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"})
]
"""The name of an entry: lower-case letters, digits, dots, dashes and underscores."""
