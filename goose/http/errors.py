"""Every fault that HTTP can report: what a handler raises on purpose, and what is wrong with routes and replies.

``HttpError`` is for users; ``problems`` turns it and everything else into an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from goose.errors import GooseError


class HttpError(GooseError):
    """Raised by a handler or a guard to answer with an error; the client sees what it says.

    Args:
        status_code: 400 to 599.
        detail: One sentence for whoever made the request.
        headers: Sent with the answer, like ``Retry-After``.
        extra: Further members of the problem; ``type`` and ``title`` may stand there too.
    """

    def __init__(
        self,
        status_code: int,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        if not 400 <= status_code <= 599:
            raise ValueError(f"HttpError({status_code}): the status of an error is from 400 to 599")
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def __str__(self) -> str:
        return f"{self.status_code}" if self.detail is None else f"{self.status_code}: {self.detail}"


class HandlerTimeout(GooseError):
    """A handler took longer than the platform allows; its scope was rolled back."""

    status_code: ClassVar[int] = 503

    def __init__(self, handler: str, seconds: float) -> None:
        super().__init__(handler, seconds)
        self.handler, self.seconds = handler, seconds

    def __str__(self) -> str:
        return (
            f"{self.handler} took longer than {self.seconds:g} s. "
            f"Make it faster, give the work to a job, or raise ApiPlatform(timeout=...)."
        )


class HandlerExit(GooseError):
    """A handler called ``sys.exit()``; its request failed, and the server lives."""

    def __init__(self, handler: str) -> None:
        super().__init__(handler)
        self.handler = handler

    def __str__(self) -> str:
        return f"{self.handler} called sys.exit(). Raise HttpError to refuse a request."


class InvalidRoute(GooseError):
    """A route that cannot be served: its path, method, handler or guard is not of a kind that can stand there."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(place, reason)
        self.place, self.reason = place, reason

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class DuplicateRoute(GooseError):
    """Two handlers for one method and path: only the first would ever be called."""

    def __init__(self, method: str, first: str, first_path: str, second: str, second_path: str) -> None:
        super().__init__(method, first, first_path, second, second_path)
        self.method = method
        self.first, self.first_path = first, first_path
        self.second, self.second_path = second, second_path

    def __str__(self) -> str:
        return (
            f"{self.method} {self.first_path} of {self.first} and {self.method} {self.second_path} of {self.second} "
            f"are the same route. Change the method or the path of one of them."
        )


class UnknownParameter(GooseError):
    """A handler asks for a path parameter that its route does not have."""

    def __init__(self, name: str, names: Sequence[str]) -> None:
        super().__init__(name, names)
        self.name, self.names = name, tuple(names)

    def __str__(self) -> str:
        there = ", ".join(self.names) or "none"
        return f"the route has no path parameter {self.name!r} (it has: {there}). Name it in the path: {{{self.name}}}."


class UnknownReply(GooseError):
    """A handler returned something that is no answer."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason

    def __str__(self) -> str:
        return f"a handler returned {self.kind}, {self.reason}"
