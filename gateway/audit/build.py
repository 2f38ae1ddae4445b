"""Makes a ledger from what an operator wrote; knows every part of the audit and does nothing with them."""

from collections.abc import Callable
from pathlib import Path

from gateway.audit.checkpoint import load_or_create
from gateway.audit.ledger import Ledger
from gateway.audit.rules import AuditRule
from gateway.audit.sinks import SINKS
from gateway.audit.sinks.file import FileSink
from gateway.clock import Clock
from gateway.errors import DoorwardError


def build(rule: AuditRule, *, name: str, clock: Clock, resolve: Callable[[str], Path]) -> Ledger:
    """The ledger of `name`, which is usually the tenant; `resolve` makes paths of the configuration absolute.

    The signing key is made if there is none. Raises `DoorwardError` if it cannot be used.
    """
    key_file = resolve(rule.checkpoint.key.file)
    try:
        key_file.parent.mkdir(parents=True, mode=0o711, exist_ok=True)
        signer = load_or_create(key_file, f"{name}/audit")
    except OSError as error:
        raise DoorwardError(f"{key_file}: the checkpoint key cannot be opened: {error.strerror}") from None
    sinks = [
        SINKS[chosen.choice.name].build(chosen.choice.config, clock, resolve, signer.verifier) for chosen in rule.sinks.values()
    ]
    (log,) = (sink for sink in sinks if isinstance(sink, FileSink))
    return Ledger(clock, signer, log, [sink for sink in sinks if sink is not log], every=rule.checkpoint.every)
