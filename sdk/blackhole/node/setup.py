"""Making a node's folder, and what its owner publishes first. The owner's key passes through here, it is never kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackhole.errors import InputError
from blackhole.node import tls
from blackhole.node.config import Config, render
from blackhole.node.folder import NodeFolder
from blackhole.paths import write_private

if TYPE_CHECKING:
    from blackhole.storage.node_manifest import NodeManifest


def init_folder(
    path: str | os.PathLike[str], values: dict[str, Any], *, passphrase: str | None = None, light: bool = False
) -> NodeFolder:
    """Make a node's folder: config.toml, TLS key, and a keystore with a new hot key.

    Args:
        path: the folder; it must not be a node's already.
        values: settings that differ from their defaults, "section.key" → value.
        passphrase: of the keystore; None makes none (the agent then needs BLACKHOLE_KEY_FILE).
        light: a keystore that opens fast, for throw-away networks only.

    Raises:
        InputError: a node is there already, or a value is not allowed. DiskError.
    """
    folder = NodeFolder(path)
    if folder.config.exists():
        raise InputError(
            f"{folder.path} holds a node already.", hint="Choose another folder, or change its config.toml."
        )
    text = render(values)
    Config.parse(text)
    folder.create()
    if passphrase is not None and not folder.keystore.exists():
        from blackhole.chain.signers import create_keystore

        create_keystore(folder.keystore, passphrase, light=light)
    tls.ensure_certificate(folder.tls)
    # Last: a folder with a config.toml is a node's folder.
    write_private(folder.config, text.encode())
    return folder


def make_manifest(folder: NodeFolder, config: Config, endpoint: str) -> NodeManifest:
    """The manifest the configuration leads to, with the folder's TLS key. Raises InputError without one."""
    from importlib.metadata import version

    from blackhole.storage.node_manifest import NodeManifest

    settings = config.storage
    return NodeManifest(
        tls=tls.spki_hash(folder.tls),
        endpoint=endpoint,
        egress_micro_per_mib=settings.egress_micro_per_mib,
        audit_bytes_per_day=settings.audit_bytes_per_day,
        prices={1: settings.price_wei_per_gib_period},
        version=version("blackhole"),
    )


def keystore_address(path: Path) -> str:
    """The address a keystore is for, without opening it. Raises InputError."""
    import orjson

    from blackhole.chain.values import address

    try:
        raw = orjson.loads(path.read_bytes())
        return address("0x" + str(raw["address"]).removeprefix("0x"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"Cannot read the keystore {path}.", hint="Make one with: blackhole node init") from error
