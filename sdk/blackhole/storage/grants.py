"""Grants: an owner lets a reader read at a node without a lane, and the reader may pass on less than he has.

    ReadGrant(address payer,address reader,bytes32 root,uint64 maxBytes,uint40 expiry,uint64 nonce)

The first grant of a chain is signed by the payer whose piece it is; each further one by the reader of the one before
it, for the same payer. A chain allows what every one of its links allows: pieces, bytes and time can only become less.
A node counts served bytes against every link, so passing a grant on never makes more of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from blackhole.errors import IntegrityError, NodeRefused
from blackhole.protocol import GRANT_LINKS_MAX
from blackhole.storage.terms import SIGNATURE_LENGTH, MarketDomain, SignedStruct, check_signature

_FIELDS = 20 + 20 + 32 + 8 + 5 + 8
_LINK = _FIELDS + SIGNATURE_LENGTH


@dataclass(frozen=True)
class ReadGrant(SignedStruct):
    """One permission.

    Attributes:
        payer: whose agreement holds the piece.
        reader: who may read, and pass on.
        root: piece root of a shard, or of a manifest: then all its pieces.
        max_bytes: bytes that may be read under it, in sum.
        expiry: unix seconds.
        nonce: makes grants distinct; a node counts bytes by the grant's digest.
    """

    DECLARATION = "ReadGrant(address payer,address reader,bytes32 root,uint64 maxBytes,uint40 expiry,uint64 nonce)"

    payer: str
    reader: str
    root: bytes
    max_bytes: int
    expiry: int
    nonce: int


@dataclass(frozen=True)
class GrantChain:
    """Grants with their signatures (65 bytes each), from the payer's to the last reader's."""

    links: tuple[tuple[ReadGrant, bytes], ...]

    def encode(self) -> bytes:
        """Binary, 158 bytes a link: the header `Blackhole-Grant` carries it as hex."""
        return b"".join(
            bytes.fromhex(grant.payer[2:])
            + bytes.fromhex(grant.reader[2:])
            + grant.root
            + grant.max_bytes.to_bytes(8, "big")
            + grant.expiry.to_bytes(5, "big")
            + grant.nonce.to_bytes(8, "big")
            + signature
            for grant, signature in self.links
        )

    @classmethod
    def decode(cls, data: bytes) -> GrantChain:
        """Read `encode`'s result. Raises IntegrityError."""
        if not data or len(data) % _LINK or len(data) > GRANT_LINKS_MAX * _LINK:
            raise IntegrityError("a malformed grant")
        links = [data[at : at + _LINK] for at in range(0, len(data), _LINK)]
        return cls(tuple((_parse(link[:_FIELDS]), link[_FIELDS:]) for link in links))

    @property
    def reader(self) -> str:
        """Who may read under the whole chain."""
        return self.links[-1][0].reader

    @property
    def max_bytes(self) -> int:
        """bytes under the whole chain."""
        return min(grant.max_bytes for grant, _ in self.links)

    @property
    def expiry(self) -> int:
        """unix seconds at which the chain ends."""
        return min(grant.expiry for grant, _ in self.links)

    def extended(self, grant: ReadGrant, signature: bytes) -> GrantChain:
        """The chain with one more link, signed by its present reader."""
        return GrantChain((*self.links, (grant, signature)))

    def digests(self, domain: MarketDomain) -> tuple[bytes, ...]:
        """What a node counts served bytes under: every one of them."""
        return tuple(grant.digest(domain) for grant, _ in self.links)

    def check(
        self,
        domain: MarketDomain,
        *,
        payer: str,
        piece: bytes,
        now: int,
        manifests: Collection[bytes] = (),
    ) -> None:
        """Raises unless the chain lets its reader read `piece`.

        Args:
            payer: whose agreement holds the piece.
            piece: piece root that is read.
            now: unix seconds, of the chain's clock.
            manifests: piece roots of the manifests that list the piece.

        Raises:
            NodeRefused: status 403, with `code` grant_signature, grant_scope or grant_expired.
        """
        scopes = {piece, *manifests}
        signer = payer
        if not 1 <= len(self.links) <= GRANT_LINKS_MAX:
            raise _refused("grant_signature", "The chain of grants is empty or too long.")
        for index, (grant, signature) in enumerate(self.links):
            if grant.payer.lower() != payer.lower():
                raise _refused("grant_scope", "The grant is by another payer.")
            if not check_signature(signer, grant.digest(domain), signature):
                raise _refused("grant_signature", f"Link {index} of the grant is not signed by {signer}.")
            if grant.root not in scopes:
                raise _refused("grant_scope", "The grant is for another piece.")
            signer = grant.reader
        if self.expiry <= now:
            raise _refused("grant_expired", f"The grant ended at {self.expiry}.")


def _parse(data: bytes) -> ReadGrant:
    from blackhole.chain.values import address

    return ReadGrant(
        payer=str(address(data[:20])),
        reader=str(address(data[20:40])),
        root=data[40:72],
        max_bytes=int.from_bytes(data[72:80], "big"),
        expiry=int.from_bytes(data[80:85], "big"),
        nonce=int.from_bytes(data[85:93], "big"),
    )


def _refused(code: str, message: str) -> NodeRefused:
    return NodeRefused(message, status=403, code=code, hint="Ask the owner for a grant that covers this.")
