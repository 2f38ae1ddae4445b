"""What comes of a fetch: an answer, or an error in one sentence; knows nothing of how it was fetched."""

import json as json_text
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from gateway.errors import DoorwardError


class FetchError(DoorwardError):
    """There is no usable answer; one sentence that names the other side and says what happened."""


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status. Header names are looked up in any case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body read as JSON. Raises `FetchError`."""
        try:
            return json_text.loads(self.body)
        except (ValueError, RecursionError):
            raise FetchError(f"the answer with status {self.status} is not JSON") from None
