"""What is too much: of a body, of headers, of parts, of requests."""

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from face_age_client.rest import RestClient
from handler.options import Options
from tests.proxy.proxy import Proxy
from tests.service.exchange import multipart
from tests.service.test_rest import JPEG, as_json, base64_of

pytestmark = pytest.mark.service
BYTES = {"Content-Type": "application/octet-stream"}
LARGEST = 20 * 2**20  # bytes of a request
PER_SECOND, BURST = 10, 20  # requests of a key
PARTS, HEAD = 10, 1024  # of a form; bytes of a part's headers
# Refused by the service in no time.
CHEAP = b"%PDF-1.4"


def test_largest_body(proxy: Proxy, key):
    reply = proxy.ask(JPEG + bytes(LARGEST - len(JPEG)), BYTES, key=key)
    assert (reply.status, len(reply.content["faces"])) == (200, 1)


@pytest.mark.parametrize("with_key", [True, False])
def test_body_that_is_too_large(proxy: Proxy, key, with_key):
    reply = proxy.ask(bytes(LARGEST + 1), BYTES, key=key if with_key else None)
    assert reply.failure == (413, "RequestTooLarge")


def test_body_that_does_not_say_how_large_it_is(proxy: Proxy, key):
    head = f"POST /predictions/age HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
    reply = proxy.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + 21 * chunk)
    assert reply.failure == (413, "RequestTooLarge")


def test_headers_that_are_too_large(proxy: Proxy, key):
    large = {f"X-{i}": "x" * 7000 for i in range(5)}
    for headers in (large, {"X": "x" * 9000}):
        # No body: the connection may be gone before the client has sent one.
        reply = proxy.ask(None, headers, key=key)
        assert reply.failure == (431, "HeadersTooLarge")


def test_address_that_is_too_long(proxy: Proxy, key):
    # No body: the connection may be gone before the client has sent one.
    reply = proxy.ask(None, {}, "/predictions/" + "a" * 9000, key=key)
    assert reply.failure == (414, "InvalidRequest")


@pytest.mark.parametrize("line", [b"nonsense\r\n\r\n", b"GET /ping HTTP/9.9\r\n\r\n"])
def test_what_is_no_request(proxy: Proxy, line):
    assert proxy.raw(line).failure == (400, "InvalidRequest")


def form(parts: int) -> tuple[bytes, dict[str, str]]:
    """An image and `parts` - 1 more fields of the same meaning."""
    body, headers = multipart({"data": (JPEG, "image/jpeg")})
    more = multipart({"max_faces": (b"9", None)})[0].removesuffix(b"--boundary--\r\n")
    return (parts - 1) * more + body, headers


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        # by the service itself
        (
            PARTS,
            "the form has more than one part 'max_faces'; "
            "send one image a request, and each option once",
        ),
        (PARTS + 1, "a form has at most 10 parts"),
        (10_000, "a form has at most 10 parts"),
    ],
)
def test_parts_of_a_form(proxy: Proxy, key, parts, message):
    reply = proxy.ask(*form(parts), key=key)
    assert reply.failure == (400, "InvalidRequest")
    assert reply.content["message"] == message


def test_two_images(proxy: Proxy, key):
    body, headers = form(1)
    for name in ("data", "data2"):
        reply = proxy.ask(part(name) + JPEG + b"\r\n" + body, headers, key=key)
        assert reply.failure == (400, "InvalidRequest")
        assert "send one image a request" in reply.content["message"]


@pytest.mark.parametrize(
    "name",
    [
        *("X-Max-Face", "x_max_faces", "Max-Faces", "X-Min-Confidance"),
        *("X-Attribute", "X_Top_K", "X-Distributions", "X-Relative-Box", "X-Annotated"),
        *("X-Min-Confidense", "X-Quallity", "X-Distributon", "X-Relativ", "X-Anotate"),
        *("X-Rotation", "X-Auto-Rotate"),
    ],
)
def test_header_that_is_meant_for_an_option(proxy: Proxy, key, name):
    reply = proxy.ask(CHEAP, BYTES | {name: "1", "X-Max-Faces": "2"}, key=key)
    assert reply.failure == (400, "InvalidOption")
    assert reply.content["message"] == (
        f"there is no option '{name.lower()}'; known headers are X-Min-Confidence, X-Max-Faces, "
        "X-Attributes, X-Top-K, X-Distribution, X-Quality, X-Relative, X-Rotate, X-Annotate"
    )


OPTIONS = {
    "min_confidence": "0.5",
    "max_faces": "300",
    "attributes": "age",
    "top_k": "3",
    "distribution": "true",
    "quality": "true",
    "relative": "true",
    "rotate": "auto",
    "annotate": "png",
}


@pytest.mark.parametrize("way", ["headers", "form"])
def test_all_options(proxy: Proxy, key, way):
    """As headers, and in the largest form that passes."""
    assert OPTIONS.keys() == {field.name for field in dataclasses.fields(Options)}
    if way == "form":
        parts = {name: (text.encode(), None) for name, text in OPTIONS.items()}
        body, headers = multipart({"data": (JPEG, "image/jpeg")} | parts)
    else:
        headers = {f"X-{name.replace('_', '-')}": text for name, text in OPTIONS.items()}
        body, headers = JPEG, BYTES | headers
    reply = proxy.ask(body, headers, key=key)
    assert reply.status == 200
    assert reply.type == "image/png"


def test_options_of_an_answer(proxy: Proxy, key):
    headers = {
        f"X-{name.replace('_', '-')}": text for name, text in OPTIONS.items() if name != "annotate"
    }
    (face,) = proxy.ask(JPEG, BYTES | headers, key=key).content["faces"]
    assert face.keys() >= {"age", "age_distribution", "quality", "relative_box"}


def test_a_picture_by_the_accepted_types(proxy: Proxy, key):
    reply = proxy.ask(JPEG, BYTES | {"Accept": "image/jpeg"}, key=key)
    assert (reply.status, reply.type) == (200, "image/jpeg")


@pytest.mark.parametrize("name", ["X-Attributes", "X-Top-K"])
def test_option_that_is_too_long(proxy: Proxy, key, name):
    reply = proxy.ask(CHEAP, BYTES | {name: "1" * 1025}, key=key)
    assert reply.failure == (400, "InvalidOption")
    assert reply.content["message"] == f"{name} has at most 1024 letters"
    passed = proxy.ask(CHEAP, BYTES | {name: "1" * 1024}, key=key)
    assert " must be " in passed.content["message"]  # the service's own words


def test_headers_of_others(proxy: Proxy, key):
    names = ("X-Request-Id", "X-Forwarded-For", "X-B3-TraceId", "Max-Forwards", "X_Real_IP")
    reply = proxy.ask(CHEAP, BYTES | dict.fromkeys(names, "1"), key=key)
    assert reply.failure == (415, "UnsupportedImageFormat")


MOST_FACES = "max_faces must be a whole number from 1 to 300, not 301"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param((JPEG, BYTES | {"X-Max-Faces": "301"}), id="header"),
        pytest.param(as_json(data=base64_of(JPEG), max_faces=301), id="JSON"),
        pytest.param(multipart({"data": (JPEG, None), "max_faces": (b"301", None)}), id="form"),
        # a header of the client's own does not get there
        pytest.param((JPEG, BYTES | {"X-Max-Faces": "301", "X-Most-Faces": "999"}), id="raised"),
    ],
)
def test_more_faces_than_strangers_may_ask_for(proxy: Proxy, key, sent):
    reply = proxy.ask(*sent, key=key)
    assert reply.failure == (400, "InvalidOption")
    assert reply.content["message"] == MOST_FACES


def test_as_many_faces_as_strangers_may_ask_for(proxy: Proxy, key):
    assert proxy.ask(JPEG, BYTES | {"X-Max-Faces": "300"}, key=key).status == 200


def part(name: str, more: str = "") -> bytes:
    return f'--boundary\r\nContent-Disposition: form-data; name="{name}"\r\n{more}\r\n'.encode()


END = b"\r\n--boundary--\r\n"
LENGTH = "a part of a form has the header content-length with a value that cannot be"
OTHERS = "a part of a form has the headers Content-Disposition and Content-Type, and no others"


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        pytest.param(
            part("data", f"X: {'x' * HEAD}\r\n") + JPEG + END,
            "multipart/form-data; boundary=boundary",
            "a part of a form begins with at most 1024 bytes of headers",
            id="headers of a part",
        ),
        pytest.param(
            part("data", "Content-Type: multipart/mixed; boundary=b\r\n") + b"--b\r\n" + END,
            "multipart/form-data; boundary=boundary",
            "a part of a form is no form itself",
            id="form in a form",
        ),
        pytest.param(
            part("data", "Content-Type : Multipart/Mixed; boundary=b\r\n") + b"--b\r\n" + END,
            "multipart/form-data; boundary=boundary",
            "a part of a form is no form itself",
            id="form in a form, written oddly",
        ),
        pytest.param(
            part("data", "Content-Transfer-Encoding: base64\r\n") + b"/9j/" + END,
            "multipart/form-data; boundary=boundary",
            "a part of a form is sent as it is, without a Content-Transfer-Encoding",
            id="form in base64",
        ),
        *(
            pytest.param(
                part("data", f"{header}\r\n") + JPEG + END,
                "multipart/form-data; boundary=boundary",
                message,
                id=header,
            )
            for header, message in {
                "Content-Length: 99999999": LENGTH,
                "content-length : 99999999": LENGTH,
                "Content-Length: 20971520": LENGTH,
                "Content-Length: 1e9": LENGTH,
                "Content-Length: 9\r\nContent-Length: 99999999": OTHERS,
                "X-Header: 1": OTHERS,
                "Content-Length: 9\nContent-Length: 99999999": OTHERS,
                "Content-Type: image/jpeg\r\n Content-Length: 99999999": OTHERS,
                'Content-Disposition: form-data; name="data"': OTHERS,
            }.items()
        ),
        pytest.param(
            part("") + JPEG + END,
            "multipart/form-data; boundary=boundary",
            "a part of a form has the header content-disposition with a value that cannot be",
            id="an empty name",
        ),
        pytest.param(
            b"--boundary\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG + END,
            "multipart/form-data; boundary=boundary",
            "a part of a form has a name",
            id="no name",
        ),
        pytest.param(
            b"-" * LARGEST,
            "multipart/form-data; boundary=-",
            "a form has at most 10 parts",
            id="ends of a form",
        ),
        pytest.param(
            form(1)[0],
            "multipart/form-data",
            "a form has the type multipart/form-data; boundary=... and nothing more",
            id="no boundary",
        ),
        pytest.param(
            form(1)[0],
            "multipart/form-data; boundary=other; boundary=boundary",
            "a form has the type multipart/form-data; boundary=... and nothing more",
            id="two boundaries",
        ),
    ],
)
def test_form_that_torchserve_might_read_otherwise(proxy: Proxy, key, body, kind, message):
    reply = proxy.ask(body, {"Content-Type": kind}, key=key)
    assert reply.failure == (400, "InvalidRequest")
    assert reply.content["message"] == message


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: image/jpeg",
        "content-type : image/jpeg",
        f"Content-Length: {len(JPEG)}",
        "Content-Transfer-Encoding: binary",
        "Content-Type: image/jpeg\r\nContent-Transfer-Encoding: 8bit",
    ],
)
def test_headers_of_a_part_that_clients_send(proxy: Proxy, key, header):
    """OkHttp sends a length, Apache's HttpClient an encoding."""
    body = part("data", f"{header}\r\n") + JPEG + END
    kind = {"Content-Type": "multipart/form-data; boundary=boundary"}
    reply = proxy.ask(body, kind, key=key)
    assert (reply.status, len(reply.content["faces"])) == (200, 1)


def test_form_without_a_body(proxy: Proxy, key):
    reply = proxy.ask(b"", {"Content-Type": "multipart/form-data; boundary=b"}, key=key)
    assert reply.failure == (400, "InvalidRequest")


def test_requests_of_a_key(proxy: Proxy, key):
    """More than its rate are turned away; another key is not touched."""
    count, start = 80, time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: proxy.ask(CHEAP, BYTES, key=key), range(count)))
    seconds = time.monotonic() - start
    passed = [reply for reply in replies if reply.status == 415]
    refused = [reply for reply in replies if reply.status == 429]
    assert len(passed) + len(refused) == count
    assert 1 + BURST <= len(passed) <= 2 + BURST + PER_SECOND * seconds
    assert refused, f"{count} requests took {seconds:.1f} s"
    for reply in refused:
        assert reply.failure == (429, "TooManyRequests")
        assert reply.retry_after == "1"
    assert proxy.ask(CHEAP, BYTES, key=proxy.new_key()).status == 415
    time.sleep(float(refused[0].retry_after))
    assert proxy.ask(CHEAP, BYTES, key=key).status == 415


def test_the_client_waits_until_it_is_let_in(proxy: Proxy, key, model_file):
    clients = [
        RestClient(proxy.url, api_key=key, ca_file=proxy.certificate, timeout=60) for _ in range(4)
    ]
    with ThreadPoolExecutor(8) as pool:  # until it is turned away
        statuses = list(pool.map(lambda _: proxy.ask(CHEAP, BYTES, key=key).status, range(60)))
        assert 429 in statuses
        answers = list(pool.map(lambda client: client.predict(JPEG), clients))
    for client in clients:
        client.close()
    assert [len(answer.faces) for answer in answers] == [1] * 4


def test_strangers_do_not_use_up_a_key_s_rate(proxy: Proxy, key):
    """They know its name at most: what they send is not counted for it."""
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: proxy.ask(CHEAP, BYTES, key="x" * 43).status, range(60)))
    assert statuses == {401}
    assert proxy.ask(CHEAP, BYTES, key=key).status == 415
