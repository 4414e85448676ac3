"""HTML of the report's parts."""

import base64

from train.evaluation.report.page import Section, document, gallery, image, listing, paragraph


def test_texts_are_escaped() -> None:
    assert paragraph("a < b & c") == "<p>a &lt; b &amp; c</p>"
    assert listing(["<a>", "b"]) == "<ul><li>&lt;a&gt;</li><li>b</li></ul>"


def test_an_image_is_embedded() -> None:
    encoded = base64.b64encode(b"png").decode()
    assert image(b"png", 'the "alt"', "x < y") == (
        f'<figure><img src="data:image/png;base64,{encoded}" alt="the &quot;alt&quot;">'
        "<figcaption>x &lt; y</figcaption></figure>"
    )
    assert gallery(["A", "B"]) == '<ul class="faces">\n<li>A</li>\n<li>B</li>\n</ul>'


def test_a_document_lists_its_sections() -> None:
    text = document("A & B", [Section("First <1>", ["<p>x</p>"]), Section("Second", [])])
    assert "<title>A &amp; B</title>" in text
    assert '<li><a href="#part-1">First &lt;1&gt;</a></li>' in text
    assert '<section id="part-2">\n<h2>Second</h2>\n\n</section>' in text
    assert "default-src &#x27;none&#x27;" in text  # the browser fetches nothing
