"""Storage: files as encrypted, coded and masked shards on bonded nodes. docs/storage-format.md describes every byte."""
