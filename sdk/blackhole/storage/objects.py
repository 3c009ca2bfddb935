"""The encrypted list of own objects: a closed terminal loses no cap.

`$BLACKHOLE_HOME/objects/<account>.journal` is a journal whose records are sealed with AES-256-GCM. The key comes from
a signature of the account over a fixed EIP-712 message, so who holds the account's key reads the list, and nobody
else. The signature must be deterministic (RFC 6979), as those of keystores and wallets are.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from blackhole.errors import JournalInUse, SigningKeyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackhole.journal import Journal

    T = TypeVar("T")

KIND = "objects"
WAIT_SECONDS = 10.0
"""How long a writer waits for another process that holds the list; it is held for milliseconds."""


class ObjectStep(StrEnum):
    """Steps of the list's journal."""

    SAVED = "saved"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One own object.

    Attributes:
        manifest: CID of its manifest, the key of this list.
        cap: its read-cap. Whoever has it reads the object.
        name: what the user called it.
        size: bytes of plaintext.
        profile: erasure profile.
        chain_id, market: where its agreements are.
        created: unix seconds of this machine.
        end: first period no longer paid, of the agreement that ends first.
        agreements: ids (0x-hex) by shard; several shards may share one.
        order: the signed repair order (`blackhole.storage.repair`), None if none was signed.
    """

    manifest: str
    cap: str
    name: str
    size: int
    profile: str
    chain_id: int
    market: str
    created: int
    end: int
    agreements: tuple[str, ...] = ()
    order: dict[str, Any] | None = field(default=None)


class Seal:
    """AES-256-GCM under the account's local key; random nonces, the purpose as associated data."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)

    def close(self, plain: bytes, purpose: str) -> str:
        """Seal `plain`; the result is base64."""
        nonce = os.urandom(12)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, plain, purpose.encode())).decode()

    def open(self, sealed: str, purpose: str) -> bytes:
        """The plaintext. Raises SigningKeyError when another key sealed it or it was altered."""
        from cryptography.exceptions import InvalidTag

        raw = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(raw[:12], raw[12:], purpose.encode())
        except InvalidTag as error:
            raise SigningKeyError(
                "This account's local data was sealed with another key, or altered.",
                hint="Use the signer that made it. A signer must sign the same message the same way each time.",
            ) from error


def local_key(account: str, sign_digest: Callable[[bytes], bytes]) -> bytes:
    """The 32-byte key of an account's local files: HKDF of its signature over a message used nowhere else."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    from blackhole.hashing import keccak256 as keccak

    domain = keccak(
        keccak(b"EIP712Domain(string name,string version)") + keccak(b"Blackhole local files") + keccak(b"1")
    )
    struct = keccak(
        keccak(b"LocalKey(address account,string purpose)")
        + bytes(12)
        + bytes.fromhex(account.removeprefix("0x"))
        + keccak(b"Opens the list of your stored files. Never sign this for a website.")
    )
    signature = sign_digest(keccak(b"\x19\x01" + domain + struct))
    return HKDF(SHA256(), 32, None, b"blackhole local files v1").derive(signature[:64])


class ObjectList:
    """The list of one account."""

    def __init__(self, folder: Path, account: str, seal: Seal) -> None:
        self.path = folder / f"{account.lower()}.journal"
        self._seal = seal

    def entries(self) -> list[ObjectEntry]:
        """All objects, oldest first."""
        if not self.path.exists():
            return []
        with self._journal() as journal:
            return list(self._read(journal).values())

    def find(self, key: str) -> ObjectEntry | None:
        """The object with this manifest CID, cap or name; of several with one name the newest."""
        found = [entry for entry in self.entries() if key in {entry.manifest, entry.cap, entry.name}]
        return found[-1] if found else None

    def save(self, entry: ObjectEntry) -> None:
        """Add the object, or replace what the list says of it."""
        body = orjson.dumps(asdict(entry))
        with self._journal() as journal:
            journal.append(ObjectStep.SAVED, sealed=self._seal.close(body, KIND))
            records = journal.records()
            alive = self._read(journal)
            # Rewritten when most of it is history, so the list stays as long as what it lists.
            if len(records) > 64 and len(records) > 4 * len(alive):
                journal.compact(
                    [
                        type(records[0])(
                            ObjectStep.SAVED, {"sealed": self._seal.close(orjson.dumps(asdict(item)), KIND)}
                        )
                        for item in alive.values()
                    ]
                )

    def update(self, manifest: str, **fields: Any) -> None:
        """Change some fields of an object that is in the list; one that is not stays unknown."""
        for entry in self.entries():
            if entry.manifest == manifest:
                self.save(replace(entry, **fields))

    def remove(self, manifest: str) -> None:
        """Forget the object."""
        with self._journal() as journal:
            journal.append(ObjectStep.REMOVED, sealed=self._seal.close(manifest.encode(), KIND))

    def _read(self, journal: Journal[ObjectStep]) -> dict[str, ObjectEntry]:
        found: dict[str, ObjectEntry] = {}
        for record in journal.records():
            body = self._seal.open(record["sealed"], KIND)
            if record.step is ObjectStep.REMOVED:
                found.pop(body.decode(), None)
            else:
                row = orjson.loads(body)
                row["agreements"] = tuple(row.get("agreements", ()))
                known = {name: row[name] for name in ObjectEntry.__slots__ if name in row}
                found[row["manifest"]] = ObjectEntry(**known)
        return found

    @contextmanager
    def _journal(self) -> Iterator[Journal[ObjectStep]]:
        from blackhole.journal import Journal

        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                journal = Journal.open(self.path, KIND, ObjectStep)
                break
            except JournalInUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        try:
            yield journal
        finally:
            journal.close()
