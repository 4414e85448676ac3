"""commands/bulk/ray_job.py without Ray: how a job is laid out, and what its errors say."""

import socket

import pytest

from commands.bulk import ray_job
from commands.bulk.ray_job import Layout, cluster, layout
from server.errors import CommandError


def test_a_cpu_is_left_free() -> None:
    machines = [{"CPU": 4.0, "memory": 1e9}, {"CPU": 8.0}, {"memory": 1e9}]
    assert layout(machines) == Layout(actors=11, cpus=1, gpus=0)
    assert layout([{"CPU": 2.0}]) == Layout(1, 1, 0)
    assert layout(machines, 3) == Layout(3, 1, 0)


@pytest.mark.parametrize("machines", [[], [{}], [{"CPU": 1.0}], [{"CPU": 1.0, "GPU": 1.0}]])
def test_a_cluster_with_one_cpu_is_refused(machines: list[dict[str, float]]) -> None:
    """A job on it would wait for ever."""
    with pytest.raises(CommandError, match=r"CPU, and Ray needs one beside the actor's: start it"):
        layout(machines)


def test_an_actor_a_gpu_shares_the_cpus_of_its_machine() -> None:
    gpus = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0}]
    assert layout(gpus) == Layout(actors=3, cpus=7, gpus=1)
    assert layout(gpus, cpu=True) == Layout(27, 1, 0)
    few = [{"CPU": 4.0, "GPU": 4.0}]
    assert layout(few) == Layout(3, 1, 1), "one CPU is left free here too"
    with pytest.raises(CommandError, match=r"--processes 4: the Ray cluster has room for 3"):
        layout(few, 4)


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        pytest.raises(
            CommandError, match=rf"no Ray cluster at 127.0.0.1:{port}: Connection refused"
        ),
        cluster(f"127.0.0.1:{port}"),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Task failed\n\x1b[36mray::f()\x1b[39m\nOSError: no space\n", "OSError: no space"),
        ("a\nserver.errors.CommandError: node7: no such file\nsome more", "node7: no such file"),
        ("", "RuntimeError"),
    ],
)
def test_the_line_of_an_error(text: str, line: str) -> None:
    assert ray_job._line(RuntimeError(text)) == line
