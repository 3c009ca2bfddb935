"""The life of a stored file on a devnet, every claim checked from the chain: `python -m blackhole.devnet.demo`."""
