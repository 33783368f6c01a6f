"""Signatures without a key of one's own: Sigstore's, which say who signed by the account that they used at the time.

Whose account it was says a certificate that lived for some minutes, and that it was used while it lived, a public log.
Both are checked by Sigstore's own library, an extra of ours; which authorities and logs there are, it asks in the
network, or takes from what it brings along.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from regrow.errors import DifferentError, InputError
from regrow.printable import escaped

_LONGEST = 300


@dataclass(frozen=True)
class Account:
    """Whose signature it has to be.

    Attributes:
        identity: an e-mail address, or the address of a workflow.
        issuer: who vouches for it, as a URL: ``https://accounts.google.com``.
        offline: whether to take the authorities and logs that the library brings along.
    """

    identity: str
    issuer: str
    offline: bool = False


def require_signed(data: bytes, where: Path, account: Account) -> bytes:
    """What is in a bundle that somebody signed with an account.

    Args:
        data: the bundle.
        where: it comes from, for errors.
        account: whose signature it has to be.

    Raises:
        InputError: if the library is not there, or the network that it needs.
        DifferentError: if it is no bundle of Sigstore, or nobody signed it with this account.
    """
    try:
        from sigstore.errors import Error
        from sigstore.models import Bundle, InvalidBundle
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity
    except ImportError as error:
        raise InputError(
            "signatures without a key cannot be checked here",
            where=str(where),
            why=f"the library of Sigstore is not installed: {error}",
            hint="pip install 'regrow[sigstore]'; a bundle that was signed with a key takes --key instead",
        ) from error
    try:
        verifier = Verifier.production(offline=account.offline)
    except Exception as error:  # of the network, or of what came from there
        raise InputError(
            "nobody says which authorities and logs of Sigstore there are",
            why=_short(error),
            hint="with --offline those are taken that the library brings along",
        ) from error
    try:
        _, payload = verifier.verify_dsse(
            Bundle.from_json(data), Identity(identity=account.identity, issuer=account.issuer)
        )
    except (Error, InvalidBundle, ValueError) as error:
        raise DifferentError(
            f"this was not signed by {escaped(account.identity)}",
            where=str(where),
            why=_short(error),
            hint=f"get the bundle again; is it {escaped(account.issuer)} that vouches for the account?",
        ) from error
    return bytes(payload)


def _short(error: Exception) -> str:
    """What a library says, in a line."""
    return escaped(" ".join(str(error).split())[:_LONGEST] or type(error).__name__)
