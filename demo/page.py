"""The page, in Gradio."""

from collections.abc import Iterable, Iterator, Mapping
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


def build(settings: Settings, folder: Path) -> gr.Blocks:
    """The page; uploads pass through `folder`, which is Gradio's temporary one.

    Raises ValueError and OSError as `Asker.of`.
    """
    askers = {model: Asker.of(settings, model) for model in settings.models}
    photos = Photos()

    def ask(
        shown: Iterable[Photo], model: str, confidence: float, most: float, top: float, quality: bool
    ) -> Iterator[str]:
        options: Options = {
            "min_confidence": confidence,
            "max_faces": int(most),
            "top_k": int(top),
            "quality": quality,
        }
        html = ""
        for photo in shown:
            html += card(photo.name, askers[model].ask(photo.content, options))
            yield html

    def ask_uploads(
        request: gr.Request, uploads: list[str] | str | None, *chosen: Any
    ) -> Iterator[tuple[Any, Any]]:
        taken = take([uploads] if isinstance(uploads, str) else uploads or [], folder)
        yield from ask_photos(taken, chosen, request)

    def ask_photos(
        shown: list[Photo], chosen: tuple[Any, ...], request: gr.Request
    ) -> Iterator[tuple[Any, Any]]:
        photos.put(_page(request), shown)
        yield gr.skip(), None  # the field is free for more
        for html in ask(shown, *chosen):
            yield html, gr.skip()

    def ask_example(request: gr.Request, *chosen: Any) -> Iterator[str]:
        shown = [Photo("example.jpg", EXAMPLE.read_bytes())]
        photos.put(_page(request), shown)
        yield from ask(shown, *chosen)

    def ask_again(request: gr.Request, *chosen: Any) -> Iterator[str]:
        shown = photos.get(_page(request))
        yield from ask(shown, *chosen) if shown else [_note(FORGOTTEN)]

    def clear(request: gr.Request) -> str:
        photos.forget(_page(request))
        return _note(PROMPT)

    def leave(request: gr.Request) -> None:
        photos.forget(_page(request))
        sweep(folder)

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
                    chosen = _options(settings)
                with gr.Row():
                    again = gr.Button(AGAIN, min_width=100)
                    cleared = gr.Button("Clear", min_width=100)
            with gr.Column(scale=2, min_width=280):
                answers = gr.HTML(_note(PROMPT), elem_id="answers")
        quiet: Mapping[str, Any] = {"api_visibility": "private"}
        files.upload(ask_uploads, [files, *chosen], [answers, files], **quiet)
        webcam.input(ask_uploads, [webcam, *chosen], [answers, webcam], **quiet)
        example.click(ask_example, chosen, answers, **quiet)
        again.click(ask_again, chosen, answers, **quiet)
        cleared.click(clear, None, answers, **quiet)
        page.unload(leave)
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


def _options(settings: Settings) -> list[Any]:
    """The model, then the request's options."""
    several = len(settings.models) > 1
    return [
        gr.Dropdown(list(settings.models), value=settings.models[0], label="Model", visible=several),
        gr.Slider(0, 1, 0.9, step=0.05, label="Confidence that it is a face, at least"),
        gr.Slider(1, 300, 300, step=1, label="Faces, at most"),
        gr.Slider(1, 20, 5, step=1, label="Categories with their probability, where it predicts some"),
        gr.Checkbox(label="Sharpness, brightness and roll of each face"),
    ]


def _note(text: str) -> str:
    return f"<p>{text}</p>"


def _page(request: gr.Request) -> str:
    return str(request.session_hash)
