"""The whole configuration, composed of sections that stand beside their users; knows nothing of files and places."""

from typing import Annotated, Final, Literal

from pydantic import Field

from gateway.audit.rules import AuditRule
from gateway.authority.rules import AdminRule, AuthorityRule
from gateway.credentials.rules import CredentialRule, ExceptionsRule
from gateway.identity.issuers import MOST_FURTHER
from gateway.identity.rules import IdentityRule
from gateway.intent.rules import IntentRule
from gateway.kind import Config, Duration
from gateway.policy.rules import DenialRule, DriftRule, GrantRule, PolicyDriftRule
from gateway.settings.defaults_rule import DefaultsRule
from gateway.settings.gateway_rule import GatewayRule
from gateway.settings.issuer_rule import IssuerRule
from gateway.settings.names import Name
from gateway.settings.upstreams import UpstreamRule


class FeedRule(Config):
    """The channel by which the authority tells the gateway of revocations and keys."""

    max_staleness: Duration = Field(default=10.0, ge=2.0)
    """How long the gateway may hear nothing from the authority before it refuses every request; it hears every second."""


MOST_TENANTS: Final = 100
"""How many tenants one installation may have."""


class TenantRule(Config):
    """One of several tenants: who its agents are, and which files hold everything that is its own."""

    identities: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The entries of `identities` that vouch for its agents. Each is of exactly one tenant."""
    include: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=100)]
    """The files with its upstreams, credentials, intents, grants and denials, by name or by a pattern such as
    `tenants/acme/*.yaml`. Their names are its own, and nothing in them refers to those of another tenant."""


class Document(Config):
    """The configuration of Doorward."""

    version: Literal[1]
    """The version of this format."""
    tenant: Name
    """Whose installation this is; stands in every token and every record. With several, `tenants` stands instead."""
    tenants: Annotated[dict[Name, TenantRule], Field(max_length=MOST_TENANTS)] = Field(default_factory=dict)
    """Several tenants in one installation, by name, each with identities and files of its own. All other sections are common
    to all; then `tenant`, `include`, and what an included file holds do not stand in this file."""
    include: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=100)] = ()
    """Files beside this one, by name or by a pattern such as `teams/*.yaml`. They hold only upstreams, credentials, intents,
    grants and denials, and their relative paths begin at their own folder."""
    defaults: DefaultsRule = DefaultsRule()
    """What upstreams, grants and exceptions say that do not say otherwise, those of included files as well."""
    gateway: GatewayRule = Field(default_factory=GatewayRule)
    """The listener that agents send their requests to."""
    authority: AuthorityRule = AuthorityRule()
    """The part that opens tasks, issues and revokes task tokens."""
    issuers: Annotated[dict[Name, IssuerRule], Field(max_length=MOST_FURTHER)] = Field(default_factory=dict)
    """Further authorities elsewhere whose task tokens the gateway takes beside those of `authority`, by a name for each.
    Policy, upstreams and credentials are this file's; tasks, revocations and limits are each issuer's own."""
    admin: AdminRule = AdminRule()
    """How operators reach a running Doorward."""
    feed: FeedRule = FeedRule()
    """The channel by which the authority tells the gateway of revocations and keys."""
    identities: dict[Name, IdentityRule]
    """How agents prove what they are, by a name for each way."""
    upstreams: dict[Name, UpstreamRule]
    """The APIs behind the gateway, by name."""
    credentials: dict[Name, CredentialRule]
    """The secrets of upstreams, by name: where they come from, never what they are."""
    intents: dict[Name, IntentRule]
    """What agents may do, by name: a business action and the operations that belong to it."""
    grants: tuple[GrantRule, ...]
    """Who may hold which intents. What no grant allows is refused."""
    denials: tuple[DenialRule, ...] = ()
    """What is forbidden whatever the grants say."""
    drift: DriftRule | None = None
    """What ends the tasks of an agent that keeps asking for what it may not have; nothing when it is left out."""
    policy_drift: PolicyDriftRule = PolicyDriftRule()
    """What happens to live tasks when policy changes."""
    exceptions: ExceptionsRule = ExceptionsRule()
    """What holds for all exceptions of static credentials."""
    audit: AuditRule = Field(default_factory=AuditRule)
    """Where the audit log goes."""
