"""Money moved by signature alone: permits, allowances and lanes that somebody else pays the gas for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from blackhole.chain.connection import Connection
from blackhole.chain.typed_data import Domain, typed_struct
from blackhole.chain.values import Address
from blackhole.escrow.vouchers import DOMAIN_NAME, DOMAIN_VERSION

PERMIT: Final = typed_struct("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
ALLOW: Final = typed_struct("Allow(address payer,address module,uint256 amount,uint256 nonce,uint40 deadline)")
OPEN_LANE: Final = typed_struct(
    "OpenLane(address payer,address payee,uint16 service,address signer,uint48 amount,uint256 nonce,uint40 deadline)"
)


@dataclass(frozen=True, slots=True)
class SignedPermit:
    """`from_` lets the hub take exactly `amount` wei of its tokens until `deadline` (seconds)."""

    from_: Address
    amount: int
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedAllow:
    """`payer` lets `module` lock `amount` wei of its hub balance."""

    payer: Address
    module: Address
    amount: int
    nonce: int
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedLane:
    """`payer` opens a lane of `amount` micro."""

    payer: Address
    payee: Address
    service: int
    signer: Address
    amount: int
    nonce: int
    deadline: int
    signature: bytes


async def _hub_domain(connection: Connection) -> Domain:
    return Domain(DOMAIN_NAME, DOMAIN_VERSION, await connection.chain.chain_id(), connection.hub.address)


async def sign_permit(connection: Connection, amount: int, deadline: int) -> SignedPermit:
    """An ERC-2612 permit of the connection's account for the hub."""
    signer = connection.require_signer()
    nonce = await connection.chain.read(connection.token.nonces(signer.address))
    domain = Domain("Blackhole", "1", await connection.chain.chain_id(), connection.token.address)
    digest = PERMIT.digest(domain, signer.address, connection.hub.address, amount, nonce, deadline)
    return SignedPermit(signer.address, amount, deadline, signer.sign_digest(digest))


async def sign_allow(connection: Connection, module: Address, amount: int, deadline: int, key: int) -> SignedAllow:
    """An allowance under the next nonce of `key` (nonces of different keys do not wait for each other)."""
    signer = connection.require_signer()
    nonce = await connection.chain.read(connection.hub.nonce_of(signer.address, key))
    digest = ALLOW.digest(await _hub_domain(connection), signer.address, module, amount, nonce, deadline)
    return SignedAllow(signer.address, module, amount, nonce, deadline, signer.sign_digest(digest))


async def sign_lane(
    connection: Connection,
    payee: Address,
    service: int,
    lane_signer: Address,
    amount: int,
    deadline: int,
    key: int,
) -> SignedLane:
    """A lane under the next nonce of `key`."""
    signer = connection.require_signer()
    nonce = await connection.chain.read(connection.hub.nonce_of(signer.address, key))
    digest = OPEN_LANE.digest(
        await _hub_domain(connection), signer.address, payee, service, lane_signer, amount, nonce, deadline
    )
    return SignedLane(signer.address, payee, service, lane_signer, amount, nonce, deadline, signer.sign_digest(digest))
