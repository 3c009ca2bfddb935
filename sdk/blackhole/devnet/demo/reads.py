"""Step 4: the file comes back, byte for byte, and every byte is paid by vouchers."""

from __future__ import annotations

from blackhole.devnet.demo.stage import Stage
from blackhole.devnet.demo.store import sha256


async def fetch(stage: Stage) -> None:
    """Read the file back through lanes."""
    report = stage.report
    target = stage.net.folder.path / "back.bin"
    async with stage.step("get") as row:
        fetched = await stage.payer.storage.get(stage.stored.cap, target)
        row.bytes = fetched.size
    report.sha256_out = sha256(target)
    report.check("the file came back byte for byte", report.sha256_out == report.sha256_in, report.sha256_out)
    target.unlink()
