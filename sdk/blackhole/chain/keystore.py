"""The Ethereum keystore, version 3: scrypt, AES-128-CTR, a Keccak MAC. Read and written without further libraries."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from typing import Any, Final

import orjson

from blackhole.chain.values import Address
from blackhole.errors import InputError, WrongPassphrase
from blackhole.hashing import keccak256

_SCRYPT: Final = {"n": 1 << 18, "r": 8, "p": 1, "dklen": 32}
_LIGHT: Final = {"n": 1 << 12, "r": 8, "p": 1, "dklen": 32}
_MEMORY_MAX: Final = 1 << 30


def seal_keystore(key: bytes, passphrase: str, owner: Address, *, light: bool = False) -> bytes:
    """The JSON of a keystore that holds `key`."""
    salt, vector = secrets.token_bytes(32), secrets.token_bytes(16)
    parameters = _LIGHT if light else _SCRYPT
    derived = _scrypt(passphrase, salt, parameters)
    ciphertext = _aes_ctr(derived[:16], vector, key)
    return orjson.dumps(
        {
            "version": 3,
            "id": str(uuid.uuid4()),
            "address": owner[2:].lower(),
            "crypto": {
                "cipher": "aes-128-ctr",
                "cipherparams": {"iv": vector.hex()},
                "ciphertext": ciphertext.hex(),
                "kdf": "scrypt",
                "kdfparams": {**parameters, "salt": salt.hex()},
                "mac": keccak256(derived[16:32] + ciphertext).hex(),
            },
        }
    )


def open_keystore(content: bytes, passphrase: str) -> bytes:
    """The key inside. Raises `InputError` for anything that is not a version-3 keystore, `WrongPassphrase`."""
    try:
        keystore: dict[str, Any] = orjson.loads(content)
        crypto = keystore.get("crypto") or keystore["Crypto"]
        parameters, kind = crypto["kdfparams"], crypto["kdf"]
        salt = bytes.fromhex(parameters["salt"])
        vector = bytes.fromhex(crypto["cipherparams"]["iv"])
        ciphertext = bytes.fromhex(crypto["ciphertext"])
        mac = bytes.fromhex(crypto["mac"])
        if keystore["version"] != 3 or crypto["cipher"] != "aes-128-ctr" or kind not in ("scrypt", "pbkdf2"):
            raise ValueError
        if kind == "scrypt":
            derived = _scrypt(passphrase, salt, parameters)
        else:
            derived = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, parameters["c"], parameters["dklen"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError("not a version-3 Ethereum keystore") from None
    if not hmac.compare_digest(keccak256(derived[16:32] + ciphertext), mac):
        raise WrongPassphrase("the passphrase does not open the keystore")
    return _aes_ctr(derived[:16], vector, ciphertext)


def _scrypt(passphrase: str, salt: bytes, parameters: dict[str, Any]) -> bytes:
    n, r, p, length = (int(parameters[name]) for name in ("n", "r", "p", "dklen"))
    if 128 * n * r > _MEMORY_MAX or length < 32:
        raise ValueError("the keystore asks for more memory than is sane")
    return hashlib.scrypt(passphrase.encode(), salt=salt, n=n, r=r, p=p, dklen=length, maxmem=_MEMORY_MAX + (1 << 24))


def _aes_ctr(key: bytes, vector: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(key), modes.CTR(vector)).encryptor()
    return encryptor.update(data) + encryptor.finalize()
