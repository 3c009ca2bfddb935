"""`ape run deploy`: deploy the market, or finish a deployment. The same command twice sends nothing the second time.

    ape run deploy --network ethereum:sepolia:node --account deployer --parameters deployments/sepolia.toml
    ape run deploy --network ethereum:local:foundry

It is the SDK's own deployment (`blackhole.chain.deployment`) with Ape's provider and account; the SDK never imports
Ape.
Without `--parameters`, on a local network only, a development market: all HOLE to the deployer, short periods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from ape import accounts
from ape.cli import ConnectedProviderCommand
from blackhole import protocol
from blackhole.chain.client import Chain
from blackhole.chain.deployment import DeploymentParameters, deploy, read_parameters
from blackhole.chain.rpc import Rpc
from blackhole.chain.values import Address, address
from blackhole.network import Network
from blackhole.paths import Home


class ApeSigner:
    """An account of Ape that signs digests for the SDK; Ape asks for the passphrase."""

    def __init__(self, account: Any) -> None:
        self._account = account
        self.address: Address = address(str(account.address))

    def sign_digest(self, digest: bytes) -> bytes:
        from eth_pydantic_types import HexBytes

        signature = self._account.sign_raw_msghash(HexBytes(digest))
        if signature is None:
            raise click.ClickException("the account did not sign")
        # Ape drops leading zeros: a number of 31 bytes comes as 31 bytes.
        r, s = (bytes(part).rjust(32, b"\0") for part in (signature.r, signature.s))
        return r + s + bytes([signature.v if signature.v >= 27 else signature.v + 27])


def development(deployer: Address) -> DeploymentParameters:
    """A market for one machine."""
    return DeploymentParameters(
        genesis=((deployer, protocol.CAP // 2),),
        proposers=(deployer,),
        panel=(deployer,),
        panel_threshold=1,
        treasury=deployer,
        timelock_delay=0,
        period=protocol.DEVNET_PERIOD,
        prove_window=protocol.DEVNET_PROVE_WINDOW,
        prove_blocks=protocol.DEVNET_PROVE_BLOCKS,
    )


async def run(
    endpoint: object, signer: ApeSigner, parameters: DeploymentParameters, name: str, report: Callable[[str], None]
) -> tuple[Network, int]:
    """Deploy; the network, and how many transactions it took."""
    chain = Chain(Rpc(endpoint), home=Home.locate())
    try:
        before = await chain.transaction_count(signer.address)
        network = await deploy(chain, signer, parameters, name=name, progress=report)
        return network, await chain.transaction_count(signer.address) - before
    finally:
        await chain.close()


@click.command(cls=ConnectedProviderCommand)
@click.option("--account", help="Alias of an Ape account; on a local network the first test account.")
@click.option("--parameters", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Where network.json is written.")
@click.option("--rpc", multiple=True, help="Endpoints for network.json; on a local network its own.")
@click.option("--name", default=None, help="The network's name.")
def cli(
    account: str | None,
    parameters: Path | None,
    output: Path | None,
    rpc: tuple[str, ...],
    name: str | None,
    provider: Any,
) -> None:
    """Deploy the market, or finish a deployment."""
    local = provider.network.is_local or provider.network.is_adhoc
    if parameters is None and not local:
        raise click.UsageError("a public network needs --parameters")
    if account is None and not local:
        raise click.UsageError("a public network needs --account")
    signer = ApeSigner(accounts.test_accounts[0] if account is None else accounts.load(account))
    chosen = development(signer.address) if parameters is None else read_parameters(parameters)
    network, sent = asyncio.run(
        run(provider.web3, signer, chosen, name or provider.network.name, lambda label: click.echo(f"  {label}"))
    )
    network = replace(network, rpc=list(rpc) or ([str(provider.http_uri)] if local else []))
    if output is not None:
        written = network.save(output)
        click.echo(f"written: {written}")
    for contract, where in network.addresses.items():
        click.echo(f"{contract:20} {where}")
    click.echo(f"{sent} transactions")
