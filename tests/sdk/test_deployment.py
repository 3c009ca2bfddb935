"""One deployment: addresses known ahead, nothing sent twice, finished after a kill; the same by `ape run deploy`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from blackhole import protocol
from blackhole.chain.bindings.blackhole_token import BlackholeToken
from blackhole.chain.bindings.deployer import Deployer
from blackhole.chain.bindings.dispute_manager import DisputeManager
from blackhole.chain.bindings.payment_hub import PaymentHub
from blackhole.chain.bindings.service_catalog import ServiceCatalog
from blackhole.chain.bindings.stake_manager import StakeManager
from blackhole.chain.bindings.storage_market import StorageMarket
from blackhole.chain.client import Chain
from blackhole.chain.deployment import DeploymentParameters, addresses, deploy, read_parameters
from blackhole.chain.rpc import Rpc
from blackhole.chain.signers import LocalSigner
from blackhole.chain.values import ZERO, Address
from blackhole.chain.verification import verify
from blackhole.errors import InputError
from blackhole.hashing import keccak256
from blackhole.network import Network
from blackhole.paths import Home

from .conftest import KEYS, Anvil

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOYER = LocalSigner(bytes.fromhex(KEYS[0][2:]))
PARAMETERS = DeploymentParameters(
    genesis=((DEPLOYER.address, 10**24),),
    proposers=(DEPLOYER.address,),
    panel=(DEPLOYER.address,),
    panel_threshold=1,
    treasury=DEPLOYER.address,
    timelock_delay=0,
    period=12,
    prove_window=5,
    prove_blocks=5,
)


async def test_addresses_are_known_before_the_first_transaction(fresh_anvil: Anvil, home: Path) -> None:
    foretold = addresses(DEPLOYER.address)
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    assert await chain.transaction_count(DEPLOYER.address) == 0
    assert [await chain.code(where) for where in foretold.values()] == [b""] * len(foretold)
    network = await deploy(chain, DEPLOYER, PARAMETERS)
    assert dict(network.addresses).items() <= foretold.items()
    factory = Deployer(foretold["Deployer"])
    for label, where in foretold.items():
        assert await chain.code(where), label
        if label != "Deployer":
            salt = keccak256(f"blackhole/{label}".encode())
            assert await chain.read(factory.address_of(DEPLOYER.address, salt)) == where
    await chain.close()


async def test_the_same_deployment_twice_sends_nothing_and_gives_the_same_network(
    fresh_anvil: Anvil, home: Path
) -> None:
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    first = await deploy(chain, DEPLOYER, PARAMETERS)
    sent = await chain.transaction_count(DEPLOYER.address)
    assert sent > 15
    assert await deploy(chain, DEPLOYER, PARAMETERS) == first
    assert await chain.transaction_count(DEPLOYER.address) == sent
    await chain.close()


async def test_the_contracts_name_each_other(fresh_anvil: Anvil, home: Path) -> None:
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    at = (await deploy(chain, DEPLOYER, PARAMETERS)).addresses
    token, hub = BlackholeToken(at["BlackholeToken"]), PaymentHub(at["PaymentHub"])
    vault, market = StakeManager(at["StakeManager"]), StorageMarket(at["StorageMarket"])
    disputes, catalog = DisputeManager(at["DisputeManager"]), ServiceCatalog(at["ServiceCatalog"])
    pairs = {
        "token's timelock": (token.timelock(), "Timelock"),
        "hub's token": (hub.token(), "BlackholeToken"),
        "hub's timelock": (hub.timelock(), "Timelock"),
        "vault's token": (vault.token(), "BlackholeToken"),
        "vault's registry": (vault.registry(), "NodeRegistry"),
        "vault's catalog": (vault.catalog(), "ServiceCatalog"),
        "vault's disputes": (vault.disputes(), "DisputeManager"),
        "disputes' hub": (disputes.hub(), "PaymentHub"),
        "disputes' vault": (disputes.vault(), "StakeManager"),
        "disputes' arbitrator": (disputes.arbitrator(), "PanelArbitrator"),
        "disputes' upgrades": (disputes.upgrade_admin(), "Timelock"),
        "market's hub": (market.hub(), "PaymentHub"),
        "market's vault": (market.stakes(), "StakeManager"),
        "market's disputes": (market.disputes(), "DisputeManager"),
        "market's upgrades": (market.upgrade_admin(), "Timelock"),
        "verifier of storage": (catalog.verifier_of(1), "StorageMarket"),
    }
    for what, (call, name) in pairs.items():
        assert await chain.read(call) == at[name], what
    fee = await chain.read(hub.current_fee(1))
    assert (fee.bps, fee.sink) == (PARAMETERS.fee_bps, at["FeeSplitter"])
    assert await chain.read(token.balance_of(DEPLOYER.address)) == 10**24
    assert await chain.read(hub.unit()) == protocol.MICRO
    assert await chain.read(catalog.is_open(1))
    await chain.close()


async def test_parameters_out_of_bounds_are_refused_before_anything_is_sent(fresh_anvil: Anvil, home: Path) -> None:
    me, other, row = DEPLOYER.address, Address("0x" + "11" * 20), PARAMETERS.storage
    refused = {
        "zero address": replace(PARAMETERS, treasury=ZERO),
        "not positive": replace(PARAMETERS, genesis=((me, 10**24), (other, 0))),
        "nothing could ever be minted": replace(PARAMETERS, genesis=()),
        "more than the cap": replace(PARAMETERS, genesis=((me, protocol.CAP), (other, 1))),
        "nobody ever schedules": replace(PARAMETERS, proposers=()),
        "nobody ever executes": replace(PARAMETERS, executors=()),
        "delay is negative": replace(PARAMETERS, timelock_delay=-1),
        "a panel has": replace(PARAMETERS, panel=(), panel_threshold=0),
        "named twice": replace(PARAMETERS, panel=(me, me), panel_threshold=2),
        "1 of 2 panel members is no majority": replace(PARAMETERS, panel=(me, other)),
        "2 of 1 panel members is no majority": replace(PARAMETERS, panel_threshold=2),
        "the fee is at most": replace(PARAMETERS, fee_bps=501),
        "the burned share": replace(PARAMETERS, burn_bps=10_001),
        "half a period": replace(PARAMETERS, prove_window=7),
        "blocks of the prove window": replace(PARAMETERS, prove_blocks=-1),
        "storage.fault_bps": replace(PARAMETERS, storage=replace(row, fault_bps=1001)),
        "storage.bounty_bps": replace(PARAMETERS, storage=replace(row, bounty_bps=2001)),
        "storage.samples": replace(PARAMETERS, storage=replace(row, samples=0)),
        "storage.min_bond": replace(PARAMETERS, storage=replace(row, min_bond=10**24 + 1)),
        "storage.collateral_per_leaf": replace(PARAMETERS, storage=replace(row, collateral_per_leaf=2**64)),
    }
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    for reason, parameters in refused.items():
        with pytest.raises(InputError, match=reason):
            await deploy(chain, DEPLOYER, parameters)
    assert await chain.transaction_count(me) == 0
    await chain.close()


CHILD = textwrap.dedent("""
    import asyncio, sys
    sys.path.insert(0, sys.argv[3])
    from sdk.test_deployment import *
    async def main():
        chain = Chain(Rpc(sys.argv[1]), home=Home.locate(sys.argv[2]))
        await deploy(chain, DEPLOYER, PARAMETERS)
        await chain.close()
    asyncio.run(main())
""")


@pytest.mark.parametrize("nth", [1, 2, 17, 19])
def test_a_killed_deployment_is_finished_by_the_next(fresh_anvil: Anvil, home: Path, nth: int) -> None:
    command = [sys.executable, "-c", CHILD, fresh_anvil.url, str(home), str(ROOT / "tests")]
    environment = {**os.environ, "BLACKHOLE_CRASH_AT": f"transactions:signed:{nth}"}
    killed = subprocess.run(command, env=environment, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    finished = subprocess.run(command, timeout=60)
    assert finished.returncode == 0

    async def check() -> None:
        chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
        sent = await chain.transaction_count(DEPLOYER.address)
        for where in addresses(DEPLOYER.address).values():
            assert await chain.code(where)
        catalog = ServiceCatalog(addresses(DEPLOYER.address)["ServiceCatalog"])
        assert await chain.read(catalog.is_open(1))
        await deploy(chain, DEPLOYER, PARAMETERS)
        assert await chain.transaction_count(DEPLOYER.address) == sent
        await chain.close()

    asyncio.run(check())


def test_ape_run_deploy_is_the_same_deployment(fresh_anvil: Anvil, home: Path, tmp_path: Path) -> None:
    output = tmp_path / "network.json"
    command = [str(Path(sys.executable).parent / "ape"), "run", "deploy", "--output", str(output)]
    command += ["--network", f"ethereum:local:{fresh_anvil.url}"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert first.returncode == 0, first.stdout + first.stderr
    written = output.read_bytes()
    network = Network.load(output)
    assert network.rpc == [fresh_anvil.url]
    assert dict(network.addresses).items() <= addresses(DEPLOYER.address).items()
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout.rstrip().endswith("\n0 transactions")
    assert output.read_bytes() == written


async def test_a_deployment_is_verified_from_the_transactions_that_made_it(fresh_anvil: Anvil, home: Path) -> None:
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    network = await deploy(chain, DEPLOYER, PARAMETERS)

    async def bad(network: Network, sender: LocalSigner, parameters: DeploymentParameters) -> set[str]:
        return {each.name for each in await verify(chain, network, sender.address, parameters) if not each.ok}

    results = await verify(chain, network, DEPLOYER.address, PARAMETERS)
    assert len(results) == len(addresses(DEPLOYER.address)) - 1 + 4 + 1
    assert [each for each in results if not each.ok] == []
    assert await bad(network, DEPLOYER, replace(PARAMETERS, fee_bps=101)) == {"PaymentHub"}
    assert await bad(network, DEPLOYER, replace(PARAMETERS, panel_threshold=1, burn_bps=4_999)) == {"FeeSplitter"}
    # Somebody puts his own bank into the file he hands out.
    other = replace(network, addresses={**network.addresses, "PaymentHub": DEPLOYER.address})
    assert await bad(other, DEPLOYER, PARAMETERS) == {"PaymentHub"}
    # Nothing of it is another sender's.
    stranger = LocalSigner(bytes.fromhex(KEYS[1][2:]))
    assert len(await bad(network, stranger, PARAMETERS)) == len(results)
    await chain.close()


def test_a_parameter_file_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    me = f'"{DEPLOYER.address}"'
    whole = f"proposers = [{me}]\npanel = [{me}]\npanel_threshold = 1\ntreasury = {me}\n"
    for text, reason in (
        ("treasury = ", "Invalid value"),
        (whole + "tresury = 1\n", "unknown fields tresury"),
        (whole + "[storage]\nsample = 1\n", "sample"),
        (whole + f"[[genesis]]\naccount = {me}\n", "a genesis row has no 'amount'"),
        (whole + "[[genesis]]\naccount = 5\namount = 1\n", "not an address"),
        (whole + "period = 1.5\n", "period is a whole number"),
        (whole + 'timelock_delay = "3 days"\n', "3 days"),
        (whole.replace("panel_threshold", "fee_bps"), "panel_threshold"),
    ):
        file = tmp_path / "parameters.toml"
        file.write_text(text)
        with pytest.raises(InputError, match=reason):
            read_parameters(file)
    with pytest.raises(InputError, match="nowhere"):
        read_parameters(tmp_path / "nowhere.toml")


async def test_the_verifying_script_reads_the_file_that_was_deployed_from(fresh_anvil: Anvil, home: Path) -> None:
    file = home.parent / "parameters.toml"
    quoted = f'"{DEPLOYER.address}"'
    file.write_text(
        f"proposers = [{quoted}]\npanel = [{quoted}]\npanel_threshold = 1\ntreasury = {quoted}\n"
        "timelock_delay = 0\nperiod = 12\nprove_window = 5\nprove_blocks = 5\n"
        f'[[genesis]]\naccount = {quoted}\namount = "{10**24}"\n'
    )
    assert read_parameters(file) == PARAMETERS
    chain = Chain(Rpc(fresh_anvil.url), home=Home(home))
    network = await deploy(chain, DEPLOYER, read_parameters(file), rpc=[fresh_anvil.url])
    await chain.close()
    command = [sys.executable, str(ROOT / "scripts" / "verify.py"), str(network.save(home.parent / "network.json"))]
    command += [DEPLOYER.address, str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "23 ok, 0 not as it should be"), done.stderr
    file.write_text("fee_bips = 3\n" + file.read_text())
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "unknown fields fee_bips" in done.stderr


def test_apes_signatures_have_65_bytes_when_a_number_begins_with_zeros() -> None:
    code = """
        import sys; sys.path.insert(0, "scripts")
        from deploy import ApeSigner
        from ape import accounts
        from blackhole.chain.signatures import recover
        account = accounts.test_accounts[0]
        signer, short = ApeSigner(account), 0
        for number in range(400):
            digest = number.to_bytes(32, "big")
            signature = signer.sign_digest(digest)
            assert recover(digest, signature) == signer.address
            short += signature[0] == 0 or signature[32] == 0
        assert short
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
