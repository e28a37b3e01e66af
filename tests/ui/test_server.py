"""Promise: the page's server answers only who knows the token and does only what it offers."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytest.importorskip("starlette", reason="the extra ui is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra ui is not installed")

from audiodiff import Denoiser  # noqa: E402
from audiodiff.batch.denoise_task import denoise_file  # noqa: E402
from audiodiff.errors import AudioFileError  # noqa: E402
from audiodiff.inference.engine import Samples  # noqa: E402
from audiodiff.io.reader import probe  # noqa: E402
from audiodiff.model.model import Model  # noqa: E402
from audiodiff.ui.jobs import Busy, Desk, Recording, Wish  # noqa: E402
from tests.ui.served import TOKEN, Served  # noqa: E402

Talk = Callable[..., Samples]


@pytest.fixture
def denoiser(toy_model: Model) -> Denoiser:
    return Denoiser(toy_model)


@pytest.fixture
def served(tmp_path: Path, denoiser: Denoiser) -> Iterator[Served]:
    (tmp_path / "desk").mkdir()
    with Served(Desk(tmp_path / "desk", lambda: denoiser), max_bytes=1 << 20) as server:
        yield server


@pytest.fixture
def talk(tmp_path: Path, recording: Talk) -> Path:
    path = tmp_path / "talk.wav"
    soundfile.write(path, recording(2.0, 16000, 2).T, 16000)
    return path


def order(recording: str, **changes: object) -> str:
    return json.dumps({"recording": recording, "strength": 1, "quality": "balanced", **changes})


def upload(served: Served, path: Path) -> dict[str, Any]:
    status, _, body = served.ask("POST", f"/{TOKEN}/recordings/new?name={path.name}", path.read_bytes())
    assert status == 200, body
    answer: dict[str, Any] = json.loads(body)
    return answer


def finished(served: Served, body: str) -> tuple[str, dict[str, Any]]:
    status, _, answer = served.ask("POST", f"/{TOKEN}/jobs/new", body.encode())
    assert status == 202, answer
    job = json.loads(answer)["job"]
    assert served.desk._thread is not None
    served.desk._thread.join()
    return job, json.loads(served.ask("GET", f"/{TOKEN}/jobs/{job}")[2])


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/style.css", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/"])
def test_without_the_token_nothing_is_found(served: Served, path: str) -> None:
    assert served.ask("GET", path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
def test_other_hosts_are_refused(served: Served, host: str) -> None:
    assert served.ask("GET", f"/{TOKEN}/", headers={"Host": host})[0] == 400


@pytest.mark.parametrize("name", ["", "style.css", "player.js", "page.css", "page.js"])
def test_the_page_and_its_headers(served: Served, name: str) -> None:
    status, headers, body = served.ask("GET", f"/{TOKEN}/{name}")
    assert status == 200
    assert body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("name", ["page.html", "..%2fapp.py", "%2e%2e/app.py", "desk.py"])
def test_other_files_are_not_there(served: Served, name: str) -> None:
    assert served.ask("GET", f"/{TOKEN}/{name}")[0] in {404, 400}


def test_clean_and_download_in_ranges(served: Served, talk: Path, tmp_path: Path, denoiser: Denoiser) -> None:
    taken = upload(served, talk)
    assert (taken["seconds"], taken["rate"], taken["channels"]) == (2.0, 16000, 2)
    job, state = finished(served, order(taken["recording"], strength=0.5, quality="fast"))
    assert (state["state"], state["name"], state["saved"]) == ("done", "talk.denoised.wav", "")
    denoise_file(talk, tmp_path / "truth.wav", Denoiser(denoiser.model, quality="fast", strength=0.5))
    truth = (tmp_path / "truth.wav").read_bytes()
    status, headers, body = served.ask("GET", f"/{TOKEN}/jobs/{job}/result?save=1")
    assert (status, body) == (200, truth)
    assert headers["content-disposition"] == 'attachment; filename="talk.denoised.wav"'
    part = {"Range": "bytes=100-299"}
    status, headers, body = served.ask("GET", f"/{TOKEN}/jobs/{job}/result", headers=part)
    assert (status, body) == (206, truth[100:300])
    assert headers["content-range"] == f"bytes 100-299/{len(truth)}"
    assert b"<article" in served.ask("GET", f"/{TOKEN}/jobs/{job}/card")[2]


def test_a_preview_makes_no_result(served: Served, talk: Path) -> None:
    taken = upload(served, talk)
    job, state = finished(served, order(taken["recording"], preview_s=1.5))
    assert state["state"] == "done"
    assert "name" not in state
    card = served.ask("GET", f"/{TOKEN}/jobs/{job}/card")[2].decode()
    assert 'data-seconds="0.500"' in card
    assert served.ask("GET", f"/{TOKEN}/jobs/{job}/result")[0] == 404


def test_a_named_file_is_saved_beside_and_never_replaced_unasked(served: Served, talk: Path) -> None:
    status, _, body = served.ask(
        "POST", f"/{TOKEN}/recordings/open", json.dumps({"path": str(talk)}).encode()
    )
    assert status == 200
    number = json.loads(body)["recording"]
    _, state = finished(served, order(number))
    target = talk.with_name("talk.denoised.wav")
    assert state["saved"] == str(target)
    first = target.read_bytes()
    _, state = finished(served, order(number, strength=0.2))
    assert state["state"] == "failed"
    assert "exists already" in state["error"]
    assert target.read_bytes() == first
    _, state = finished(served, order(number, strength=0.2, overwrite=True))
    assert state["state"] == "done"
    assert target.read_bytes() != first


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("talk.wav", b"no audio", "unreadable"),
        ("talk.exe", b"x", "unsupported"),
        ("", b"x", "unsupported"),
        ("big.wav", b"\0" * ((1 << 20) + 1), "too_large"),
    ],
)
def test_what_is_no_recording_is_told(
    served: Served, tmp_path: Path, name: str, body: bytes, code: str
) -> None:
    status, _, answer = served.ask("POST", f"/{TOKEN}/recordings/new?name={name}", body)
    assert status == 400
    assert json.loads(answer)["code"] == code


@pytest.mark.parametrize(
    "change", [{"strength": 2}, {"quality": "worst"}, {"preview_s": -1}, {"shell": "x"}, {"strength": "1"}]
)
def test_orders_are_checked(served: Served, talk: Path, change: dict[str, object]) -> None:
    body = order("none", **change).encode()
    status, _, answer = served.ask("POST", f"/{TOKEN}/jobs/new", body)
    assert status == 400
    assert next(iter(change)) in json.loads(answer)["error"]


def test_relative_paths_and_unknown_numbers(served: Served) -> None:
    body = json.dumps({"path": "talk.wav"}).encode()
    assert served.ask("POST", f"/{TOKEN}/recordings/open", body)[0] == 400
    assert served.ask("POST", f"/{TOKEN}/jobs/new", order("none").encode())[0] == 404
    for path in ("jobs/x", "jobs/x/card", "jobs/x/result"):
        assert served.ask("GET", f"/{TOKEN}/{path}")[0] == 404


@pytest.mark.parametrize(
    "name",
    ["../../x.wav", "/etc/x.wav", "..\\x.wav", ".wav.wav", "a\0b.wav", "ä" * 300 + ".wav", "\ud800.wav"],
)
def test_names_stay_in_the_folder(tmp_path: Path, denoiser: Denoiser, name: str) -> None:
    place = Desk(tmp_path, lambda: denoiser).place_for(name)
    assert place.resolve().parent.parent == tmp_path.resolve()
    place.write_bytes(b"x")


def test_one_job_at_a_time_and_stopping(tmp_path: Path, talk: Path, denoiser: Denoiser) -> None:
    begun, go = threading.Event(), threading.Event()

    def load() -> Denoiser:
        begun.set()
        go.wait()
        return denoiser

    desk = Desk(tmp_path, load)
    recording = Recording(talk, probe(talk), own=False)
    number = desk.start(recording, Wish(1.0, "fast"))
    begun.wait()
    with pytest.raises(Busy):
        desk.start(recording, Wish(1.0, "fast"))
    job = desk.job(number)
    assert job is not None
    job.leave.set()
    go.set()
    desk.close()
    assert job.state == "cancelled"
    assert not talk.with_name("talk.denoised.wav").exists()


def test_a_suffix_is_needed(tmp_path: Path, denoiser: Denoiser) -> None:
    with pytest.raises(AudioFileError, match="expected one of"):
        Desk(tmp_path, lambda: denoiser).place_for("notes.txt")


def test_a_closed_server_hangs_up(served: Served) -> None:
    served.__exit__(None, None, None)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        served.ask("GET", f"/{TOKEN}/")
