"""The bank: balances, lanes with vouchers, locks under allowance."""
