"""The node's own certificate: self-signed, made once, pinned by clients through the hash of its public key.

Nobody signs it for the node: the registry holds the manifest's digest, the manifest holds this hash.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from blackhole.errors import InputError
from blackhole.paths import write_private

KEY = "key.pem"
CERTIFICATE = "certificate.pem"


def ensure_certificate(folder: Path) -> bytes:
    """Make key and certificate in `folder` unless they are there; return SHA-256 of the SPKI (32 bytes).

    P-256, because every TLS 1.3 stack must have it. The dates span 50 years: clients judge the pinned key only.

    Raises:
        InputError: the files are there and cannot be read as what they should be.
    """
    if not (folder / CERTIFICATE).exists():
        _make(folder)
    return spki_hash(folder)


def spki_hash(folder: Path) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo (DER) of the certificate in `folder`, 32 bytes. Raises InputError."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    path = folder / CERTIFICATE
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"Cannot read the certificate {path}.",
            hint="Remove the tls folder, run: blackhole node init, and publish the new manifest.",
        ) from error
    return hashlib.sha256(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).digest()


def server_context(folder: Path) -> ssl.SSLContext:
    """A TLS 1.3 server context over the certificate in `folder`. Raises InputError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"Cannot use the certificate and key in {folder}.",
            hint="Remove the tls folder, run: blackhole node init, and publish the new manifest.",
        ) from error
    return context


def _make(folder: Path) -> None:
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "blackhole node")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2070, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The key first: a certificate without its key would be found and used.
    write_private(folder / KEY, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_private(folder / CERTIFICATE, certificate.public_bytes(Encoding.PEM))
