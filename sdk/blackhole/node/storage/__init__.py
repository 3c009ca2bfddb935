"""The storage plugin: service 1 of a node, in a process of its own.

plugin      puts the parts together; start, drain, stop, health, metrics
steps       what the journal knows
state       agreements, staged pieces, lanes: rebuilt from the journal
pieces      blocks, piece files and their index
staging     uploads: quotas before bytes, hashes while they arrive, disk before the acknowledgement
deals       quotes, Terms and Changes: what the node signs, and when it does not
reads       block reads for vouchers and grants, audit reads
chainwatch  new blocks, final balances, lanes, the node's own agreements
duties      draw, prove, settle, report, redeem, close
api/        the TLS server
"""
