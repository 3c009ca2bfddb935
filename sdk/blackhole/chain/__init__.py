"""The chain: JSON-RPC, ABI codec, generated bindings, signers, transactions, events."""
