"""`blackhole storage`: store files, read them back, keep them healthy."""

from __future__ import annotations

from typing import Annotated

import typer

from blackhole.cli.output import emit

app = typer.Typer(
    epilog="Examples: blackhole storage quote film.mp4; blackhole storage put film.mp4 --max-price 5; "
    "blackhole storage get bh1… -o film.mp4",
)


@app.command()
def cid(
    file: Annotated[str, typer.Argument(help='The file; "-" reads stdin.')],
) -> None:
    """The CID a public file has on IPFS: what `ipfs add --only-hash` prints under profile unixfs-v1-2025.

    Nothing is sent anywhere. What `put` stores is encrypted and has other CIDs.

    Example: blackhole storage cid film.mp4
    """
    from blackhole.storage.ipfs.unixfs import cid_of
    from blackhole.storage.sources import SourceReader, open_source

    source = open_source(file)
    try:
        found = str(cid_of(SourceReader(source)))
        source.finish()
    finally:
        source.close()
    emit({"cid": found, "name": source.name}, found)
