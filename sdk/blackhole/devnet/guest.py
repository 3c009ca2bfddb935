"""A devnet as a guest on a chain of the user's (`--rpc`): what that chain has to do, and who pays for gas there.

Nobody drives such a chain. Its blocks have to come by themselves, because draws, periods and finality wait for them,
and everything that is set up counts for clients and nodes from final blocks only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from blackhole.chain.values import Address, Tx
from blackhole.errors import DevnetError, InsufficientFunds

if TYPE_CHECKING:
    from blackhole.chain.client import Chain
    from blackhole.chain.signers import Signer

BLOCK_SECONDS = 30.0
"""Longest wait for a block nobody asked for: two slots of Ethereum, of which one may be missed, and some."""
LOOK_SECONDS = 0.5
SAY_SECONDS = 10.0
"""Between two lines while finality is awaited: on Ethereum that takes a quarter of an hour."""
ACCOUNT_GAS = 100_000_000
"""Gas each account gets money for: twice a deployment, or a node's duties of two hundred periods."""
ACCOUNT_LEAST_WEI = 10**16
"""Least gas money of an account, in wei: what an agent's alarm takes for little."""
CREATED_WITH = 5
"""Accounts beside those of nodes: deployer, treasury, payer, reader, repairer. A node has two, its owner and agent."""


def funder() -> Signer:
    """Who pays for gas. Raises DevnetError when the environment names nobody."""
    from blackhole.chain.signers import signer_from_environment

    found = signer_from_environment()
    if found is None:
        raise DevnetError(
            "On a chain of yours somebody has to pay for gas.",
            hint="Set BLACKHOLE_KEY_FILE to the key of a funded account of that chain.",
        )
    return found


async def account_wei(chain: Chain) -> int:
    """Gas money of one account at the price of this moment, in wei of the chain's coin."""
    price = int(await chain.rpc.request("eth_gasPrice"), 16)
    return max(ACCOUNT_GAS * price, ACCOUNT_LEAST_WEI)


async def require_host(chain: Chain, nodes: int) -> None:
    """Refuse a chain that cannot carry a devnet of `nodes` nodes, before anything is sent.

    Raises:
        DevnetError: nobody is named who pays, or the chain makes no blocks by itself.
        InsufficientFunds: who pays has too little, with what is missing.
    """
    payer = funder()
    need = (CREATED_WITH + 2 * nodes) * await account_wei(chain)
    have = await chain.balance(payer.address)
    if have < need:
        raise InsufficientFunds(
            f"coins of {payer.address} for the gas of {nodes} nodes",
            have=have,
            need=need,
            unit="coins",
            hint="Send the chain's own coin to the account of BLACKHOLE_KEY_FILE, or ask for fewer --nodes.",
        )
    first, until = (await chain.block("latest")).number, time.monotonic() + BLOCK_SECONDS
    while (await chain.block("latest")).number == first:
        if time.monotonic() > until:
            raise DevnetError(
                f"This chain made no block in {BLOCK_SECONDS:.0f} s: it mines for transactions only, and no period "
                "would end.",
                hint="Start it with a block time, for example: anvil --block-time 1 --slots-in-an-epoch 1",
            )
        await asyncio.sleep(LOOK_SECONDS)


async def give_gas(chain: Chain, to: Sequence[Address], wei: int) -> None:
    """Send each account `wei` from the funder's key."""
    await chain.send_many([Tx(account, b"", wei) for account in to], funder())


async def until_final(chain: Chain, say: Callable[[str], None]) -> None:
    """Wait until all that was set up is final: before that no client and no node counts it."""
    target = (await chain.block("latest")).number
    said = -SAY_SECONDS
    while (final := (await chain.block("finalized")).number) < target:
        if time.monotonic() - said >= SAY_SECONDS:
            head = (await chain.block("latest")).number
            say(f"what was set up has to become final: block {target:,}; final is {final:,}, the newest {head:,}")
            said = time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)
