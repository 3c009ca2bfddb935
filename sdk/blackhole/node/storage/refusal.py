"""What a node answers when it does not do what was asked: a 4xx or 5xx with a reason."""

from __future__ import annotations

from collections.abc import Mapping

from blackhole.errors import Json, NodeError


class Refusal(NodeError):
    """A request is refused with `status`; code, message, hint and data are the body of the answer."""

    def __init__(
        self, status: int, code: str, message: str, *, hint: str = "", data: Mapping[str, Json] | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=code, data=data)
        self.status = status


def malformed(message: str, hint: str = "See the node's wire API in docs/running-a-node.md.") -> Refusal:
    """400: the request cannot be read."""
    return Refusal(400, "malformed", message, hint=hint)
