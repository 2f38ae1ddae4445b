"""Credentials and the exceptions that permit static ones, as operators write them; knows nothing of their secrets."""

from datetime import date, datetime, time, timedelta, timezone
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.credentials.injectors import INJECTORS
from gateway.credentials.sources import SOURCES
from gateway.kind import Choice, Config, Duration, OneOf


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise PydanticCustomError("day", "expected a day such as 2027-01-31") from None


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class ExceptionRule(Config):
    """The written permission for a static credential."""

    owner: Annotated[str, Field(min_length=3, max_length=200)]
    """Who answers for it: a person or a team that can be reached."""
    reason: Annotated[str, Field(min_length=3, max_length=500)]
    """Why the upstream cannot do without a static secret."""
    expires: Day
    """The last day, in UTC, on which the credential is used."""
    review_every: Duration
    """How often the owner looks at it again."""
    reviewed: Day
    """The day of the last review."""

    def ends(self) -> float:
        """Unix time at which the exception ends: the end of its last day."""
        return _midnight(self.expires) + timedelta(days=1).total_seconds()

    def review_due(self) -> float:
        """Unix time at which the next review is due."""
        return _midnight(self.reviewed) + self.review_every


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), timezone.utc).timestamp()


class CredentialRule(Config):
    """An upstream's secret: where it comes from, how it enters a request, and why it may be static."""

    secret: Annotated[Choice, OneOf("secret source", SOURCES)]
    """Where the secret comes from; it never stands in the file."""
    inject: Annotated[Choice, OneOf("injector", INJECTORS)]
    """How the secret enters a request."""
    exception: ExceptionRule | None = None
    """Demanded for every static secret."""


class ExceptionsRule(Config):
    """What holds for all exceptions."""

    max: Duration = timedelta(days=180).total_seconds()
    """How far ahead an exception may expire."""
    overdue: Duration = timedelta(days=14).total_seconds()
    """How long after a missed review the credential still works."""
