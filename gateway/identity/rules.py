"""An identity as an operator writes it: one provider and the agents it may vouch for; knows no provider by name."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, StrictBool, create_model, model_validator
from pydantic_core import PydanticCustomError

from gateway.identity.provider import ProviderConfig
from gateway.identity.providers import PROVIDERS
from gateway.kind import Choice, Config
from gateway.model import AgentPattern


def _pattern(text: str) -> str:
    AgentPattern.parse(text)
    return text


class _Identity(Config):
    """How agents prove what they are. Exactly one provider stands beside the other keys."""

    mints: Annotated[str, AfterValidator(_pattern)] | None = None
    """The agents it may vouch for: one SPIFFE ID, or all below a path with a trailing `/*`.

    Not needed where the provider itself lists them, or is of one trust domain: then it may vouch for all of that."""
    same_user: StrictBool = False
    """Must be true if a listed user is Doorward's own or an operator's: nothing isolates that agent from Doorward then."""

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        """Unless a key is unknown: that is reported with its own place and the nearest known name."""
        if not isinstance(value, dict) or value.keys() - cls.model_fields.keys():
            return value
        if sum(name in PROVIDERS for name in value) != 1:
            raise PydanticCustomError(
                "one_of",
                "expected exactly one {noun}; known: {known}",
                {"noun": "identity provider", "known": ", ".join(sorted(PROVIDERS))},
            )
        return value

    @model_validator(mode="after")
    def _vouches_for_someone(self) -> Self:
        implied, within = self._config.implied(), self._config.within()
        if self.mints is None and not implied and within is None:
            raise PydanticCustomError("mints", "mints is missing: say which agents this provider may vouch for")
        if self.mints is not None and any(not AgentPattern.parse(self.mints).covers(agent.text) for agent in implied):
            raise PydanticCustomError("mints", "a listed agent is outside mints")
        if self.mints is not None and within is not None and not within.covers(AgentPattern.parse(self.mints).text):
            raise PydanticCustomError("mints", "mints is outside the trust domain of this provider")
        if self.same_user and not implied:
            raise PydanticCustomError("same_user", "same_user is only for providers that list users of this machine")
        return self

    @property
    def choice(self) -> Choice:
        """The provider that was chosen, with its configuration."""
        for name in PROVIDERS:
            config = getattr(self, name)
            if config is not None:
                return Choice(name, config)
        raise AssertionError("validation lets no identity without a provider exist")

    @property
    def patterns(self) -> tuple[AgentPattern, ...]:
        """The agents it may vouch for: never empty."""
        if implied := self._config.implied():
            return implied
        within = self._config.within()
        if self.mints is None and within is not None:
            return (within,)
        return (AgentPattern.parse(str(self.mints)),)

    @property
    def _config(self) -> ProviderConfig:
        config: ProviderConfig = self.choice.config
        return config

    def check_isolation(self, own: Collection[int]) -> None:
        """Demand that the operator knows of every listed user who is in `own`: the user ids of Doorward and its operators.

        Raises `ValueError`, also for a user that this machine does not know.
        """
        shared = [user for user, uid in self._config.local_users().items() if uid in own]
        if shared and not self.same_user:
            raise ValueError(
                f"user {shared[0]} is Doorward's own or an operator, so nothing keeps that agent from Doorward's keys; "
                "run agents as another user, or accept it with same_user: true"
            )


if TYPE_CHECKING:

    class IdentityRule(_Identity):
        """What the call below makes, for the type checker: each provider of the registry is one optional key."""

else:
    IdentityRule = create_model(
        "IdentityRule",
        __base__=_Identity,
        __doc__=_Identity.__doc__,
        __module__=__name__,
        **{name: (kind.config, Field(default_factory=lambda: None)) for name, kind in PROVIDERS.items()},
    )
