"""What `defaults` may hold, by the models of the entries that it fills up; knows not how they are filled up."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.credentials.rules import ExceptionRule
from gateway.kind import Config
from gateway.policy.rules import GrantRule
from gateway.settings.sentences import unknown
from gateway.settings.upstreams import UpstreamRule


def _keys_of(noun: str, model: type[Config], own: Iterable[str]) -> AfterValidator:
    """Every key has to be one of the entry's. Those in `own` an entry says of itself alone."""
    known = {field.alias or name for name, field in model.model_fields.items()} - set(own)

    def check(value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in own:
                raise ValueError(f"`{name}` is for each {noun} to say; take it out of the defaults")
            if name not in known:
                raise ValueError(unknown(f"key of {noun}", name, known))
        return value

    return AfterValidator(check)


class DefaultsRule(Config):
    """What entries say that do not say otherwise: a key of an entry replaces the one of its defaults as a whole."""

    upstream: Annotated[dict[str, Any], _keys_of("upstream", UpstreamRule, {"at"})] = Field(default_factory=dict)
    """For every entry of `upstreams`."""
    grant: Annotated[dict[str, Any], _keys_of("grant", GrantRule, {"name", "examples"})] = Field(default_factory=dict)
    """For every entry of `grants`."""
    exception: Annotated[dict[str, Any], _keys_of("exception", ExceptionRule, {"reviewed"})] = Field(default_factory=dict)
    """For the `exception` of every credential that has one, be it empty. It never makes one."""
