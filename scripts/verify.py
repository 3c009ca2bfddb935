"""Check a deployment against a reviewed parameter file, from the chain's own transactions. Sends nothing.

    python scripts/verify.py NETWORK DEPLOYER PARAMETERS.toml

NETWORK is a network.json or a network's name, DEPLOYER the address that deployed, PARAMETERS.toml what `ape run deploy
--parameters` takes. Exit code 0: everything is as this checkout would deploy it; 1: something is not.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from blackhole.chain.client import Chain
from blackhole.chain.deployment import read_parameters
from blackhole.chain.rpc import Rpc
from blackhole.chain.values import address
from blackhole.chain.verification import Verified, verify
from blackhole.errors import BlackholeError
from blackhole.network import Network


async def run(source: str, deployer: str, parameters: Path) -> list[Verified]:
    network = Network.load(source)
    chain = Chain(Rpc(network.rpc, network.chain_id))
    try:
        return await verify(chain, network, address(deployer), read_parameters(parameters))
    finally:
        await chain.close()


def main(arguments: list[str]) -> int:
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        results = asyncio.run(run(arguments[0], arguments[1], Path(arguments[2])))
    except BlackholeError as error:
        print(f"error: {error.message}\n  next: {error.hint}", file=sys.stderr)
        return error.exit_code
    for each in results:
        print(f"{'ok ' if each.ok else 'BAD'}  {each.name:32} {each.found}")
    bad = sum(not each.ok for each in results)
    print(f"{len(results) - bad} ok, {bad} not as it should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
