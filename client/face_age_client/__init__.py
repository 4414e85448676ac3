"""Client of a face-age service: ages, or what else its models predict of faces and images.

`RestClient` needs only the standard library. `face_age_client.aio.AsyncRestClient` needs the extra
`async`, `face_age_client.rpc.GrpcClient` and `AsyncGrpcClient` the extra `grpc`.
"""

from importlib.metadata import PackageNotFoundError, version

from face_age_client.answer import Answer, Category, Explanation, Face, Ordinal, Quality
from face_age_client.errors import ClientError, Interrupted, Malformed, Refused, Unreachable
from face_age_client.rest import RestClient

__all__ = [
    "Answer",
    "Category",
    "ClientError",
    "Explanation",
    "Face",
    "Interrupted",
    "Malformed",
    "Ordinal",
    "Quality",
    "Refused",
    "RestClient",
    "Unreachable",
    "__version__",
]

try:
    __version__ = version("face-age-client")
except PackageNotFoundError:  # a folder that is not installed
    __version__ = ""
