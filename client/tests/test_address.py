import pytest

from face_age_client.address import Address, bearer


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("HTTP://LocalHost:8080//", "http://localhost:8080"),
        ("http://localhost", "http://localhost:80"),
        ("https://example.org/faces/", "https://example.org:443/faces"),
        ("https://example.org:8443/a b".replace(" ", "%20"), "https://example.org:8443/a%20b"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_rest(text, url):
    assert Address.rest(text).url == url


@pytest.mark.parametrize(
    ("text", "netloc", "secure"),
    [
        ("127.0.0.1:7070", "127.0.0.1:7070", False),
        ("localhost:7070/", "localhost:7070", False),
        ("http://127.0.0.1:7070/", "127.0.0.1:7070", False),
        ("[::1]:7070", "[::1]:7070", False),
        ("HTTPS://example.org", "example.org:443", True),
        ("https://example.org:8443/", "example.org:8443", True),
    ],
)
def test_grpc(text, netloc, secure):
    address = Address.grpc(text)
    assert (address.netloc, address.secure) == (netloc, secure)


WRONG = [
    *("", " ", "http://", "http://:8080", "http://a:b", "http://a:99999", "http://a:0"),
    *("http://a b", "http://a\n", "http://exa..mple:80", "http://::1:8080", "ftp://a:1"),
    *("http://a:1/?x=1", "http://a:1/#x", "http://user:word@a:1", "http://a:1:2"),
]


@pytest.mark.parametrize(
    "text", [*WRONG, "127.0.0.1:8080", "localhost", "http://a:1/predictions/age"]
)
def test_no_address_of_rest(text):
    with pytest.raises(ValueError, match=r"is not of the form http://127\.0\.0\.1:8080"):
        Address.rest(text)


@pytest.mark.parametrize("text", [*WRONG, "127.0.0.1", "::1", "a:1/path", "dns:///a:1"])
def test_no_address_of_grpc(text):
    with pytest.raises(ValueError, match=r"is not of the form 127\.0\.0\.1:7070"):
        Address.grpc(text)


@pytest.mark.parametrize("key", ["a b", "secret\n", "schlüssel"])
def test_key_that_no_header_can_hold(key):
    with pytest.raises(ValueError, match="the key holds") as error:
        bearer(key)
    assert key.strip() not in str(error.value)


def test_key_that_is_too_long_for_a_header():
    assert bearer(7000 * "x")
    with pytest.raises(ValueError, match="the key has 7001 letters"):
        bearer(7001 * "x")
