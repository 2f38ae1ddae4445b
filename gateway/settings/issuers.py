"""What a configuration says of further issuers, checked against the tenants and the other issuers; asks nobody."""

from collections.abc import Iterator
from typing import Final

from gateway.errors import Flaw
from gateway.settings.document import Document
from gateway.settings.load import Loaded

OWN: Final = "authority"
"""How the gateway's own authority is called where issuers are told apart by name."""


def issuer_flaws(loaded: Loaded) -> Iterator[Flaw]:
    """Issuers that speak for nobody here, and those that could not be told apart."""
    document = loaded.document
    taken = {document.authority.issuer: "the authority of this gateway"}
    for name, rule in document.issuers.items():
        if name == OWN:
            yield loaded.flaw(("issuers", name), "metrics call the authority of this gateway so; choose another name")
        for index, tenant in enumerate(rule.tenants):
            if tenant not in loaded.parts:
                yield loaded.flaw(("issuers", name, "tenants", index), f"there is no tenant '{tenant}' here")
        other = taken.setdefault(rule.issuer, f"issuer '{name}'")
        if other != f"issuer '{name}'":
            told = f"{other} calls itself so too, and nobody could say whose a token is"
            yield loaded.flaw(("issuers", name, "issuer"), told)


def issuer_warnings(document: Document) -> Iterator[str]:
    """Issuers that could pass off agents of theirs as those of others."""
    for name, rule in document.issuers.items():
        if rule.agents is None:
            yield f"issuer {name} may name every agent of its tenants, those of others too; say with `agents` which are its own"
