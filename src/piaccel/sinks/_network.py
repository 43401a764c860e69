"""What sinks that speak over a network share: errors in words, TLS, and secrets that stay off the command line."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from piaccel.errors import NotFoundError, OptionError, UnavailableError

_CLOCK = {9: "not valid yet", 10: "expired"}
_HOSTNAME = (62, 64)


def unreachable(error: BaseException, where: str) -> UnavailableError:
    """Say in one line why ``where`` ("mqtt://host:1883") cannot be reached; may be tried again."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, where)
        if isinstance(cause, ssl.SSLError):
            return UnavailableError(
                f"{where}: TLS fails: {cause.reason or cause}",
                hint="does this port speak TLS, and does it ask for a key?",
            )
        if isinstance(cause, ConnectionRefusedError):
            return UnavailableError(f"{where}: connection refused", hint="is it running, and is the port right?")
        if isinstance(cause, socket.gaierror):
            return UnavailableError(f"{where}: the host is unknown", hint="check its name and this board's DNS")
        if isinstance(cause, TimeoutError):
            return UnavailableError(
                f"{where}: no answer in time", hint="check the address, the network and its firewall"
            )
        if isinstance(cause, ConnectionError):
            return UnavailableError(f"{where}: the connection was closed")
        if isinstance(cause, OSError) and cause.strerror:
            return UnavailableError(f"{where}: {cause.strerror}", hint="check this board's network")
    return UnavailableError(f"{where}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _untrusted(error: ssl.SSLCertVerificationError, where: str) -> UnavailableError:
    # the codes are OpenSSL's X509_V_ERR_*, see openssl-verification-options(1)
    if error.verify_code in _CLOCK:
        return UnavailableError(
            f"{where}: its certificate is {_CLOCK[error.verify_code]}",
            hint="renew it; a board without a clock of its own has a wrong date until it is set: timedatectl",
        )
    if error.verify_code in _HOSTNAME:
        return UnavailableError(
            f"{where}: its certificate is for another name", hint="write the host as the certificate names it"
        )
    return UnavailableError(
        f"{where}: its certificate is not trusted: {error.verify_message}",
        hint="name the authority that signed it: ca_file=FILE",
    )


def tls(owner: str, ca_file: str, cert_file: str = "", key_file: str = "", *, insecure: bool = False) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or only those in ``ca_file`` (PEM).

    Raises NotFoundError for a file that is not there, OptionError for one that does not fit.
    """
    for name in (ca_file, cert_file, key_file):
        if name and not Path(name).is_file():
            raise NotFoundError(f"{owner}: {name}: no such file")
    if key_file and not cert_file:
        raise OptionError(f"{owner}: key_file without cert_file", hint="give both")
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        raise OptionError(f"{owner}: {ca_file} holds no certificate", hint="it must be PEM") from error
    if ca_file:  # Python 3.13 refuses most home-made authorities for formal faults that 3.11 lets pass
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if cert_file:
        try:  # a key with a pass phrase would make OpenSSL ask for it on the terminal: an empty one is refused instead
            context.load_cert_chain(cert_file, key_file or None, password="")
        except (ssl.SSLError, ValueError) as error:
            raise OptionError(
                f"{owner}: {cert_file} and its key do not fit together",
                hint="both must be PEM, the key without a pass phrase",
            ) from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def secret(owner: str, file: str, variable: str) -> str:
    """Return what the file's first line holds, or else the environment variable; "" where there is neither.

    Raises NotFoundError or OptionError for a file that cannot be read or is empty.
    """
    if not file:
        return os.environ.get(variable, "")
    try:
        text = Path(file).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{owner}: {file}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{owner}: {file} cannot be read", hint="a text file that this user may read") from error
    line = text.splitlines()[0].strip() if text.strip() else ""
    if not line:
        raise OptionError(f"{owner}: {file} is empty", hint="its first line is the secret")
    return line
