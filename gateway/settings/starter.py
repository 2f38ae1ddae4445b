"""The text of a first configuration, and of one more upstream; knows nothing of files and asks nobody anything."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from gateway.settings.scalars import resolve

SCHEMA_FILE: Final = "doorward.schema.json"
READING: Final = ("GET", "HEAD", "OPTIONS")
WRITING: Final = ("POST", "PUT", "PATCH", "DELETE")
_PROTOCOL: Final = "  protocol: mcp                        # its URL is the one endpoint of the server\n"

_PLAIN = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9/._@*+-]*(?:[: ][A-Za-z0-9/._@*+-]+)*").fullmatch
_NOTES_BEGIN: Final = 39


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is known of the upstream and of the user. `secret` and `inject` are the choices in YAML, `{env: KEY}`.

    `mcp` says that the upstream is a server of MCP.
    """

    name: str
    url: str
    secret: str
    inject: str
    networks: tuple[str, ...]
    network_note: str
    user: str
    agents: tuple[str, ...]
    today: date
    expires: date
    mcp: bool = False

    @property
    def intents(self) -> tuple[str, ...]:
        """The names of the intents that it begins with, the first of them the one to try first."""
        return (f"{self.name}.use",) if self.mcp else (f"{self.name}.read", f"{self.name}.write")


def scalar(text: str) -> str:
    """A text as YAML: plain where it reads as the same text, else in double quotes; a `$` is doubled."""
    text = text.replace("$", "$$")
    if _PLAIN(text) is not None and resolve(text, None, plain=True) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def entries(start: Start) -> Mapping[str, str]:
    """What one upstream adds to each section: lines without indentation."""
    return {
        "upstreams": _upstream(start),
        "credentials": _credential(start),
        "intents": _intents(start),
        "grants": _grant(start),
    }


def values(start: Start) -> Mapping[str, tuple[str, ...]]:
    """The names of the entries that one upstream adds to each section."""
    name = start.name
    return {
        "upstreams": (name,),
        "credentials": (f"{name}-key",),
        "intents": start.intents,
        "grants": (f"{start.user} uses {name}",),
    }


def configuration(start: Start, tenant: str) -> str:
    """A whole configuration for this machine and this user."""
    added = {section: _indented(text) for section, text in entries(start).items()}
    user = scalar(start.user)
    return f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
#
# Doorward in front of one API, written by `doorward init` on {start.today}.
# Check it after every change with `doorward check`: each mistake is named with its line and column.
# After an upgrade, `doorward schema > {SCHEMA_FILE}` renews what editors know of this file.

version: 1
tenant: {tenant:<30} # whose installation this is; stands in every token and every record

gateway:
  listen: [127.0.0.1:8080]             # where agents send their requests
  url: http://127.0.0.1:8080           # the address that agents use

authority:                             # opens tasks, issues and revokes task tokens
  listen: [127.0.0.1:8081, unix:var/authority.sock]
  issuer: http://127.0.0.1:8081
  store: {{sqlite: var/doorward.db}}     # paths are relative to this file

admin:                                 # for `doorward task list`, `show` and `revoke`
  socket: unix:var/admin.sock
  operators: [{user}]

identities:                            # how an agent proves what it is
  host:
    # Whoever runs as this user on this machine is this agent: the kernel tells the authority who calls.
    unix: {{users: {{{user}: {start.agents[0]}}}}}
    # Doorward runs as the same user, so nothing keeps the agent from Doorward's own files: good for trying
    # things out. Run agents as another user, list that user above, and remove this line to be isolated.
    same_user: true

upstreams:                             # the APIs behind the gateway
{added["upstreams"]}
credentials:                           # where their secrets come from; a secret never stands in this file
{added["credentials"]}
intents:                               # what agents may do, by name
{added["intents"]}
grants:                                # who may do it; what no grant allows is refused
{added["grants"]}
audit:
  sinks:
    local:
      file: {{path: var/audit.jsonl}}    # `doorward audit show` and `doorward audit verify` read it
      required: true                   # what cannot be recorded is refused
"""


def _upstream(start: Start) -> str:
    networks = ", ".join(scalar(network) for network in start.networks)
    return f"""\
{_noted(f"{start.name}:", f"agents call it at /{start.name}")}
  url: {scalar(start.url)}
{_PROTOCOL if start.mcp else ""}  credential: {start.name}-key
{_noted(f"  networks: [{networks}]", start.network_note)}
"""


def _credential(start: Start) -> str:
    owner = start.user if len(start.user) > 2 else f"user {start.user}"  # noqa: PLR2004 an owner has three characters
    return f"""\
{start.name}-key:
  secret: {start.secret}
  inject: {start.inject}
{_noted("  exception:", "a static secret needs an owner, a reason and an end")}
    owner: {scalar(owner)}
    reason: the API has no short-lived tokens
    expires: {start.expires}
    review_every: 30d
    reviewed: {start.today}
"""


def _intents(start: Start) -> str:
    if start.mcp:
        return f"""\
# To narrow an intent, name what it may use: `tool add_issue`, `prompt review`, `resource file:///projects/{{project}}/{{path...}}`.
{start.name}.use:
  upstream: {start.name}
  operations:
    - tool {{any}}
    - prompt {{any}}
    - resource {{any...}}
"""
    reading = "\n".join(f"    - {method} /{{path...}}" for method in READING)
    writing = "\n".join(f"    - {method} /{{path...}}" for method in WRITING)
    return f"""\
# To narrow an intent, name paths: `GET /v1/customers/{{customer}}` takes one segment, `{{rest...}}` all that follow.
{start.name}.read:
  upstream: {start.name}
  operations:
{reading}
{start.name}.write:
  upstream: {start.name}
  operations:
{writing}
"""


def _grant(start: Start) -> str:
    agents = ", ".join(scalar(agent) for agent in start.agents)
    if start.mcp:
        return f"""\
- name: {scalar(f"{start.user} uses {start.name}")}
  agents: [{agents}]
  intents: [{start.name}.use]
  # Clients of MCP send no Agent-Intent: what fits exactly one intent of the token is taken as that intent.
  declare: implied
"""
    return f"""\
- name: {scalar(f"{start.user} uses {start.name}")}
  agents: [{agents}]
  # To narrow the grant, leave {start.name}.write out.
  intents: [{start.name}.read, {start.name}.write]
  # For clients that cannot send the Agent-Intent header: an operation that fits exactly one intent of the token
  # is then taken as that intent.
  # declare: implied
"""


def _noted(line: str, note: str) -> str:
    """A line with its comment in the column of all others, two further left for the indentation still to come."""
    return f"{line:<{_NOTES_BEGIN - 2}}  # {note}" if len(line) > _NOTES_BEGIN - 3 else f"{line:<{_NOTES_BEGIN - 2}}# {note}"


def _indented(text: str) -> str:
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))
