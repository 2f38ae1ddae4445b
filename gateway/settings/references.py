"""Checks what entries say of each other: that names exist and that nothing is claimed twice; knows nothing of the models.

It reads the plain values of the file, so that it can report its flaws together with those of validation. What has a wrong
type is passed over here: validation reports it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.model import AgentPattern
from gateway.policy.rules import matches
from gateway.settings.sentences import shown, unknown

_Flaw = tuple[tuple[str | int, ...], str]
"""Where, and what is wrong."""

_OF_TRUST_DOMAINS: Final = ("spiffe_jwt", "spiffe_x509")
_COMPARED: Final = 50
"""How many unknown names are compared with all known ones; more would keep a large file busy for minutes."""

_REMEDIES: Final = {
    "identities": "no agent could prove what it is; add an identity such as `host: {unix: {users: {alice: spiffe://...}}}`",
    "upstreams": "nothing could be called; add one with `doorward init --add`",
    "credentials": "no upstream could be called; add the credential that the upstream takes",
    "intents": "nothing could be asked for; add an intent with the operations it covers",
    "grants": "every request would be refused; add a grant that lets an agent hold an intent",
}


def broken_references(document: object) -> Iterator[_Flaw]:
    """Everything in a document's plain values that does not fit together."""
    if not isinstance(document, dict):
        return
    yield from _empty(document)
    names = _Names()
    yield from _unknown_names(document, names)
    yield from _unknown_intents(document, names)
    yield from _shared_prefixes(_mapping(document.get("upstreams")))
    yield from _shared_variables(_mapping(document.get("upstreams")))
    yield from _shared_names(document)
    yield from _shared_addresses(document)
    yield from _identities(document)


class _Names:
    """Words the sentences about unknown names, and keeps their cost within a bound."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], str] = {}

    def unknown(self, noun: str, name: str, known: Iterable[str]) -> str:
        """What to say of a name that no entry has."""
        if name.startswith("x-"):
            return f"unknown {noun} {shown(name)}; a key that begins with x- is ignored, so choose another name"
        told = self._told.get((noun, name))
        if told is None:
            told = unknown(noun, name, known) if len(self._told) < _COMPARED else f"unknown {noun} {shown(name)}"
            self._told[noun, name] = told
        return told


def _empty(document: Mapping[str, Any]) -> Iterator[_Flaw]:
    for section, remedy in _REMEDIES.items():
        if section in document and document[section] in ({}, []):
            yield (section,), f"'{section}' is empty, so {remedy}"


def _unknown_names(document: Mapping[str, Any], names: "_Names") -> Iterator[_Flaw]:
    for section, key, target in (("upstreams", "credential", "credentials"), ("intents", "upstream", "upstreams")):
        known = _mapping(document.get(target))
        if not known:
            continue
        for name, entry in _mapping(document.get(section)).items():
            named = _mapping(entry).get(key)
            if isinstance(named, str) and named not in known:
                yield (section, name, key), names.unknown(key, named, known)


def _unknown_intents(document: Mapping[str, Any], names: "_Names") -> Iterator[_Flaw]:
    intents = tuple(_mapping(document.get("intents")))
    if not intents:
        return
    known: dict[str, bool] = dict.fromkeys(intents, True)
    for where, pattern in _texts(document, ("grants", "denials"), "intents"):
        if pattern not in known:
            known[pattern] = any(matches(pattern, intent) for intent in intents)
        if not known[pattern]:
            yield where, f"no intent matches {shown(pattern)}" if "*" in pattern else names.unknown("intent", pattern, intents)


def _shared_prefixes(upstreams: Mapping[str, Any]) -> Iterator[_Flaw]:
    first: dict[str, str] = {}
    for name, upstream in upstreams.items():
        own = _mapping(_mapping(upstream).get("at")).get("prefix")
        prefix = own if isinstance(own, str) else f"/{name}"
        if (other := first.setdefault(prefix, name)) != name:
            where: tuple[str | int, ...] = ("upstreams", name, "at", "prefix") if isinstance(own, str) else ("upstreams", name)
            yield (
                where,
                f"upstream '{other}' has the prefix {shown(prefix)} too; give each its own, with `at: {{prefix: /...}}`",
            )


def _shared_variables(upstreams: Mapping[str, Any]) -> Iterator[_Flaw]:
    """A key may stand in one variable for several upstreams, for `doorward run` has one for all; an address may not."""
    env = {name: _mapping(_mapping(upstream).get("env")) for name, upstream in upstreams.items()}
    first: dict[object, str] = {}
    for name, rule in env.items():
        variable = rule.get("base_url")
        if isinstance(variable, str) and (other := first.setdefault(variable, name)) != name:
            yield ("upstreams", name, "env", "base_url"), f"upstream '{other}' sets {shown(variable)} too; give each its own"
    for name, rule in env.items():
        if rule.get("key") in first:
            yield ("upstreams", name, "env", "key"), "an address stands in this variable already; give the key another"


def _shared_names(document: Mapping[str, Any]) -> Iterator[_Flaw]:
    for section in ("grants", "denials"):
        seen: set[str] = set()
        for index, entry in enumerate(_list(document.get(section))):
            name = _mapping(entry).get("name")
            if isinstance(name, str) and name in seen:
                yield (
                    (section, index, "name"),
                    "another entry has this name; records tell them apart by it, so give each its own",
                )
            elif isinstance(name, str):
                seen.add(name)


def _shared_addresses(document: Mapping[str, Any]) -> Iterator[_Flaw]:
    taken: dict[str, str] = {}
    for section, key in (("gateway", "listen"), ("authority", "listen"), ("admin", "socket")):
        value = _mapping(document.get(section)).get(key)
        for index, address in enumerate([value] if isinstance(value, str) else _list(value)):
            if not isinstance(address, str) or address.endswith(":0"):
                continue
            if address in taken:
                where = (section, key) if isinstance(value, str) else (section, key, index)
                yield where, f"'{taken[address]}' listens there already; give each listener its own address"
            taken[address] = section


def _identities(document: Mapping[str, Any]) -> Iterator[_Flaw]:
    minted = list(_minted(_mapping(document.get("identities"))))
    for number, (where, provider, whose, pattern) in enumerate(minted):
        for _, other, theirs, earlier in minted[:number]:
            # One trust domain gives its workloads SVIDs of both kinds, and they are the same agents.
            if other != provider and pattern.overlaps(earlier) and (whose is None or whose != theirs):
                yield where, f"identity '{other}' mints the same agents; each agent comes from one identity"
                break
    if not minted:
        return
    covered: dict[str, bool] = {}
    for where, text in (*_texts(document, ("grants", "denials"), "agents"), *_starters(document)):
        if text not in covered:
            agent = _pattern(text)
            covered[text] = agent is None or any(agent.overlaps(pattern) for *_, pattern in minted)
        if not covered[text]:
            yield where, f"no identity mints {shown(text)}, so this entry would never hold; check `identities`"


class _Minted(NamedTuple):
    where: tuple[str | int, ...]
    identity: str
    trust_domain: str | None
    pattern: AgentPattern


def _minted(identities: Mapping[str, Any]) -> Iterator[_Minted]:
    for name, entry in identities.items():
        identity, where = _mapping(entry), ("identities", name)
        listed = _mapping(_mapping(identity.get("unix")).get("users"))
        for user, text in listed.items():
            if (pattern := _pattern(text)) is not None:
                yield _Minted((*where, "unix", "users", user), name, None, pattern)
        kind = next((kind for kind in _OF_TRUST_DOMAINS if kind in identity), "")
        domain = _mapping(identity.get(kind)).get("trust_domain")
        place: tuple[str | int, ...] = (*where, kind, "trust_domain")
        text = f"spiffe://{domain}/*" if isinstance(domain, str) else None
        if "mints" in identity:
            place, text = (*where, "mints"), identity["mints"]
        if not listed and (pattern := _pattern(text)) is not None:
            yield _Minted(place, name, domain if isinstance(domain, str) else None, pattern)


def _pattern(text: object) -> AgentPattern | None:
    try:
        return AgentPattern.parse(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _texts(document: Mapping[str, Any], sections: Iterable[str], key: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for section in sections:
        for number, entry in enumerate(_list(document.get(section))):
            for index, text in enumerate(_list(_mapping(entry).get(key))):
                if isinstance(text, str):
                    yield (section, number, key, index), text


def _starters(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for number, entry in enumerate(_list(document.get("grants"))):
        for index, text in enumerate(_list(_mapping(_mapping(entry).get("start")).get("by"))):
            if isinstance(text, str):
                yield ("grants", number, "start", "by", index), text


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
