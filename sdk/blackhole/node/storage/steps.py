"""What the storage plugin's journal knows. A step is on the disk before what it says is acknowledged."""

from __future__ import annotations

from enum import StrEnum

KIND = "node-storage"
"""Kind of the journal; crash points are `node-storage:<step>`."""


class Step(StrEnum):
    """Steps of the storage plugin."""

    STAGED = "staged"
    """A piece arrived, is what its root says, and is on the disk. Its uploader hears 201 after this."""
    DROPPED = "dropped"
    """A staged piece no agreement took was let go; its blocks are deleted after this."""
    TERMS_SIGNED = "terms_signed"
    """The hot signer signed Terms: capacity is promised until the deal is open or its start has passed."""
    TERMS_LAPSED = "terms_lapsed"
    """Signed Terms that never opened: the capacity is free again."""
    OPENED = "opened"
    """The agreement is on chain at a final block; its pieces leave staging."""
    CHANGE_SIGNED = "change_signed"
    """The hot signer signed a Change of an open agreement."""
    CHANGED = "changed"
    """The Change is on chain; pieces it left out are deleted after this."""
    CHANGE_LAPSED = "change_lapsed"
    """A signed Change whose last period is over; what was held for it alone is deleted after this."""
    CLOSED = "closed"
    """The agreement is closed on chain; its pieces are deleted after this."""
    VOUCHER = "voucher"
    """A lane's highest voucher and what was read on it; the bytes it pays ahead are served after this."""
    PROVING = "proving"
    """A proof is about to be sent."""
    PROVED = "proved"
    """The period's bit is set."""
    SETTLING = "settling"
    """A settlement is about to be sent."""
    SETTLED = "settled"
    """… and is on chain."""
    REDEEMING = "redeeming"
    """A redemption is about to be sent."""
    REDEEMED = "redeemed"
    """… and is on chain."""
