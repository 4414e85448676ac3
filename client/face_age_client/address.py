"""Where a service is asked, as people write it."""

import re
import urllib.parse
from dataclasses import dataclass
from typing import Final, Self

REST: Final = "http://127.0.0.1:8080"
GRPC: Final = "127.0.0.1:7070"
_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_KEY: Final = 7000
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Address:
    """One address; `path` is "" or begins with a slash and ends with none."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def rest(cls, text: str) -> Self:
        """From http://127.0.0.1:8080 or https://example.org/faces/; ValueError on another form."""
        return cls._read(text, text, REST)

    @classmethod
    def grpc(cls, text: str) -> Self:
        """From 127.0.0.1:7070 or https://example.org:443; ValueError on another form."""
        given = text if _SCHEME.match(text) else f"http://{text}"
        address = cls._read(given, text, GRPC)
        # what gRPC takes without TLS has a port that nobody can guess
        if address.path or not (address.secure or address._names_port(given)):
            raise ValueError(f"{text} is not of the form {GRPC}, or https://example.org:443")
        return address

    @property
    def netloc(self) -> str:
        """Host and port, as a URL has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """All of it, as a URL without a slash at its end."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}{self.path}"

    @classmethod
    def _read(cls, url: str, text: str, form: str) -> Self:
        wrong = ValueError(f"{text} is not of the form {form}")
        if not text.isprintable() or " " in text:  # which urlsplit takes out in silence
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


def authorization(key: str) -> str:
    """The header's value for a proxy's key; ValueError, which does not show it, on none."""
    if len(key) > _LONGEST_KEY:  # over gRPC the connection would end, as if to be tried again
        raise ValueError(f"the key has {len(key)} letters: more than a header may have")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the key holds a space, a line's end or a letter that no key has")
    return f"Bearer {key}"
