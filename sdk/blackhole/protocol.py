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
VOUCHER_ROW: Final = 74
"""bytes. Lane, cumulative amount, EIP-2098 signature: everything else is the same for all rows of a redemption."""

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
PANEL_MAX: Final = 32
"""members. Votes are counted by going through the members."""

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

# services
STORAGE: Final = 1
"""id. The first row of the catalog; its verifier is written once, so another market is another id."""

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
"""s. At most half the period, and 30 s of wall time: what a slow machine has for a proof."""
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

# initial
FAULT_BPS: Final = 500
"""bps. Of the reserve at misses 3, 6 and 9: 15 % before the tenth miss takes the rest."""
BOUNTY_BPS: Final = 500
"""bps. 5 % of a fault to whoever reports it."""
SAMPLES: Final = 1
"""leaves. Payment is all or nothing, so one sample a period already makes dropping data a loss."""
MIN_BOND: Final = 100_000_000_000_000_000_000
"""wei. 100 HOLE: an identity costs more than what it could take once."""
COLLATERAL_PER_LEAF: Final = 1_000_000_000_000
"""wei. About a HOLE a GiB, some 60 days of price and no less than what repair costs."""
FEE_BPS: Final = 100
"""bps. 1 % of a payment: what makes dealing with oneself a loss."""
FEE_BURN_BPS: Final = 5_000
"""bps. Half of the fees is burned, half goes to the treasury."""
TIMELOCK_DELAY: Final = 259_200
"""s. 3 days between a vote and what it does; upgrades wait UPGRADE_DELAY besides."""

# profiles
DEV_DATA: Final = 3
"""shards. Shards that suffice to read a segment of profile `dev`: for tests and devnets: ten nodes suffice."""
DEV_SHARDS: Final = 10
"""shards. Shards of a segment of profile `dev`, each on a node of its own."""
DEV_REPAIR: Final = 7
"""shards. With fewer live shards repair starts."""
DEV_UNIT: Final = 65_536
"""bytes. The stripe unit of profile `dev`: a chunk's ciphertext."""
STD_DATA: Final = 20
"""shards. Shards that suffice to read a segment of profile `std`: half of the shards may be lost; the default."""
STD_SHARDS: Final = 40
"""shards. Shards of a segment of profile `std`, each on a node of its own."""
STD_REPAIR: Final = 30
"""shards. With fewer live shards repair starts."""
STD_UNIT: Final = 32_768
"""bytes. The stripe unit of profile `std`: a chunk's ciphertext."""
DC_DATA: Final = 10
"""shards. Shards that suffice to read a segment of profile `dc`: for data that has a second copy elsewhere."""
DC_SHARDS: Final = 14
"""shards. Shards of a segment of profile `dc`, each on a node of its own."""
DC_REPAIR: Final = 12
"""shards. With fewer live shards repair starts."""
DC_UNIT: Final = 65_536
"""bytes. The stripe unit of profile `dc`: a chunk's ciphertext."""
WIDE_DATA: Final = 29
"""shards. Shards that suffice to read a segment of profile `wide`: for data that must outlive most of its nodes."""
WIDE_SHARDS: Final = 80
"""shards. Shards of a segment of profile `wide`, each on a node of its own."""
WIDE_REPAIR: Final = 52
"""shards. With fewer live shards repair starts."""
WIDE_UNIT: Final = 16_384
"""bytes. The stripe unit of profile `wide`: a chunk's ciphertext."""

# formats
PACK_UNIT: Final = 65_536
"""bytes. A chunk's ciphertext in a segment that small objects share."""
PACKED_BELOW: Final = 1_048_576
"""bytes. Smaller objects share segments: alone they would pay for whole stripes."""
CAP_MAX: Final = 200
"""characters. A cap is copied by hand and by QR code."""
GRANT_LINKS_MAX: Final = 8
"""grants. A node checks one signature a link before it serves."""
