"""The page, in Gradio."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import gradio as gr
from starlette.middleware import Middleware

from demo.asking import Asker
from demo.cards import card
from demo.headers import PrivateHeaders
from demo.options import Settings
from demo.photos import Photo, Photos, sweep, take
from demo.wording import AGAIN
from face_age_client.options import Options

HERE: Final = Path(__file__).resolve().parent
EXAMPLE: Final = HERE.parent / "server" / "canned.jpg"
INTRODUCTION: Final = """# Faces and ages

Give photos, and the service draws what it finds on them. An interval is meant to hold the true age
in 90 % of cases. The typical error is several years: **not for decisions about people.**
"""
PROMPT: Final = "No photo yet. Choose some, drop them, paste one (Ctrl+V), or try the example."
FORGOTTEN: Final = "The photos are forgotten. Choose them again."
# Uploads beyond it are refused before they fill the disk; the service says what it takes itself.
LARGEST_UPLOAD: Final = "100mb"


class _Events:
    """What the page's buttons and fields do; `chosen` are the values of `_fields`.

    Gradio passes the request, which tells pages apart, by its annotation.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._askers = {model: Asker.of(settings, model) for model in settings.models}
        self._folder = folder
        self._photos = Photos()
        self._attributes: dict[str, tuple[str, ...]] = {}  # by the model, once they are known

    def offer_attributes(self, model: str) -> Any:
        """The field of attributes, which is there for a model that has several."""
        found = self._attributes.get(model) or self._askers[model].attributes(EXAMPLE.read_bytes())
        self._attributes[model] = found
        return gr.CheckboxGroup(choices=[*found], value=[*found], visible=len(found) > 1)

    def ask_uploads(
        self, request: gr.Request, uploads: list[str] | str | None, *chosen: Any
    ) -> Iterator[tuple[Any, Any]]:
        """The answers, and nothing, which frees the field for more."""
        files = [uploads] if isinstance(uploads, str) else uploads or []
        photos = take(files, self._folder)
        yield gr.skip(), None
        for html in self._ask(request, photos, chosen):
            yield html, gr.skip()

    def ask_example(self, request: gr.Request, *chosen: Any) -> Iterator[str]:
        yield from self._ask(request, [Photo("example.jpg", EXAMPLE.read_bytes())], chosen)

    def ask_again(self, request: gr.Request, *chosen: Any) -> Iterator[str]:
        photos = self._photos.get(_page(request))
        yield from self._ask(request, photos, chosen) if photos else [_note(FORGOTTEN)]

    def clear(self, request: gr.Request) -> str:
        self.leave(request)
        return _note(PROMPT)

    def leave(self, request: gr.Request) -> None:
        self._photos.forget(_page(request))
        sweep(self._folder)

    def _ask(
        self, request: gr.Request, photos: Sequence[Photo], chosen: tuple[Any, ...]
    ) -> Iterator[str]:
        """The answers so far, after each photo."""
        self._photos.put(_page(request), photos)
        model, attributes, *values = chosen
        # those of another model may stand there while the field is on its way
        known = [name for name in attributes if name in self._attributes.get(model, ())]
        html = ""
        for photo in photos:
            answered = self._askers[model].ask(photo.content, _as_options(known, *values))
            html += card(photo.name, answered)
            yield html


def build(settings: Settings, folder: Path) -> gr.Blocks:
    """The page; uploads pass through `folder`, which is Gradio's temporary one.

    Raises ValueError and OSError as `Asker.of`.
    """
    events = _Events(settings, folder)
    with gr.Blocks(title="Faces and ages", analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                files = gr.File(file_count="multiple", label="Photos", elem_id="photos", height=160)
                example = gr.Button("Try the example")
                with gr.Accordion("Webcam", open=False):
                    webcam = gr.Image(
                        sources=["webcam"],
                        type="filepath",
                        image_mode=None,  # as it came
                        label="Webcam",
                        buttons=[],
                    )
                with gr.Accordion("Options", open=False):
                    chosen = _fields(settings)
                with gr.Row():
                    again = gr.Button(AGAIN, min_width=100)
                    clear = gr.Button("Clear", min_width=100)
            with gr.Column(scale=2, min_width=280):
                answers = gr.HTML(_note(PROMPT), elem_id="answers")
        private: Mapping[str, Any] = {"api_visibility": "private"}
        files.upload(events.ask_uploads, [files, *chosen], [answers, files], **private)
        webcam.input(events.ask_uploads, [webcam, *chosen], [answers, webcam], **private)
        example.click(events.ask_example, chosen, answers, **private)
        again.click(events.ask_again, chosen, answers, **private)
        clear.click(events.clear, None, answers, **private)
        model, attributes = chosen[:2]
        page.load(events.offer_attributes, model, attributes, **private)
        model.change(events.offer_attributes, model, attributes, **private)
        page.unload(events.leave)
    return page


def launch(page: gr.Blocks, settings: Settings) -> str:
    """Serve the page from other threads; returns its address. Raises OSError for a taken port."""
    _, address, _ = page.launch(
        server_name=settings.host,
        server_port=settings.port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        run_history=False,  # it would keep photos in the browser
        footer_links=[],
        max_file_size=LARGEST_UPLOAD,
        app_kwargs={"middleware": [Middleware(PrivateHeaders)]},
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css_paths=HERE / "page.css",
        head=f"<script>{(HERE / 'page.js').read_text()}</script>",
    )
    return str(address)


def _fields(settings: Settings) -> list[Any]:
    """The model and its attributes, then what else `_as_options` takes."""
    models = list(settings.models)
    return [
        gr.Dropdown(models, value=models[0], label="Model", visible=len(models) > 1),
        gr.CheckboxGroup(
            [], label="Attributes (none chosen: all)", elem_id="attributes", visible=False
        ),
        gr.Slider(0, 1, 0.9, step=0.05, label="Confidence that it is a face, at least"),
        gr.Slider(1, 300, 300, step=1, label="Faces, at most"),
        gr.Slider(1, 20, 5, step=1, label="Categories, of a model that has some"),
        gr.Checkbox(label="Sharpness, brightness and roll of each face"),
    ]


def _as_options(
    attributes: Sequence[str], confidence: float, faces: float, categories: float, quality: bool
) -> Options:
    return {
        "attributes": attributes,
        "min_confidence": confidence,
        "max_faces": int(faces),
        "top_k": int(categories),
        "quality": quality,
    }


def _note(text: str) -> str:
    return f"<p>{text}</p>"


def _page(request: gr.Request) -> str:
    return str(request.session_hash)
