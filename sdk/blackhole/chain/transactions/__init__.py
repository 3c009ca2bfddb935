"""Sending transactions: one writer a key, every signed byte on the disk before it is sent, sent until it is final.

writer      one a (chain, account) and process: takes calls, returns receipts
departure   simulate, sign, journal, send; send again; raise the fees
watch       look for receipts until all is final; notice what is stuck, lost or reorganised
logbook     what is on its way and which nonces are free, in memory and in the journal
flights     one nonce, and how the journal holds it
fees        gas limits and EIP-1559 fees
"""
