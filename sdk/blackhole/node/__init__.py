"""The node agent: one supervisor a machine, each service a plugin in a process of its own.

    folder      what a node's folder holds, and the lock that keeps a second agent out
    config      config.toml: read, checked, changed key by key
    tls         the node's own certificate and the hash its manifest pins
    manifest    NodeManifest: what a node says of itself, bound to the registry by its digest
    supervisor  starts, watches, drains and stops plugins; health and metrics on a loopback port
    storage/    the plugin of service 1

Importing this package imports nothing else: an agent's processes stay small.
"""
