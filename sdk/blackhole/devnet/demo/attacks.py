"""Step 3: nodes die, one invents bytes, one keeps nothing and asks its peers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from blackhole.devnet.demo.report import CheckFailed
from blackhole.devnet.demo.stage import Stage
from blackhole.protocol import LEAF
from blackhole.storage.blake3_tree import digest_of_path
from blackhole.storage.caps import read_cap
from blackhole.storage.erasure import ErasureCode
from blackhole.storage.manifest import SegmentsManifest
from blackhole.storage.manifest_reading import decode_manifest
from blackhole.storage.masking import ShardMasks
from blackhole.storage.rows import RowBuffer

CHEAT_SECONDS = 180.0
TRIES = 4
"""Periods a cheat may have to wait for a leaf of its shard; all but the first are needed once in a thousand runs."""


class CheatProcess:
    """A dishonest agent that runs in the place of a node's own."""

    def __init__(self, process: asyncio.subprocess.Process, kind: str, node: int) -> None:
        self.process = process
        self.kind = kind
        self.node = node

    @classmethod
    async def start(cls, stage: Stage, kind: str, node: int) -> CheatProcess:
        """End the honest agent and start this one on its folder."""
        await asyncio.to_thread(stage.net.kill, node)
        folder = stage.nodes[node].folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BLACKHOLE")}
        environment["BLACKHOLE_PASSPHRASE_FILE"] = str(folder / "passphrase")
        environment["BLACKHOLE_KEY_FILE"] = str(stage.net.key_file(f"owner-{node}"))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "blackhole.devnet.demo.cheats",
            kind,
            str(folder),
            str(stage.net.network),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=1 << 20,
        )
        return cls(process, kind, node)

    async def hear(self) -> dict[str, Any]:
        """Its next line. Raises CheckFailed when it ends or says nothing."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), CHEAT_SECONDS)
        if not line:
            raise CheckFailed(f"the agent that should {self.kind} ended with code {await self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def end(self) -> None:
        """Make sure it is gone."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def cast(stage: Stage) -> None:
    """Give the parts: the nodes with the data shards die, so that reading needs the code."""
    roles, holders = stage.roles, stage.holders
    kill = stage.plan.kill
    roles.killed = holders[:kill]
    roles.inventor, roles.freeloader, roles.paused = holders[kill : kill + 3]
    roles.leaving = holders[-1]
    names = {roles.inventor: "invented bytes", roles.freeloader: "kept nothing", roles.paused: "was away"}
    names |= {roles.leaving: "earned and left", **dict.fromkeys(roles.killed, "was killed")}
    for node, name in names.items():
        stage.report.nodes[node].role = name


async def kill(stage: Stage) -> None:
    """SIGKILL nodes for good."""
    async with stage.step(f"{stage.plan.killed} killed") as _:
        for node in stage.roles.killed:
            await asyncio.to_thread(stage.net.kill, node)
            stage.report.nodes[node].killed = True
        stage.report.say(f"  SIGKILL to nodes {', '.join(map(str, stage.roles.killed))}")
        stage.refresh()
        running = {node.node for node in stage.nodes.values() if node.pid is not None}
        stage.report.check("the killed nodes run no more", not running & set(stage.roles.killed), running)


async def cheat(stage: Stage) -> None:
    """Both cheats answer one drawn period; the chain refuses both, and we say why the second one fails."""
    roles, report = stage.roles, stage.report
    async with stage.step("two nodes cheat") as _:
        cheats = [
            await CheatProcess.start(stage, "invent", roles.inventor),
            await CheatProcess.start(stage, "freeload", roles.freeloader),
        ]
        try:
            for each in cheats:
                report.nodes[each.node].cheated = True
                ready = await each.hear()
                report.say(f"  node {each.node} deleted {ready['deleted_bytes']:,} bytes it is paid to keep")
                report.check(f"node {each.node} holds nothing any more", ready["deleted_bytes"] > 0)
            answers = await _answers(stage, cheats)
            for each, answer in zip(cheats, answers, strict=True):
                gas = f"{answer['gas']:,} gas"
                report.say(
                    f"  node {each.node}: prove reverted with {answer['reason']}, {gas}, {answer['transaction']}"
                )
                report.check(f"what node {each.node} answered is refused", not answer["accepted"], answer["reason"])
                report.check("the chunk itself is what is wrong", answer["reason"] == "WrongChunk", answer["reason"])
        finally:
            for each in cheats:
                await each.end()
        stage.ledger.read()
        for answer in answers:
            mined = [entry for entry in stage.ledger.entries if entry.hash == answer["transaction"]]
            shown = len(mined) == 1 and not mined[0].ok and mined[0].name == "StorageMarket.prove"
            report.check("the refused proof stands on the chain as reverted", shown, answer["transaction"])
        await masks(stage, answers[1])


async def _answers(stage: Stage, cheats: list[CheatProcess]) -> list[dict[str, Any]]:
    """What each submitted. While a cheat is only asked for the manifest, or too slow, another period passes."""
    answers: dict[int, dict[str, Any]] = {}
    for _ in range(TRIES):
        await stage.advance()
        waiting = [each for each in cheats if each.node not in answers]
        for each, said in zip(waiting, await asyncio.gather(*(each.hear() for each in waiting)), strict=True):
            if said["event"] == "answered":
                answers[each.node] = said
        if len(answers) == len(cheats):
            return [answers[each.node] for each in cheats]
    raise CheckFailed("a cheat was never asked for its shard", data={"answered": sorted(answers)})


async def masks(stage: Stage, answer: dict[str, Any]) -> None:
    """With the mask key the very same bytes of its peers would have been the answer; without it they are noise."""
    (sample,) = answer["samples"]
    keys = read_cap(stage.stored.cap).repair_cap
    manifest = decode_manifest(bytes.fromhex(sample["manifest"]), keys.manifest)
    assert isinstance(manifest, SegmentsManifest)
    stage.manifest = manifest
    segment = manifest.segments[sample["segment"]]
    masks = ShardMasks(keys.mask_key, segment.salt)
    own, offset = sample["shard"], sample["offset"]
    parts = {int(shard): bytes.fromhex(data) for shard, data in sample["fetched"].items()}
    rows = RowBuffer(manifest.profile.n, LEAF)
    for shard, data in parts.items():
        masks.apply(shard, offset, data, rows.row(shard, 0, len(data)))
    ErasureCode(manifest.profile.k, manifest.profile.n).rebuild(rows, list(parts), [own], 0, LEAF)
    truth = rows.row(own, 0, LEAF)
    masks.apply(own, offset, truth, truth)
    blocks = segment.blocks(own)
    siblings = [bytes.fromhex(sibling) for sibling in sample["siblings"]]
    index, chunks = sample["chunk"], blocks.chunks(sample["block"])
    digest = blocks.digests[sample["block"]]
    report = stage.report
    combined = bytes.fromhex(sample["combined"])
    report.say(f"  node {stage.roles.freeloader} read {len(parts)} KiB from shards {', '.join(sample['fetched'])}")
    report.check(
        "what it combined from its peers is not its chunk",
        digest_of_path(combined, index, chunks, siblings) != digest,
    )
    report.check(
        "unmasked, the same bytes would have been: the masks stopped it",
        digest_of_path(bytes(truth), index, chunks, siblings) == digest,
    )
