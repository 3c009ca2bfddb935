"""Constants of the protocol.

Generated from protocol.toml by toolchain/generate_protocol.py. Do not edit.
"""

from typing import Final

# token
CAP: Final = 1_000_000_000_000_000_000_000_000_000
"""wei. One billion HOLE, below 2^90, so every amount fits uint96 and vote counts uint208."""
MINT_BPS: Final = 200
"""bps. At most 2 % of the supply is minted in any rolling year, whoever is the minter."""
MINT_WINDOW: Final = 31_536_000
"""s. The rolling year of MINT_BPS: 365 days."""

# units
BPS: Final = 10_000
"""bps. One whole in basis points."""
MICRO: Final = 1_000_000_000_000
"""wei. Vouchers count micro-HOLE: 48 bits hold 281 million HOLE, finer is below the price of a KiB."""

# hub
THAW: Final = 86_400
"""s. A node that reads the chain once a day still redeems before a payer's money leaves its lane."""
THAW_LAPSE: Final = 604_800
"""s. A matured thaw is not kept as a trap: after 7 days it no longer counts."""
LOCK_GRACE: Final = 1_209_600
"""s. 14 days after expiry the payer takes a lock back without its module."""
FEE_BPS_MAX: Final = 500
"""bps. No vote can take more than 5 % of a payment."""
FEE_NOTICE: Final = 2_592_000
"""s. Fees change with 30 days' notice: longer than an exit."""
FEE_EPOCH: Final = 604_800
"""s. Burned fees are counted by week; emission follows them."""

# vault
EXIT: Final = 1_814_400
"""s. Longer than the longest claim round (20 days), so stake never leaves before a ruling."""
ROUND: Final = 518_400
"""s. Claims opened within 6 days of the first share one round."""
MAX_FREEZE: Final = 1_209_600
"""s. An unawarded freeze ends 14 days after its round began, whatever the dispute contract does: ROUND + CONTEST + RULING."""
BURN_BPS: Final = 3_000
"""bps. 30 % of every slash is burned, so nobody shields stake by slashing himself."""
FAULT_BOUNTY_BPS_MAX: Final = 500
"""bps. Reporting an objective fault costs one transaction: 5 % is enough and does not pay for making one."""
CLAIM_BOUNTY_BPS_MAX: Final = 2_000
"""bps. A claim takes evidence and a bond; more than 20 % would invite inventing them."""
RESERVE_MAX: Final = 34_560_000
"""s. 400 days: a verifier names an end at most one deal of a year ahead."""
UNRESERVE_DELAY: Final = 5_184_000
"""s. 60 days after a reserve's named end its staker frees it himself: a dead verifier holds nothing for ever."""

# disputes
CONTEST: Final = 259_200
"""s. 3 days to answer a claim."""
RULING: Final = 432_000
"""s. 5 days for the arbitrator; ROUND + CONTEST + RULING = MAX_FREEZE."""
CLAIM_BOND_MIN: Final = 10_000_000_000_000_000_000
"""wei. 10 HOLE: a false claim costs more than the answer to it."""
CLAIM_BOND_BPS: Final = 1_000
"""bps. 10 % of the claim, the same from both sides."""

# catalog
FAULT_BPS_MAX: Final = 1_000
"""bps. Misses 3, 6 and 9 together never take more than 30 % of a reserve."""
SAMPLES_MAX: Final = 8
"""leaves. More would push a proof beyond what a node earns in a period."""
CLOSE_MAX: Final = 604_800
"""s. The Guardian closes entries for at most 7 days."""
CLOSE_INTERVAL: Final = 5_184_000
"""s. Once in 60 days a service, so a captured Guardian cannot close a market."""
MIN_BOND_MAX: Final = 1_000_000_000_000_000_000_000_000
"""wei. A million HOLE: a vote cannot price every operator out of a service."""

# registry
ENDPOINT_MAX: Final = 256
"""bytes. A URL with a DNS name fits; an event is not a store."""

# upgrade
UPGRADE_DELAY: Final = 2_419_200
"""s. EXIT + 7 days: whoever dislikes an upgrade has left with his stake before it runs."""
UPGRADE_WINDOW: Final = 1_209_600
"""s. An announced upgrade runs within 14 days of its wait or lapses: none stays loaded for ever."""

# storage
PERIOD: Final = 86_400
"""s. One proof a day keeps the chain below 1 % of a node's income."""
PROVE_WINDOW: Final = 21_600
"""s. 6 hours: long enough for a restart, at most PERIOD / 2."""
PROVE_BLOCKS: Final = 3_600
"""blocks. The window also lasts this many blocks: a halted chain faults nobody."""
DEVNET_PERIOD: Final = 240
"""s. 240 blocks of a devnet, a minute of wall time: its driver jumps to the next period long before."""
DEVNET_PROVE_WINDOW: Final = 120
"""s. At most half the period, and 30 s of wall time: no slow machine misses a proof."""
DEVNET_PROVE_BLOCKS: Final = 8
"""blocks. As PROVE_BLOCKS, in proportion; two seconds of wall time."""
DRAW_DELAY: Final = 2
"""blocks. The target block is fixed before anybody can know its hash."""
START_LEAD: Final = 2
"""periods. A signed deal opens within two periods or never."""
NOTICE: Final = 7
"""periods. A terminated agreement runs on this long: time to place the pieces elsewhere."""
MISS_STEP: Final = 3
"""misses. Misses 3, 6 and 9 in a row each cost a share of the reserve."""
MISS_END: Final = 10
"""misses. The tenth miss in a row ends all agreements of the node and takes what the run left of the reserve."""
REMAINDER_DELAY: Final = 5_184_000
"""s. 60 days for repairers; what is left of a failed node's fund then goes to its payers."""
LEAF: Final = 1_024
"""bytes. BLAKE3's chunk: the unit that is sampled and proven."""
BLOCK: Final = 1_048_576
"""bytes. 1 MiB raw blocks: the largest every IPFS implementation passes on."""
SEGMENT: Final = 67_108_864
"""bytes. 64 MiB of plaintext bound the memory of a put."""
INLINE_MAX: Final = 4_096
"""bytes. Smaller objects live in their manifest."""
SERVE_AHEAD: Final = 1_048_576
"""bytes. A node serves at most 1 MiB beyond the last voucher."""
QUOTE_VALID: Final = 600
"""s. A quote holds for 10 minutes."""

# devnet
BLOCK_MILLISECONDS: Final = 250
"""ms of wall time. A block every quarter second, each one second of chain time after the last."""
PERIOD_WALL_MAX: Final = 20
"""s of wall time. A period whose expected proofs do not all come is ended all the same."""
