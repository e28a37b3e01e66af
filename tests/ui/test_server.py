"""Promise: the page's server answers only who knows the token, changes only for the page, loses nothing."""

from __future__ import annotations

import http.client
import json
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra ui is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra ui is not installed")

from audiodiff import Denoiser  # noqa: E402
from audiodiff.batch.denoise_task import denoise_file  # noqa: E402
from audiodiff.batch.job_options import Options  # noqa: E402
from audiodiff.batch.naming import sidecar_path  # noqa: E402
from audiodiff.errors import ModelError  # noqa: E402
from audiodiff.inference.engine import Samples  # noqa: E402
from audiodiff.io.loudness import Target  # noqa: E402
from audiodiff.model.config import ModelConfig  # noqa: E402
from audiodiff.model.model import Model  # noqa: E402
from audiodiff.ui.jobs import Desk  # noqa: E402
from tests.ui.served import TOKEN, Served, gated  # noqa: E402

Talk = Callable[..., Samples]
COMMAND = Options(tag=True, sidecar=True)
"""What `audiodiff denoise` does when it is not told otherwise."""


@pytest.fixture(scope="module")
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def served(folder: Path, denoiser: Denoiser) -> Iterator[Served]:
    with Served(Desk(folder, lambda: denoiser), max_bytes=1 << 20) as server:
        yield server


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def lasting(empty: Path, denoiser: Denoiser) -> Iterator[Served]:
    """One server for all tests of what leaves nothing in its folder: each start and end takes a moment."""
    with Served(Desk(empty, lambda: denoiser), max_bytes=1 << 20) as server:
        yield server


@pytest.fixture
def talk(tmp_path: Path, recording: Talk) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, recording(2.0, 16000, 2).T, 16000)
    return path


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/style.css", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/"])
def test_without_the_token_nothing_is_found(lasting: Served, path: str) -> None:
    assert lasting.ask("GET", path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
def test_other_hosts_are_refused(lasting: Served, host: str) -> None:
    assert lasting.ask("GET", f"/{TOKEN}/", headers={"Host": host})[0] == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", ""])
@pytest.mark.parametrize(
    "path", ["rows/new?name=a.wav", "rows/open", "rows/remove-finished", "rows/x/remove"]
)
def test_changes_from_other_pages_are_refused(lasting: Served, path: str, origin: str) -> None:
    status, _, body = lasting.ask("POST", f"/{TOKEN}/{path}", b"{}", {"Origin": origin})
    assert (status, json.loads(body)["code"]) == (403, "foreign")


@pytest.mark.parametrize("name", ["", "style.css", "listen.js", "page.css", "page.js", "wish.js", "state"])
def test_the_page_and_its_headers(lasting: Served, name: str) -> None:
    status, headers, body = lasting.ask("GET", f"/{TOKEN}/{name}")
    assert status == 200
    assert body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("name", ["page.html", "..%2fapp.py", "%2e%2e/app.py", "jobs.py"])
def test_other_files_are_not_there(lasting: Served, name: str) -> None:
    assert lasting.ask("GET", f"/{TOKEN}/{name}")[0] in {404, 400}


def test_a_result_is_that_of_the_command(
    served: Served, talk: Path, tmp_path: Path, denoiser: Denoiser
) -> None:
    number = served.send(talk, "&quality=fast&strength=0.5&lufs=-20&max_reduction_db=12")
    served.desk.wait()
    row = served.row(number)
    assert (row["state"], row["name"], row["target"]) == ("done", "talk.wav", "talk.denoised.wav")
    assert (row["seconds"], row["sample_rate"], row["channels"]) == (2.0, 16000, 2)
    truth = tmp_path / "talk.denoised.wav"
    same = Denoiser(denoiser.model, quality="fast", strength=0.5, max_reduction_db=12.0)
    denoise_file(talk, truth, same, Options(tag=True, sidecar=True, loudness=Target(-20.0)))
    status, headers, body = served.ask("GET", f"/{TOKEN}/rows/{number}/result")
    assert (status, body) == (200, truth.read_bytes())
    assert headers["content-disposition"] == 'attachment; filename="talk.denoised.wav"'
    assert Path(row["path"]).read_bytes() == body
    assert served.ask("GET", f"/{TOKEN}/rows/{number}/sidecar")[2] == sidecar_path(truth).read_bytes()
    part = served.ask("GET", f"/{TOKEN}/rows/{number}/result", headers={"Range": "bytes=100-299"})
    assert (part[0], part[2]) == (206, body[100:300])


def test_a_preview_is_that_of_the_command(
    served: Served, tmp_path: Path, recording: Talk, denoiser: Denoiser
) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, recording(23.0, 16000).T, 16000)
    number = served.send(long, "&preview_s=1.5")
    served.desk.wait()
    truth = tmp_path / "truth.wav"
    denoise_file(long, truth, denoiser, Options(start_s=1.5, end_s=21.5, tag=True, preview=True))
    assert served.row(number)["target"] == "long.denoised.preview.wav"
    assert served.ask("GET", f"/{TOKEN}/rows/{number}/result")[2] == truth.read_bytes()
    assert served.row(number)["listening"]["seconds"] == 20


def test_the_report_is_a_page_of_its_own(served: Served, talk: Path) -> None:
    number = served.send(talk)
    served.desk.wait()
    status, headers, body = served.ask("GET", f"/{TOKEN}/rows/{number}/report")
    assert status == 200
    assert b"<article" in body
    assert "default-src" in body.decode().split("</head>")[0]
    assert headers["content-security-policy"] == "frame-ancestors 'none'"


def test_a_named_file_is_not_copied_and_stays(served: Served, talk: Path) -> None:
    before = talk.read_bytes()
    status, answer = served.change(
        "rows/open", json.dumps({"path": str(talk), "wish": {"quality": "fast"}}).encode()
    )
    assert status == 201
    served.desk.wait()
    row = served.row(answer["row"])
    assert (row["state"], row["target"]) == ("done", "talk.denoised.wav")
    assert not (Path(row["path"]).parent / "talk.wav").exists()
    assert served.change(f"rows/{row['id']}/remove")[0] == 204
    assert not Path(row["path"]).parent.exists()
    assert talk.read_bytes() == before


def test_warnings_name_a_recording_as_its_row_does(served: Served, talk: Path) -> None:
    os.truncate(talk, talk.stat().st_size // 2)
    named = json.dumps({"path": str(talk), "wish": {}}).encode()
    numbers = [served.send(talk), served.change("rows/open", named)[1]["row"]]
    served.desk.wait()
    sent, opened = (served.row(number)["warnings"] for number in numbers)
    assert sent == opened
    assert sent[0].startswith("talk.wav: ")


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("talk.wav", b"no audio", "unreadable"),
        ("talk.exe", b"x", "unsupported"),
        ("", b"x", "unsupported"),
        ("big.wav", b"\0" * ((1 << 20) + 1), "too_large"),
    ],
)
def test_what_is_no_recording_is_told_and_leaves_nothing(
    lasting: Served, empty: Path, name: str, body: bytes, code: str
) -> None:
    status, answer = lasting.change(f"rows/new?name={name}", body)
    assert (status, answer["code"]) == (400, code)
    assert str(empty) not in answer["error"]
    assert lasting.rows() == []
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    "query",
    ["strength=2", "quality=worst", "preview_s=-1", "shell=x", "lufs=3", "lufs=nan", "max_reduction_db=-1"],
)
def test_wishes_are_checked(lasting: Served, empty: Path, query: str) -> None:
    status, answer = lasting.change(f"rows/new?name=a.wav&{query}", b"x")
    assert (status, answer["code"]) == (400, "usage")
    assert query.split("=")[0] in answer["error"]
    assert list(empty.iterdir()) == []


def test_relative_paths_and_unknown_rows(lasting: Served) -> None:
    body = json.dumps({"path": "talk.wav", "wish": {}}).encode()
    assert lasting.change("rows/open", body)[0] == 400
    assert lasting.ask("POST", f"/{TOKEN}/rows/x/again", b"{}")[0] == 404
    for what in ("result", "sidecar", "report", "peaks", "sound/0"):
        assert lasting.ask("GET", f"/{TOKEN}/rows/x/{what}")[0] == 404


def test_cleaning_again_keeps_the_first_result(served: Served, talk: Path) -> None:
    first = served.send(talk)
    served.desk.wait()
    result = served.ask("GET", f"/{TOKEN}/rows/{first}/result")[2]
    status, answer = served.change(f"rows/{first}/again", b'{"strength": 0.2}')
    assert status == 201
    served.desk.wait()
    assert [row["id"] for row in served.rows()] == [first, answer["row"]]
    assert served.change(f"rows/{first}/remove")[0] == 204
    assert [row["id"] for row in served.rows()] == [answer["row"]]
    second = served.ask("GET", f"/{TOKEN}/rows/{answer['row']}/result")[2]
    assert len(second) == len(result)
    assert second != result


def test_one_at_a_time_in_order_stop_and_remove(
    folder: Path, talk: Path, denoiser: Denoiser, toy_config: ModelConfig
) -> None:
    gate = threading.Semaphore(0)
    slow = gated(toy_config, gate)
    with Served(Desk(folder, lambda: slow), max_bytes=1 << 20) as served:
        numbers = [served.send(talk) for _ in range(4)]
        assert [row["id"] for row in served.rows()] == numbers
        assert sum(row["state"] == "working" for row in served.rows()) <= 1
        assert served.change(f"rows/{numbers[1]}/stop")[0] == 204
        assert served.change(f"rows/{numbers[2]}/remove")[0] == 204
        assert served.change(f"rows/{numbers[0]}/stop")[0] == 204
        gate.release(1000)
        served.desk.wait()
        states = {row["id"]: row["state"] for row in served.rows()}
        assert states == {numbers[0]: "stopped", numbers[1]: "stopped", numbers[3]: "done"}
        assert served.row(numbers[0])["target"] == ""
        assert served.change(f"rows/{numbers[0]}/again", b"{}")[1] == {"row": numbers[0]}
        served.desk.wait()
        assert served.row(numbers[0])["state"] == "done"
        assert served.change("rows/remove-finished")[0] == 204
        assert served.rows() == []
        assert list(folder.iterdir()) == []


def test_a_new_server_shows_all_and_goes_on(
    folder: Path, talk: Path, denoiser: Denoiser, toy_config: ModelConfig
) -> None:
    gate = threading.Semaphore(0)
    with Served(Desk(folder, lambda: denoiser), max_bytes=1 << 20) as served:
        done = served.send(talk)
        served.desk.wait()
        before = served.ask("GET", f"/{TOKEN}/rows/{done}/result")[2]
    slow = gated(toy_config, gate)
    with Served(Desk(folder, lambda: slow), max_bytes=1 << 20) as served:
        working, waiting = served.send(talk), served.send(talk, "&strength=0.5")
        while (work := served.desk.work) is None:
            served.rows()
        ending = threading.Thread(target=served.desk.close)
        ending.start()
        work.leave.wait()
        gate.release(1000)
        ending.join()
        assert [row["state"] for row in served.rows()] == ["done", "waiting", "waiting"]
    with Served(Desk(folder, lambda: denoiser), max_bytes=1 << 20) as served:
        assert [row["id"] for row in served.rows()] == [done, working, waiting]
        served.desk.wait()
        assert [row["state"] for row in served.rows()] == ["done"] * 3
        assert served.ask("GET", f"/{TOKEN}/rows/{done}/result")[2] == before
        assert served.ask("GET", f"/{TOKEN}/rows/{working}/result")[2] == before


def test_a_large_recording_goes_to_the_disk_and_not_through_memory(folder: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.wav"
    with soundfile.SoundFile(large, "w", 48000, 1, "PCM_16") as file:
        for _ in range(32):
            file.write(np.zeros(1 << 19, dtype=np.int16))

    def load() -> Denoiser:
        raise ModelError("the model is gone")

    with Served(Desk(folder, load), max_bytes=1 << 30) as served, large.open("rb") as body:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        tracemalloc.start()
        try:
            headers = {"Origin": served.origin, "Content-Length": str(large.stat().st_size)}
            connection.request("POST", f"/{TOKEN}/rows/new?name=large.wav", body, headers)
            answer = connection.getresponse()
            _, peak = tracemalloc.get_traced_memory()
            number = json.loads(answer.read())["row"]
        finally:
            tracemalloc.stop()
            connection.close()
        assert peak < large.stat().st_size / 4
        assert (folder / number / "large.wav").stat().st_size == large.stat().st_size
        served.desk.wait()
        assert (served.row(number)["state"], served.row(number)["error"]) == ("failed", "the model is gone")


def test_a_closed_server_hangs_up(served: Served) -> None:
    served.__exit__(None, None, None)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        served.ask("GET", f"/{TOKEN}/")
