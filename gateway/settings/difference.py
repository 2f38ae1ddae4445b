"""What two configurations have not in common, by names of entries and keys; shows no value, for it could be a secret."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from gateway.errors import Flaw
from gateway.settings.document import Document
from gateway.settings.load import Loaded

RELOADABLE: Final = frozenset(
    (
        "include",
        "tenants",
        "identities",
        "upstreams",
        "credentials",
        "intents",
        "grants",
        "denials",
        "drift",
        "exceptions",
        "policy_drift",
    )
)
"""Sections that may change while Doorward runs; of the others only `RELOADABLE_KEYS` may."""
RELOADABLE_KEYS: Final = frozenset((("gateway", "intent_header"), ("gateway", "mode")))

_ENTRIES: Final = ("identities", "upstreams", "credentials", "intents", "grants", "denials")
_OWN: Final = ("upstreams", "credentials", "intents", "grants", "denials")
_ORDER: Final = "(their order)"


@final
@dataclass(frozen=True, slots=True)
class Difference:
    """Entries such as `upstreams.billing`, and for changed ones the key, as in `upstreams.billing.url`; each in file order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """All three."""
        return self.added, self.removed, self.changed

    def lines(self) -> Iterator[str]:
        """One line for each, to read."""
        for sign, names in (("+", self.added), ("-", self.removed), ("~", self.changed)):
            yield from (f"{sign} {name}" for name in names)


def difference(before: Loaded, after: Loaded) -> Difference:
    """What was added, removed and changed between two configurations; an entry of one of several tenants begins with it."""
    found = _difference(before, after)
    for name, part in after.tenants.items():
        own = _difference(before.tenants.get(name, part), part, _OWN)
        each = ((f"{name}: {entry}" for entry in entries) for entries in (own.added, own.removed, own.changed))
        found = Difference(*((*before_it, *its) for before_it, its in zip(found.parts, each, strict=True)))
    return found


def _difference(before: Loaded, after: Loaded, only: Collection[str] | None = None) -> Difference:
    old, new = before.positions.value, after.positions.value
    added: list[str] = []
    removed: list[str] = []
    changed: list[str] = []
    for section in dict.fromkeys((*old, *new)) if only is None else only:
        if section not in _ENTRIES:
            changed += _changed_keys(section, old.get(section), new.get(section))
            continue
        one, other = _by_name(old.get(section)), _by_name(new.get(section))
        added += [f"{section}.{name}" for name in other if name not in one]
        removed += [f"{section}.{name}" for name in one if name not in other]
        for name in other:
            if name in one:
                changed += _changed_keys(f"{section}.{name}", one[name], other[name])
        if isinstance(new.get(section), list) and [name for name in one if name in other] != [n for n in other if n in one]:
            changed.append(f"{section} {_ORDER}")  # the first grant that fits decides
    return Difference(tuple(added), tuple(removed), tuple(changed))


def fixed_flaws(before: Loaded, after: Loaded) -> Iterator[Flaw]:
    """Everything that differs and cannot change while Doorward runs. What is written out as it was by default is no change.

    Tenants neither come nor go; which identities and files they have may change.
    """
    if before.tenants.keys() != after.tenants.keys():
        yield after.flaw(("tenants",), _told("tenants"))
    for section in Document.model_fields:
        if section in RELOADABLE:
            continue
        old, new = getattr(before.document, section), getattr(after.document, section)
        if old == new:
            continue
        keys = type(new).model_fields if isinstance(new, type(old)) and hasattr(type(new), "model_fields") else {}
        for key in keys:
            if (section, key) not in RELOADABLE_KEYS and getattr(old, key) != getattr(new, key):
                yield after.flaw((section, key), _told(f"{section}.{key}"))
        if not keys:
            yield after.flaw((section,), _told(section))


def narrowed_intents(before: Document, after: Document) -> frozenset[str]:
    """The intents that cover less than they did, or another upstream: whoever was given one was given more."""
    return frozenset(
        name
        for name, old in before.intents.items()
        if (new := after.intents.get(name)) is None
        or new.upstream != old.upstream
        or not all(operation in new.operations for operation in old.operations)
    )


def _told(key: str) -> str:
    return f"'{key}' cannot change while doorward runs; restart it, or write back what was there"


def _changed_keys(name: str, old: Any, new: Any) -> list[str]:
    if old == new:
        return []
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [name]
    return [
        f"{name}.{key}" for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _by_name(section: object) -> Mapping[str, Any]:
    if isinstance(section, list):
        return {entry["name"]: entry for entry in section}
    return section if isinstance(section, dict) else {}
