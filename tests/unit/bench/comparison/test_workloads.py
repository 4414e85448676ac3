import io

import pytest
from PIL import Image

from bench.comparison import workloads
from tests.images import astronaut, encoded, scene, turned


def size(body: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(body)) as image:
        return image.size


def test_portrait(tmp_path):
    file = tmp_path / "face.jpg"
    file.write_bytes(encoded(astronaut()[:288, 80:368], "JPEG"))
    mix = workloads.portrait(file)
    assert [size(body) for body in mix.bodies] == [(512, 512)]


def test_folder_is_sent_as_it_is_in_an_order_of_its_seed(tmp_path):
    bodies = [encoded(scene(20, 30 + n)) for n in range(9)]
    for n, body in enumerate(bodies):
        (tmp_path / f"{n}.png").write_bytes(body)
    mix = workloads.folder(tmp_path, 1)
    assert sorted(mix.bodies) == sorted(bodies)
    assert list(mix.bodies) != bodies
    assert workloads.folder(tmp_path, 1) == mix
    assert workloads.folder(tmp_path, 2).bodies != mix.bodies


def test_written_mix_is_read_in_order(tmp_path):
    bodies = tuple(bytes([n]) for n in range(120))
    folder = workloads.Mix("a mix", bodies).write(tmp_path / "mix")
    assert workloads.read(folder) == list(bodies)


def test_large(tmp_path):
    """Few faces, the largest, none twice, upright."""
    images = [scene(40 + n, 80) for n in range(8)]
    bodies = [encoded(p) for p in images]
    upright = turned(scene(90, 60), 6, "JPEG")
    mix = workloads.Mix("images", (*bodies, bodies[7], upright))
    large = workloads.large(mix, [1, 1, 1, 2, 3, 9, 0, 1, 1, 1])
    assert len(large.bodies) == workloads.LARGE
    sizes = [size(body) for body in large.bodies]
    assert all(w * h == pytest.approx(12e6, rel=1e-3) for w, h in sizes)
    # of the 60 x 90 image and of those that are 47, 44, 43 and 42 high
    assert [w / h for w, h in sizes] == pytest.approx(
        [60 / 90, 80 / 47, 80 / 44, 80 / 43, 80 / 42], rel=1e-3
    )


def test_large_of_crowds_only():
    with pytest.raises(ValueError, match="one to three faces"):
        workloads.large(workloads.Mix("images", (b"a", b"b")), [0, 12])
