"""Who signs: a key in memory, a keystore file, the environment, or any object that can sign."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from blackhole.chain.signatures import HALF_ORDER, ORDER, public_address, recover
from blackhole.chain.values import Address, address
from blackhole.errors import InputError, IntegrityError, KeyLocked, KeyMissing, SigningKeyError, WrongPassphrase

KEY_VARIABLE: Final = "BLACKHOLE_KEY"
KEY_FILE_VARIABLE: Final = "BLACKHOLE_KEY_FILE"
PASSPHRASE_FILE_VARIABLE: Final = "BLACKHOLE_PASSPHRASE_FILE"


@runtime_checkable
class Signer(Protocol):
    """An account that signs 32-byte digests."""

    @property
    def address(self) -> Address:
        """The account."""
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes r | s | v with v 27 or 28 and a low s."""
        ...


class LocalSigner:
    """A key in this process's memory. It never appears in its repr, in errors or in pickles."""

    def __init__(self, key: bytes) -> None:
        from coincurve import PrivateKey

        try:
            self._key = PrivateKey(key) if len(key) == 32 else None
        except ValueError:
            self._key = None
        if self._key is None:
            raise SigningKeyError("not a secp256k1 key: 32 bytes between 1 and the order of the curve") from None
        self.address = public_address(self._key.public_key)

    @classmethod
    def generate(cls) -> LocalSigner:
        """A new random key."""
        return cls(_new_key())

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes r | s | v, deterministic (RFC 6979)."""
        assert self._key is not None
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a signer is not pickled: its key would travel with it")


class _Adapted:
    """A foreign account object behind our protocol."""

    def __init__(self, account: Any) -> None:
        self._account = account
        self.address = address(str(account.address))

    def sign_digest(self, digest: bytes) -> bytes:
        kind = type(self._account).__name__
        for name in ("unsafe_sign_hash", "signHash", "sign_hash", "sign"):
            method = getattr(self._account, name, None)
            if method is None:
                continue
            given = method(digest)
            raw = bytes(getattr(given, "signature", given))
            if len(raw) == 65:
                signature = _canonical(raw)
                try:
                    if recover(digest, signature) == self.address:
                        return signature
                except IntegrityError:
                    pass
                raise SigningKeyError(
                    f"{kind}.{name} gave a signature that is not {self.address}'s over the 32 bytes it was given",
                    hint="It must sign the digest as it is, unhashed and without a prefix, with the key of `address`.",
                )
        raise SigningKeyError(f"{kind} does not sign 32-byte digests into 65 bytes")

    def __repr__(self) -> str:
        return f"Signer({self.address})"


def _canonical(raw: bytes) -> bytes:
    """r | s | v with a low s and v 27 or 28. Hardware gives either s and either way to count v."""
    s, parity = int.from_bytes(raw[32:64], "big"), (raw[64] - 27 if raw[64] >= 27 else raw[64]) & 1
    if HALF_ORDER < s < ORDER:
        s, parity = ORDER - s, 1 - parity
    return raw[:32] + s.to_bytes(32, "big") + bytes([27 + parity])


def as_signer(account: object) -> Signer:
    """Any object with an `address` and `sign_digest`, or with a method `sign(digest)` (also under the names
    eth-account uses), as a `Signer`. 0x-hex and 32 bytes are taken as a key. Raises `SigningKeyError`.
    """
    if isinstance(account, Signer):
        return account
    if isinstance(account, bytes):
        return LocalSigner(account)
    if isinstance(account, str):
        return LocalSigner(_key_from_hex(account, "the key"))
    if hasattr(account, "address"):
        return _Adapted(account)
    raise SigningKeyError(f"{type(account).__name__} is no signer: it has neither `address` nor `sign_digest`")


def signer_from_environment() -> Signer | None:
    """The key of `BLACKHOLE_KEY` (hex) or of the keystore or hex file named by `BLACKHOLE_KEY_FILE`; None without
    either."""
    if key := os.environ.get(KEY_VARIABLE):
        return LocalSigner(_key_from_hex(key, KEY_VARIABLE))
    if name := os.environ.get(KEY_FILE_VARIABLE):
        return load_key_file(Path(name))
    return None


def load_key_file(path: str | os.PathLike[str], passphrase: str | None = None) -> LocalSigner:
    """A keystore (JSON) or a file that holds a key in hex. Raises `KeyMissing`, `KeyLocked`, `WrongPassphrase`."""
    path = Path(path)
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyMissing(f"cannot read the key file {path}", data={"path": str(path)}) from error
    if content.lstrip().startswith("{"):
        return load_keystore(path, passphrase)
    return LocalSigner(_key_from_hex(content.strip(), str(path)))


def load_keystore(path: Path, passphrase: str | None = None) -> LocalSigner:
    """Open a version-3 keystore. Without `passphrase` it comes from `BLACKHOLE_PASSPHRASE_FILE` or the terminal.

    Raises `KeyMissing`, `KeyLocked` (nobody can be asked), `WrongPassphrase`, `InputError` (not a keystore).
    """
    from blackhole.chain.keystore import open_keystore

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise KeyMissing(f"cannot read the keystore {path}", data={"path": str(path)}) from error
    chosen = find_passphrase(f"Passphrase of {Path(path).name}: ") if passphrase is None else passphrase
    try:
        return LocalSigner(open_keystore(content, chosen))
    except WrongPassphrase:
        raise WrongPassphrase(f"the passphrase does not open {path}") from None
    except InputError as error:
        hint = "Restore the file from a copy: without it the key is lost."
        raise InputError(f"{path} is {error.message}", hint=hint, data={"path": str(path)}) from None


def create_keystore(path: Path, passphrase: str, key: bytes | None = None, *, light: bool = False) -> LocalSigner:
    """Write a version-3 keystore (readable by every Ethereum wallet) and return its signer.

    `key` None makes a new one. `light` spends 4 MiB instead of 256 MiB on the passphrase: for throw-away networks
    only. Never overwrites: raises `InputError` when the file exists.
    """
    from blackhole.chain.keystore import seal_keystore
    from blackhole.paths import private_folder, write_private

    path = Path(path)
    if path.exists():
        raise InputError(f"{path} exists already", hint="Choose another name; keys are never overwritten.")
    signer = LocalSigner(key := key or _new_key())
    private_folder(path.parent)
    write_private(path, seal_keystore(key, passphrase, signer.address, light=light))
    return signer


def find_passphrase(prompt: str) -> str:
    """From the file named by `BLACKHOLE_PASSPHRASE_FILE`, else asked for on the terminal. Raises `KeyLocked`."""
    import sys

    if name := os.environ.get(PASSPHRASE_FILE_VARIABLE):
        try:
            return Path(name).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyLocked(f"cannot read the passphrase file {name}") from error
    if sys.stdin is None or not sys.stdin.isatty():
        raise KeyLocked("the keystore needs a passphrase and there is no terminal to ask on")
    import getpass

    return getpass.getpass(prompt)


def _new_key() -> bytes:
    return (secrets.randbelow(ORDER - 1) + 1).to_bytes(32, "big")


def _key_from_hex(text: str, where: str) -> bytes:
    # The text itself must not get into the message.
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SigningKeyError(f"{where} does not hold a key of 64 hex digits") from None
    return key
