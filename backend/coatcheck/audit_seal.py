"""What the audit log's proofs are made of, pure. Three MACs under keys derived from a root secret, each with its `kid`:

  seal     on the event, made as it is recorded: no row can be added or changed by who has only the database
  link     in `audit_link`, over the link before and the event: none can be taken out or put elsewhere
  anchor   in `audit_anchor`, where a pruned log begins: none can be cut off its front
What none of them shows is a cut tail; a head that was noted down elsewhere does (`coatcheck audit verify --head`).
"""

import hmac
import json
import os
from typing import Any, Protocol

from .secrets import RootSecrets

COLUMNS = ("at", "kind", "account_id", "session_id", "device_id", "ip", "data")  # all of an event but its id and seal
START = bytes(32)  # what the first link follows
_SALT = 12
_MAC = 16


class Columns(Protocol):
    """An event's row, by column name, whichever driver it comes from."""

    def __getitem__(self, name: str, /) -> Any: ...


def seal(roots: RootSecrets, event: Columns) -> bytes:
    """kid (4 bytes), salt (12), MAC (16). The salt makes a copy of an event tell itself."""
    salt = os.urandom(_SALT)
    return roots.writing.to_bytes(4) + salt + _seal_mac(roots, roots.writing, salt, event)


def is_sealed(roots: RootSecrets, event: Columns) -> bool:
    """Whether these columns are those that were sealed. Raises KeyError when the root secret is not listed."""
    sealed: bytes = event["seal"]
    kid, salt, mac = int.from_bytes(sealed[:4]), sealed[4 : 4 + _SALT], sealed[4 + _SALT :]
    return hmac.compare_digest(mac, _seal_mac(roots, kid, salt, event))


def link(roots: RootSecrets, kid: int, before: bytes, position: int, event: Columns) -> bytes:
    """The hash of the link at `position` that leads to this event; `before` is the hash of the one before."""
    sealed = event["seal"] or b""
    place = before + position.to_bytes(8) + event["id"].to_bytes(8) + bytes([len(sealed)])
    return roots.mac(kid, "audit link", place + sealed + _content(event))


def anchor(roots: RootSecrets, kid: int, position: int, link_hash: bytes, youngest: int) -> bytes:
    """Proof that the log was pruned up to `position`; `youngest` is the moment of the youngest event that went."""
    return roots.mac(kid, "audit anchor", position.to_bytes(8) + link_hash + youngest.to_bytes(8))


def _seal_mac(roots: RootSecrets, kid: int, salt: bytes, event: Columns) -> bytes:
    return roots.mac(kid, "audit seal", salt + _content(event))[:_MAC]


def _content(event: Columns) -> bytes:
    values = [value.hex() if isinstance(value, bytes) else value for value in map(event.__getitem__, COLUMNS)]
    return json.dumps(values, separators=(",", ":")).encode()
