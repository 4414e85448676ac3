"""Asks the service about a photo."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from demo.cards import Found
from demo.options import Settings
from demo.wording import Trouble, trouble
from face_age_client import ClientError, RestClient
from face_age_client.options import Options


@dataclass(frozen=True)
class Asker:
    """Asks one model of a service; safe for several threads."""

    url: str
    model: str
    connect: Callable[[], RestClient]

    @classmethod
    def of(cls, settings: Settings, model: str) -> "Asker":
        """Raises ValueError on a malformed key, OSError on certificates that cannot be read."""
        connect = partial(
            RestClient,
            settings.url,
            model=model,
            api_key=settings.key,
            ca_file=settings.certificates,
        )
        connect().close()
        return cls(settings.url, model, connect)

    def attributes(self, image: bytes) -> tuple[str, ...]:
        """What the model predicts of an image with a face; none where it does not answer."""
        with self.connect() as client:
            try:
                answer = client.predict(image)
            except ClientError:
                return ()  # whoever asks for a photo is told why
        found = [answer.image or {}, *(face.predictions for face in answer.faces)]
        return tuple(dict.fromkeys(name for each in found for name in each))

    def ask(self, image: bytes, options: Options) -> Found | Trouble:
        """The answer and its picture, which are two requests, or why there is none."""
        with self.connect() as client:
            try:
                answer = client.predict(image, **options)
                return Found(answer, client.picture(image, **options))
            except ClientError as error:
                return trouble(error, self.url, self.model)
