"""The demo from its beginning to its end. Each step is a module; each claim is checked from the chain."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from blackhole.devnet.demo.plan import COMPANION_BYTES, SHARDED_BYTES, Plan, make_sample
from blackhole.devnet.demo.report import Report
from blackhole.devnet.folder import FOLDER_VARIABLE, RunFolder
from blackhole.devnet.handle import Devnet
from blackhole.devnet.settings import DevnetSettings
from blackhole.errors import BlackholeError


class Demo:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.report = Report()

    @property
    def folder(self) -> RunFolder:
        """Its run folder: `$BLACKHOLE_DEVNET`, else `.blackhole/demo` here."""
        import os

        if os.environ.get(FOLDER_VARIABLE):
            return RunFolder.default()
        return RunFolder(Path.cwd() / ".blackhole" / "demo")

    def run(self) -> None:
        """Do everything, print the tables, write the report.

        Raises:
            BlackholeError: what failed. The report is written first and says the same.
        """
        report = self.report
        if self.plan.json is not None:
            # Where it cannot be written that is said now, not after the last step.
            report.write(self.plan.json)
        try:
            report.file_bytes = self.plan.refuse(self.folder.path)
            self._on_network()
        except BlackholeError as error:
            report.error = error.to_json()
            raise
        except KeyboardInterrupt:
            report.error = {"code": "interrupted", "message": "Interrupted.", "hint": "", "data": {}}
            raise
        except BaseException as error:
            report.error = {"code": "internal", "message": f"{type(error).__name__}: {error}", "hint": "", "data": {}}
            raise
        finally:
            if self.plan.json is not None:
                report.write(self.plan.json)
            if report.nodes:
                report.out.write("\n" + report.tables() + "\n")
                report.out.flush()

    def _on_network(self) -> None:
        plan, report = self.plan, self.report
        net: Devnet | None = None
        finished = False
        try:
            report.chapter("A network on this machine; the file is quoted and stored")
            with report.step("network up") as _:
                settings = DevnetSettings(nodes=plan.nodes, profile=plan.profile, held=True)
                net = Devnet.up(settings, self.folder, progress=lambda line: report.say(f"  {line}"))
                report.say(f"  {plan.nodes} nodes are ready")
            source, small = plan.file, None
            if source is None:
                source = self.folder.path / "sample.bin"
                make_sample(source, report.file_bytes)
            elif report.file_bytes < SHARDED_BYTES:
                source, small = self.folder.path / "companion.bin", source
                make_sample(source, COMPANION_BYTES)
                report.say("  the file is small: an object of 2 MiB goes with it, so that there are shards to lose")
            asyncio.run(self._steps(net, source, small))
            finished = True
        finally:
            if net is not None:
                self._end(net, finished)

    async def _steps(self, net: Devnet, source: Path, small: Path | None) -> None:
        from blackhole.devnet.demo import attacks, away, faults, leaving, reads, repairs, store
        from blackhole.devnet.demo.stage import Stage

        report = self.report
        stage = Stage(self.plan, report, net, source, small)
        try:
            await store.network(stage)
            await store.put(stage)
            report.chapter("Periods pass: drawn, proven and settled by the nodes' own keys")
            await store.periods(stage)
            report.chapter(f"{self.plan.killed} killed, one invents its bytes, one kept nothing")
            attacks.cast(stage)
            await attacks.kill(stage)
            await attacks.cheat(stage)
            report.chapter("Meanwhile the file is read back, paid by vouchers")
            await reads.while_dead(stage)
            report.chapter("The dead and the cheats are unpaid and lose their stake by the same rule")
            await faults.ten_misses(stage)
            await store.paid(stage)
            report.chapter("Somebody who cannot read the file restores it")
            rebuilt = await repairs.restore(stage)
            await repairs.fresh_read(stage, rebuilt)
            report.chapter("A node that was away comes back and forgets nothing")
            await away.come_back(stage)
            report.chapter("A node that earned leaves with its bond, and the books close")
            await leaving.leave(stage)
            await leaving.balances(stage)
            await store.senders(stage)
            await store.tally(stage)
        finally:
            await stage.close()

    def _end(self, net: Devnet, finished: bool) -> None:
        report = self.report
        if not self.plan.keep:
            report.say("network down")
            net.down()
            return
        report.say(f"the network runs on in {net.folder.path}")
        if finished:
            net.hold(False)
            report.say("its clock moves by itself now; the file's paid time ended with the 21 days, so store another")
        sys.stderr.write(
            f"  export {FOLDER_VARIABLE}={net.folder.path} BLACKHOLE_NETWORK={net.network}\n"
            f"  export BLACKHOLE_KEY_FILE={net.key_file('payer')}\n"
            "  blackhole storage put FILE; blackhole devnet status; blackhole devnet down\n"
        )
