"""Addresses and keys of services."""

import re
import urllib.parse
from dataclasses import dataclass
from typing import Final, Self

REST_URL: Final = "http://127.0.0.1:8080"
GRPC_ADDRESS: Final = "127.0.0.1:7070"
_PORTS: Final = {"http": 80, "https": 443}
_MAX_KEY_LENGTH: Final = 7000
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Address:
    """A parsed address; `path` is "" or begins with a slash and does not end with one."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def rest(cls, text: str) -> Self:
        """Parse http://127.0.0.1:8080 or https://example.org/faces/; else raise ValueError."""
        return cls._read(text, text, REST_URL)

    @classmethod
    def grpc(cls, text: str) -> Self:
        """Parse 127.0.0.1:7070 or https://example.org:443; else raise ValueError."""
        given = text if _SCHEME.match(text) else f"http://{text}"
        address = cls._read(given, text, GRPC_ADDRESS)
        # without TLS there is no usual port
        if address.path or not (address.secure or address._names_port(given)):
            raise ValueError(
                f"{text} is not of the form {GRPC_ADDRESS}, or https://example.org:443"
            )
        return address

    @property
    def netloc(self) -> str:
        """host:port; an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL, without a slash at its end."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.path}"

    @classmethod
    def _read(cls, url: str, text: str, form: str) -> Self:
        wrong = ValueError(f"{text} is not of the form {form}")
        if not text.isprintable() or " " in text:  # urlsplit would drop them silently
            raise wrong
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = parts.hostname or "", parts.port
            host.encode("idna")
        except ValueError:
            raise wrong from None
        if parts.scheme not in _PORTS or not host or port == 0:
            raise wrong
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"{wrong}: leave out what stands behind ?, # or before @")
        path = parts.path.rstrip("/")
        if "/predictions" in path:
            raise ValueError(f"{wrong}: leave out /predictions and what follows")
        return cls(
            parts.scheme == "https",
            host,
            port or _PORTS[parts.scheme],
            urllib.parse.quote(path, safe="/%:~!$&'()*+,;=@"),
        )

    @staticmethod
    def _names_port(url: str) -> bool:
        return urllib.parse.urlsplit(url).port is not None


def bearer(key: str) -> str:
    """The Authorization header for a key; raises ValueError, without the key, if malformed."""
    if len(key) > _MAX_KEY_LENGTH:  # gRPC would break the connection instead
        raise ValueError(f"the key has {len(key)} letters: more than a header may have")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the key holds a space, a line's end or a letter that no key has")
    return f"Bearer {key}"
