"""The error hierarchy: every error Quorate raises on purpose, with a stable code and no HTTP in it.

A message is one sentence: what is wrong, what was expected, what was got, what to do.
``path`` names the field, setting or member that is wrong (``instances[3]``, ``endpoints.digits.quorum``).
"""

from __future__ import annotations


class QuorateError(Exception):
    """Base of all errors raised on purpose; ``code`` is stable and safe to match on."""

    code: str = "internal"

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        return self.message


# --- what a caller did -------------------------------------------------------------------------


class MalformedRequest(QuorateError):
    """The bytes are not what their media type says (broken JSON, multipart, binary tensor sizes)."""

    code = "malformed_request"


class InvalidInput(QuorateError):
    """Well-formed, but a field has the wrong shape, type or range."""

    code = "invalid_input"


class Unauthenticated(QuorateError):
    """No key, or a key that is not known."""

    code = "unauthenticated"


class Forbidden(QuorateError):
    """The key's role, or the request's Host or Origin, does not allow this."""

    code = "forbidden"


class NotFound(QuorateError):
    """The named endpoint, model, version, strategy, decision or route does not exist."""

    code = "not_found"


class MethodNotAllowed(QuorateError):
    """The route exists, the method does not; ``allow`` lists those that do."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: tuple[str, ...], path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.allow = allow


class Conflict(QuorateError):
    """The request contradicts the present state (idempotency key in use, revision superseded)."""

    code = "conflict"


class TooLarge(QuorateError):
    """A declared limit is exceeded: body bytes, image pixels, rows, nesting."""

    code = "too_large"


class UnsupportedMediaType(QuorateError):
    """The Content-Type or Content-Encoding is not one this route reads."""

    code = "unsupported_media_type"


# --- what this server cannot do now ------------------------------------------------------------


class Overloaded(QuorateError):
    """Shed on purpose; ``retry_after`` is seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float = 1.0, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.retry_after = retry_after


class NotReady(QuorateError):
    """Starting, draining, without a snapshot, or not in memory; ``retry_after`` is seconds, where that is known."""

    code = "not_ready"

    def __init__(self, message: str, *, retry_after: float | None = None, path: str | None = None) -> None:
        super().__init__(message, path=path)
        self.retry_after = retry_after


class NoQuorum(QuorateError):
    """The deadline passed, or too many members failed, and no fallback could answer."""

    code = "no_quorum"


# --- what is wrong with a project --------------------------------------------------------------


class ConfigError(QuorateError):
    """``quorate.yaml`` is wrong; ``file`` and ``line`` (1-based) say where."""

    code = "invalid_config"

    def __init__(
        self, message: str, *, path: str | None = None, file: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, path=path)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = f"{self.file or 'quorate.yaml'}:{self.line}: " if self.line is not None else ""
        return where + self.message


class RegistryError(QuorateError):
    """The registry cannot do what was asked (unknown model, alias in use, version exists)."""

    code = "registry"


class IntegrityError(RegistryError):
    """Stored bytes do not have the digest their manifest states."""

    code = "integrity"


class FormatRefused(RegistryError):
    """The artifact's format is not on the allow-list (pickle, untrusted types, stray external data)."""

    code = "format_refused"


class ParityError(RegistryError):
    """The artifact does not answer as the model it was made from."""

    code = "parity"


class StoreError(QuorateError):
    """The SQL store is missing, locked, or of a version this release cannot read."""

    code = "store"


class JournalError(QuorateError):
    """A journal segment cannot be written or read."""

    code = "journal"


# --- what a member did -------------------------------------------------------------------------


class MemberError(QuorateError):
    """A member gave no usable output; it is dropped from this answer and counted."""

    code = "member_failed"


class MemberCrashed(MemberError):
    """The member raised, or its process died."""

    code = "member_crashed"


class MemberTimeout(MemberError):
    """The member had not answered when the deadline came."""

    code = "member_timeout"


class SignatureViolation(MemberError):
    """The member's output has the wrong shape, type, or is not finite."""

    code = "member_signature"


class CircuitOpen(MemberError):
    """The member's circuit is open after repeated faults; it was not run."""

    code = "member_circuit_open"
