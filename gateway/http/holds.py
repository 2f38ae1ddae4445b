"""Why a client connection is not read from for a while; knows neither who holds it nor who lets it go."""

from typing import Final


class Because:
    """Reasons that add up: it is read again when none is left."""

    UPSTREAM_FULL: Final = 1
    TOO_EARLY: Final = 2
    """Of its body as much has come as is held before there is an upstream."""
    TOO_FAR_AHEAD: Final = 4
    """And of the requests that wait for their turn."""
    UNPAID: Final = 8
    """What came of its body last may not pass yet, for a limit counts it."""
