"""The node's wire API v1: HTTP/1.1 over TLS 1.3. docs/running-a-node.md describes it for implementers.

server     connections, limits, errors as JSON
fields     reading what clients send: strictly, with a reason for every refusal
routes     one handler a path
"""
