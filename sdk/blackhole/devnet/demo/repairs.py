"""Step 6: a repairer who can read nothing restores full redundancy: the same bytes under the same CIDs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b32encode
from pathlib import Path
from typing import Any

from blackhole.chain.bindings.storage_market import Repaired
from blackhole.devnet.demo import reads
from blackhole.devnet.demo.report import CheckFailed, six
from blackhole.devnet.demo.stage import Stage
from blackhole.paths import write_private
from blackhole.storage.caps import read_cap
from blackhole.units import Tokens

BUDGET = Tokens("10")
"""HOLE the owner lets the repairer spend beyond what lost deals give back."""
LINE_SECONDS = 300.0
PROVEN = 3
"""Periods after which the new nodes have proven one whose window has closed."""


class Repairer:
    """The process, and what of the owner's it must never have."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home

    @classmethod
    async def start(cls, stage: Stage, order: Path, home: Path) -> Repairer:
        """Start it with an environment that holds nothing but its own."""
        environment = {
            name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ
        }
        environment |= {
            "HOME": str(home),
            "BLACKHOLE_HOME": str(home),
            "BLACKHOLE_KEY_FILE": str(home / "repairer.key"),
            "BLACKHOLE_NETWORK": str(home / "network.json"),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "blackhole.devnet.demo.repairer",
            str(order),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            cwd=home,
            limit=1 << 20,
        )
        return cls(process, home)

    async def hear(self) -> dict[str, Any]:
        """Its next line. Raises CheckFailed when it ends or is silent."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), LINE_SECONDS)
        if not line:
            raise CheckFailed(f"the repairer ended with code {await self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def scan(self, secrets: dict[str, list[bytes]]) -> dict[str, str]:
        """Where any of the secrets stands: in its environment or in a file of its home."""
        places = {f"/proc/{self.process.pid}/environ", f"/proc/{self.process.pid}/cmdline"}
        places |= {str(path) for path in self.home.rglob("*") if path.is_file()}
        found = {}
        for place in places:
            try:
                content = Path(place).read_bytes()
            except OSError:
                continue
            for name, forms in secrets.items():
                if any(form in content for form in forms):
                    found[place] = name
        return found

    async def end(self) -> None:
        """Make sure it is gone."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def secrets_of(stage: Stage) -> dict[str, list[bytes]]:
    """The owner's secrets in every form they could lie around in."""
    cap = read_cap(stage.stored.cap)
    content = cap.object_key
    key = bytes.fromhex(stage.net.key_file("payer").read_text().strip().removeprefix("0x"))
    found = {"read-cap": [cap.text.encode()], "content key": [content], "owner's key": [key]}
    for raw, forms in ((content, found["content key"]), (key, found["owner's key"])):
        forms += [raw.hex().encode(), raw.hex().upper().encode(), b32encode(raw).rstrip(b"=").lower()]
    return found


async def restore(stage: Stage) -> list[int]:
    """The owner writes an order and goes; the repairer restores. Returns the nodes that hold rebuilt shards."""
    report = stage.report
    home = stage.net.folder.home("repairer")
    home.mkdir(parents=True, mode=0o700, exist_ok=True)
    order = await stage.payer.storage.repair_order(stage.stored.cap, budget=int(BUDGET))
    write_private(home / "order.json", json.dumps(order.to_json()).encode())
    write_private(home / "repairer.key", stage.net.key_file("repairer").read_bytes())
    write_private(home / "network.json", stage.net.network.read_bytes())
    secrets = secrets_of(stage)
    async with stage.step("repair by somebody who cannot read it") as row:
        repairer = await Repairer.start(stage, home / "order.json", home)
        try:
            done = await repairer.hear()
            row.bytes = sum(each["leaves"] for each in done["restored"]) * 1024
            leaked = repairer.scan(secrets)
            report.check("neither read-cap nor owner's key is in its environment or files", not leaked, leaked)
            report.check("the scan finds what is there", bool(repairer.scan({"order": [order.cap.encode()]})))
            report.check("every lost shard has a node again", not done["failed"], done["failed"])
            nodes = [each["node"] for each in done["restored"]]
            await same_bytes(stage, done["restored"])
            await stage.advance(PROVEN)
            paid = await repairer.hear()
            leaked = repairer.scan(secrets)
            report.check("nor had it them at its end", not leaked, leaked)
        finally:
            await repairer.end()
        stage.ledger.read()
        account = stage.address("repairer")
        pay = [event for event in stage.ledger.events(Repaired) if event.repairer == account]
        report.check(
            "it was paid for every shard from the failed nodes' funds",
            paid["claimed"] == len(nodes) == len(pay) and all(event.amount for event in pay),
            (paid, pay),
        )
        report.say(f"  it earned {six(sum(event.amount for event in pay))} HOLE")
    for node in set(nodes):
        report.nodes[node].role = "spare, holds a rebuilt shard"
    status = await stage.payer.storage.status(stage.stored.cap)
    report.check("the object is full again", status.state == "full", (status.state, status.healthy))
    return sorted(set(nodes))


async def same_bytes(stage: Stage, restored: list[dict[str, Any]]) -> None:
    """The new nodes hold the very blocks the old ones lost: their CIDs are the manifest's."""
    report, manifest = stage.report, stage.manifest
    wanted = {
        (number, stage.holders.index(node)) for node in stage.roles.lost for number in range(len(manifest.segments))
    }
    got = {(each["segment"], each["shard"]) for each in restored}
    report.check(f"all {len(wanted)} lost shards are restored", got == wanted, sorted(wanted - got))
    reached = {each.info.id: each for each in await reads.living(stage, sorted({each["node"] for each in restored}))}
    wrong = []
    for each in restored:
        described = await reached[each["node"]].client.get_json(f"/v1/pieces/{each['piece']}")
        digests = [digest.hex() for digest in manifest.segments[each["segment"]].shards[each["shard"]]]
        if described["blocks"] != digests:
            wrong.append(each)
    report.check(
        "with the original CIDs, on other nodes", not wrong and not set(reached) & set(stage.roles.lost), wrong
    )


async def fresh_read(stage: Stage, rebuilt: list[int]) -> None:
    """With only k − 1 of the first nodes left running, a new reader needs the rebuilt shards."""
    report, k = stage.report, stage.plan.shape.k
    first = [node for node in stage.holders if node not in stage.roles.lost]
    away = first[k - 1 :]
    await stage.proofs_in()
    for node in away:
        await asyncio.to_thread(stage.net.kill, node)
    fetched = await reads.fetch(stage, "get by a new reader, from rebuilt shards", "reader")
    used = set(fetched.served)
    report.check("it read rebuilt shards", bool(used & set(rebuilt)), sorted(used))
    report.check(f"and at most {k - 1} others", len(used - set(rebuilt)) <= k - 1, sorted(used))
    await asyncio.gather(*(asyncio.to_thread(stage.net.start, node) for node in away))
    stage.refresh()
