"""Takes the file of several tenants apart into one configuration for each; knows nothing of what their entries mean.

tenants:
  acme: {identities: [cluster], include: [tenants/acme/*.yaml]}
  globex: {identities: [mesh], include: [tenants/globex/*.yaml]}
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.errors import Flaw
from gateway.settings.defaults import mapping
from gateway.settings.document import Document
from gateway.settings.include import SHARED, included_files
from gateway.settings.nodes import Entry, Node, Where

TENANTS: Final = "tenants"
_COMMON: Final = "nobody"
_LISTS: Final = ("grants", "denials")

Told = tuple[Where, str]
"""A path in the main file, and what is wrong there."""


def has_several(root: Node) -> bool:
    """Whether this main file is one of several tenants."""
    return TENANTS in root.entries


def files_of(root: Node, main: Path) -> tuple[dict[Path, str], list[Flaw]]:
    """The files that a configuration includes, each with its tenant; an empty one where there is only one tenant."""
    if not has_several(root):
        files, flaws = included_files(root, main)
        return dict.fromkeys(files, ""), flaws
    owners: dict[Path, str] = {}
    known: dict[Path, str] = {}
    told: list[Flaw] = []
    for name, entry in root.entries[TENANTS].node.entries.items():
        files, flaws = included_files(entry.node, main)
        told += flaws
        for file in files:
            other = known.setdefault(file.resolve(), name)
            if other != name:
                message = f"tenant '{other}' includes {file.name} too; a file is of one tenant"
                told.append(Flaw(root.file, entry.line, entry.column, message))
            owners.setdefault(file, name)
    return owners, told


def trees_of(root: Node) -> Iterator[tuple[str, Node]]:
    """The tree of each tenant before anything is included: what is common to all, its name and its own identities."""
    common = {section: entry for section, entry in root.entries.items() if section not in (TENANTS, "include", *SHARED)}
    identities = root.entries.get("identities")
    for name, entry in root.entries[TENANTS].node.entries.items():
        own = dict(common)
        own["tenant"] = Entry(entry.line, entry.column, Node((entry.line, entry.column), name, file=root.file))
        if identities is not None:
            named = _named(entry.node)
            kept = {each: found for each, found in identities.node.entries.items() if each in named}
            own["identities"] = identities._replace(node=mapping(identities.node, kept))
        yield name, mapping(root, own)


def placed(root: Node, tenant: str) -> Node:
    """The same tree with a place on the gateway for each upstream that says none: below the name of its tenant."""
    section = root.entries.get("upstreams")
    if section is None or not isinstance(section.node.value, dict):
        return root
    upstreams = {name: _placed(entry, f"/{tenant}/{name}") for name, entry in section.node.entries.items()}
    return mapping(root, {**root.entries, "upstreams": section._replace(node=mapping(section.node, upstreams))})


def common_tree(root: Node) -> Node:
    """What is common to all tenants, as the tree of a configuration that has no entries of its own."""
    entries = {section: entry for section, entry in root.entries.items() if section not in ("include", *SHARED)}
    for section in ("tenant", *SHARED):
        value: object = _COMMON if section == "tenant" else [] if section in _LISTS else {}
        entries[section] = Entry(*root.place, Node(root.place, value, file=root.file))
    return mapping(root, entries)


def misplaced(root: Node) -> Iterator[Told]:
    """What the main file of several tenants does not hold, and identities that are not of exactly one of them."""
    if root.entries[TENANTS].node.value == {}:
        yield (TENANTS,), "name at least one tenant"
    if "tenant" in root.entries:
        yield ("tenant",), "`tenant` and `tenants` do not stand together; write its name as one of `tenants`"
    for section in ("include", *SHARED):
        if section in root.entries:
            yield (section,), "with several tenants this belongs to one of them: write it into a file of `tenants.NAME.include`"
    identities = root.entries.get("identities")
    known = {} if identities is None else identities.node.entries
    owners: dict[str, str] = {}
    for name, entry in root.entries[TENANTS].node.entries.items():
        listed = entry.node.entries.get("identities")
        for index, item in enumerate(() if listed is None else listed.node.items):
            where = (TENANTS, name, "identities", index)
            if not isinstance(item.value, str):
                continue
            if item.value not in known:
                yield where, f"there is no identity '{item.value}'"
            elif owners.setdefault(item.value, name) != name:
                yield where, f"identity '{item.value}' is of tenant '{owners[item.value]}' already; an agent is of one tenant"
    for name in known:
        if name not in owners:
            yield ("identities", name), "no tenant names this identity; name it in `tenants.NAME.identities`"


def shared_agents(document: Document) -> Iterator[Told]:
    """Identities of different tenants that could vouch for one agent, of one trust domain or of two."""
    owners = [(name, tenant) for tenant, rule in document.tenants.items() for name in rule.identities]
    for number, (name, tenant) in enumerate(owners):
        for other, its in owners[:number]:
            pairs = ((a, b) for a in document.identities[name].patterns for b in document.identities[other].patterns)
            if tenant != its and any(mine.overlaps(yours) for mine, yours in pairs):
                told = f"identity '{other}' of tenant '{its}' could vouch for the same agents; keep their mints apart"
                yield ("identities", name), told


def shared_prefixes(documents: Mapping[str, Document]) -> Iterator[tuple[str, Where, str]]:
    """Upstreams of different tenants at one place: tenant, path in its tree, and what is wrong."""
    taken: dict[str, tuple[str, str]] = {}
    for tenant, document in documents.items():
        for name, rule in document.upstreams.items():
            other = taken.setdefault(rule.prefix(name), (tenant, name))
            if other[0] != tenant:
                told = f"upstream '{other[1]}' of tenant '{other[0]}' has this prefix too; give each its own"
                yield tenant, ("upstreams", name, "at", "prefix"), told


def _placed(entry: Entry, prefix: str) -> Entry:
    node = entry.node
    if not isinstance(node.value, dict) or "at" in node.entries:
        return entry
    place = (entry.line, entry.column)
    text = Node(place, prefix, file=node.file)
    at = Node(place, {"prefix": prefix}, file=node.file, entries={"prefix": Entry(*place, text)}, size=2, height=2)
    return entry._replace(node=mapping(node, {**node.entries, "at": Entry(*place, at)}))


def _named(tenant: Node) -> frozenset[str]:
    listed = tenant.entries.get("identities")
    return frozenset(item.value for item in (() if listed is None else listed.node.items) if isinstance(item.value, str))
