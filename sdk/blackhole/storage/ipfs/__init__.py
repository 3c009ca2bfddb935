"""What we share with IPFS: CIDs, DAG-CBOR, DAG-PB, UnixFS, CAR files and block stores."""
