"""What a configuration says to `doorward run`; runs nothing and asks nobody."""

import ssl
from pathlib import Path

from gateway.authority.addresses import parse_address
from gateway.cli.reach import authority_place
from gateway.cli.run_setting import Setting, Variables
from gateway.errors import DoorwardError
from gateway.settings.load import Loaded, load


def setting(config: Path, *, peer: bool, gateway: str, tenant: str | None = None) -> Setting:
    """The setting by this file; `gateway` takes the place of its own address if it is not empty. Raises `DoorwardError`."""
    place = authority_place(config, peer=peer)
    loaded = load(config).part(tenant)
    document = loaded.document
    prefixes = {name: rule.prefix(name) for name, rule in document.upstreams.items()}
    return Setting(
        authority=place.url if place.unix is None else f"unix:{place.unix}",
        gateway=gateway or _gateway(loaded),
        tls=_trusted(loaded),
        prefixes={intent: prefixes[rule.upstream] for intent, rule in document.intents.items()},
        variables=tuple(
            Variables(rule.env.base_url, rule.env.key, prefixes[name] + rule.env.path.rstrip("/"))
            for name, rule in document.upstreams.items()
            if rule.env is not None
        ),
    )


def _gateway(loaded: Loaded) -> str:
    rule = loaded.document.gateway
    if all(parse_address(text).path for text in rule.listen):
        raise DoorwardError("the gateway listens on a Unix socket alone; give it an address on this host too (gateway.listen)")
    return rule.url


def _trusted(loaded: Loaded) -> ssl.SSLContext | None:
    """The certificates that an authority elsewhere is verified with, if they are not the system's."""
    ca = loaded.document.authority.ca
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=loaded.resolve(ca))
    except OSError as error:
        raise DoorwardError(f"authority.ca cannot be used: {error.strerror}") from None
