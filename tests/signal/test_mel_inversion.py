"""Promise: every mel convention comes back as sound of that mel, in place, whatever the chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from audiodiff.errors import ConfigError, MelError, ShapeError
from audiodiff.signal import mel_inversion
from audiodiff.signal.mel import PRESETS, MelSpec, filterbank, mel, stft, to_linear_mel
from audiodiff.signal.mel_inversion import (
    Preset,
    invert,
    invert_long,
    invert_magnitude,
    leading_samples,
    length,
    projection,
)
from audiodiff.signal.resample import resample
from tests.errors import refused

pytestmark = pytest.mark.slow

SPEECH = Path(__file__).parents[2] / "samples" / "interview_clean.flac"
NEPER = {"ln": 1.0, "log10": math.log(10), "db": math.log(10) / 20}
NAMES = ["bigvgan-24k", "tacotron2", "vocos", "diffwave", "styletts2", "espnet-24k", "nemo-hifigan"]
SMALL = MelSpec(
    sample_rate=8000, n_fft=256, hop=64, win=256, f_min=0, f_max=4000, n_mels=30, norm="none", framing="edge"
)


def speech(sample_rate: int, duration_s: float = 2.0) -> torch.Tensor:
    x, rate = soundfile.read(SPEECH, dtype="float32")
    return torch.from_numpy(resample(x[None, : round(rate * duration_s)], rate, sample_rate)[0])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distance(wave: torch.Tensor, values: torch.Tensor, spec: MelSpec) -> float:
    """Mean difference of the wave's mel from the wanted one in nepers."""
    return float((mel(wave, spec)[:, : values.shape[1]] - values).abs().mean()) * NEPER[spec.log] * spec.std


def lag(x: torch.Tensor, y: torch.Tensor) -> int:
    """Samples by which the energy of y comes after that of x."""
    box = np.ones(512) / 512
    a, b = (np.convolve(np.square(v.double().numpy()), box) for v in (x, y))
    return int(correlate(b - b.mean(), a - a.mean(), method="fft").argmax()) - (a.size - 1)


@pytest.mark.parametrize("name", NAMES)
def test_speech_comes_back_in_place(name: str) -> None:
    spec = PRESETS[name]
    x = speech(spec.sample_rate)
    values = mel(x, spec)
    y = invert(values, spec)
    assert y.shape == (length(spec, values.shape[-1]),)
    assert 0 <= x.shape[0] - y.shape[0] < spec.hop
    assert mel(y, spec).shape == values.shape
    assert distance(y, values, spec) < 0.08
    assert abs(lag(x[: y.shape[0]], y)) <= 16
    assert float(y.norm() / x.norm()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["bigvgan-24k", "tacotron2", "espnet-24k"])
def test_clicks_lie_where_they_were(name: str) -> None:
    spec = PRESETS[name]
    x = torch.zeros(2 * spec.sample_rate)
    x[1501::4321] = 0.9
    y = invert(mel(x, spec), spec)
    assert abs(lag(x[: y.shape[0]], y)) <= 1


@pytest.mark.parametrize("name", ["bigvgan-24k", "tacotron2"])
def test_quality_of_speech(name: str) -> None:
    score = pytest.importorskip("pesq").pesq
    spec = PRESETS[name]
    x = speech(spec.sample_rate, 6)
    values = mel(x, spec)
    y = invert(values, spec)
    assert distance(y, values, spec) < 0.06
    ref, est = (resample(v[None, : y.shape[0]].numpy(), spec.sample_rate, 16000)[0] for v in (x, y))
    assert score(16000, ref, est, "wb") > 3.8


@pytest.mark.parametrize("spec", [SMALL, replace(SMALL, power=2), replace(SMALL, win=200, hop=50)])
def test_magnitude_that_is_flat_within_bands_is_exact(spec: MelSpec) -> None:
    magnitude = torch.ones(spec.n_bins, 3) * torch.tensor([0.1, 1.0, 7.0])
    magnitude[filterbank(spec).sum(0) == 0] = 0
    found = invert_magnitude(filterbank(spec) @ magnitude**spec.power, spec)
    torch.testing.assert_close(found, magnitude, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["bigvgan-24k", "styletts2", "espnet-16k", "bigvgan-44k"])
def test_magnitudes_have_the_wanted_bands(name: str) -> None:
    spec = PRESETS[name]
    wanted = filterbank(spec) @ stft(speech(spec.sample_rate, 1), spec).abs() ** spec.power
    away = []
    for iterations in (0, 5, 20, 80):
        found = invert_magnitude(wanted, spec, iterations)
        assert found.min() >= 0
        got = filterbank(spec) @ found**spec.power
        away.append(float((got - wanted).abs().sum() / wanted.sum()))
    assert away == sorted(away, reverse=True)
    assert away[2] < 0.02


def test_more_iterations_bring_the_mel_nearer() -> None:
    spec = PRESETS["hifigan"]
    values = mel(speech(spec.sample_rate, 2), spec)
    presets: list[Preset | int] = [0, 1, "fast", 8, "balanced", "best"]
    away = [distance(invert(values, spec, preset), values, spec) for preset in presets]
    assert away == sorted(away, reverse=True)
    assert away[-1] < 0.035


@pytest.mark.parametrize("name", ["tacotron2", "vocos", "espnet-24k"])
def test_projection_brings_noise_to_the_mel_and_speech_stays(name: str) -> None:
    spec = PRESETS[name]
    wave = speech(spec.sample_rate, 1)
    wave = wave[: wave.shape[0] // spec.hop * spec.hop]
    values = mel(wave, spec)
    values = values[:, : wave.shape[0] // spec.hop]
    project = projection(values, spec)
    rough = wave.std() * noise(wave.shape[0])
    away = [
        distance(x, values, spec) for x in (rough, project(rough), project(project(rough)), project(wave))
    ]
    assert away[0] > 2 * away[1] > 2 * away[2] > 2 * away[3]
    assert project(rough).shape == wave.shape
    inner = slice(spec.n_fft, -spec.n_fft)  # at the ends the convention mirrors and the projection does not
    assert float((project(wave) - wave)[inner].square().mean() / wave.square().mean()) < 1e-4


def test_without_numba_a_random_start_and_more_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PRESETS["bigvgan-24k"]
    values = mel(speech(spec.sample_rate, 2), spec)
    monkeypatch.setattr(mel_inversion, "available", lambda: False)
    y = invert(values, spec, "fast")
    assert distance(y, values, spec) < 0.15
    monkeypatch.setattr(mel_inversion, "EXTRA_ITERATIONS", 0)
    assert distance(invert(values, spec, "fast"), values, spec) > distance(y, values, spec)
    assert torch.equal(invert(values, spec, 12), y)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_silence_stays_silence(name: str) -> None:
    spec = PRESETS[name]
    values = mel(torch.zeros(4000), spec)
    assert not invert(values, spec, 2).any()
    assert not invert(values.half().float(), spec, 2).any()


@pytest.mark.parametrize("name", ["bigvgan-24k", "tacotron2", "wavegrad"])
def test_few_frames(name: str) -> None:
    spec = PRESETS[name]
    values = mel(speech(spec.sample_rate, 2), spec)[:, 40:]
    for n_frames in (1, 2, 3):
        y = invert(values[:, :n_frames], spec, "fast")
        assert y.shape == (spec.hop * n_frames - (0 if spec.framing == "edge" else spec.hop),)
        assert torch.isfinite(y).all()


def test_seed_and_batch() -> None:
    spec = PRESETS["bigvgan-24k"]
    values = mel(speech(spec.sample_rate, 1), spec)
    first = invert(values, spec, "fast", seed=3)
    assert torch.equal(invert(values.double(), spec, 4, seed=3), first)
    assert not torch.equal(invert(values, spec, "fast", seed=4), first)
    together = invert(torch.stack([values - 1, values]), spec, "fast", seed=3)
    assert (together[1] - first).abs().max() < 1e-4


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mel_inversion, "SEGMENT_S", 0.5)
    monkeypatch.setattr(mel_inversion, "OVERLAP_S", 0.2)


@pytest.mark.usefixtures("short_segments")
class TestLong:
    values = mel(0.1 * noise(8000 * 3), SMALL)

    def cut(self, sizes: list[int]) -> Iterator[torch.Tensor]:
        at = 0
        for size in [*sizes, self.values.shape[-1]]:
            yield self.values[:, at : at + size]
            at += size

    @given(st.lists(st.integers(0, 120), max_size=12))
    @settings(deadline=None, max_examples=6)
    def test_blocks_do_not_matter(self, sizes: list[int]) -> None:
        whole = torch.cat(list(invert_long([self.values], SMALL, 2)))
        assert whole.shape == (length(SMALL, self.values.shape[-1]),)
        assert torch.equal(torch.cat(list(invert_long(self.cut(sizes), SMALL, 2))), whole)

    @pytest.mark.parametrize("n_frames", [1, 2, 61, 62, 86, 87, 88, 125, 188])
    @pytest.mark.parametrize("framing", ["edge", "centre"])
    def test_length_and_beginning(self, n_frames: int, framing: str) -> None:
        spec = MelSpec.from_dict(SMALL.as_dict() | {"framing": framing})
        values = self.values[:, :n_frames]
        got = list(invert_long([values], spec, 2))
        assert torch.cat(got).shape == (length(spec, n_frames),)
        if len(got) == 1:
            assert torch.equal(got[0], invert(values, spec, 2))

    def test_nothing_gives_nothing(self) -> None:
        assert list(invert_long([], SMALL)) == []
        assert list(invert_long([self.values[:, :0]], SMALL)) == []

    def test_a_batch_is_cut_alike(self) -> None:
        both = torch.stack([self.values, self.values - 1])
        together = torch.cat(list(invert_long([both], SMALL, 1)), dim=-1)
        alone = torch.cat(list(invert_long([self.values], SMALL, 1)))
        assert together.shape == (2, alone.shape[0])
        assert (together[0] - alone).abs().max() < 1e-4

    def test_joins_of_speech_are_no_worse_than_the_rest(self) -> None:
        spec = PRESETS["bigvgan-24k"]
        values = mel(speech(spec.sample_rate, 4), spec)
        parts = list(invert_long([values], spec))
        assert len(parts) > 5
        whole, cut = ((mel(y, spec) - values).abs().mean(0) for y in (invert(values, spec), torch.cat(parts)))
        joins = torch.tensor([part.shape[0] for part in parts[:-1]]).cumsum(0) // spec.hop
        near = torch.cat([joins + i for i in range(-3, 4)])
        assert cut.mean() < 1.1 * whole.mean()
        assert cut[near].mean() < 1.3 * whole[near].mean()

    def test_a_tone_runs_through_the_joins(self) -> None:
        """Segments with unrelated phases would cancel or jump: the phase must advance evenly everywhere."""
        t = torch.arange(8000 * 3)
        y = torch.cat(
            list(invert_long([mel(0.3 * torch.sin(2 * math.pi * 1000 / 8000 * t), SMALL)], SMALL, 16))
        )
        inner = y[800:-800].double()
        turned = -2 * math.pi * 1000 / 8000 * torch.arange(inner.shape[0], dtype=torch.float64)
        tone = inner * torch.polar(torch.ones_like(inner), turned)
        slow = torch.nn.functional.avg_pool1d(torch.view_as_real(tone).T[None], 160, 8)[0]
        z = torch.complex(slow[0], slow[1])
        assert (z.abs() / z.abs().median() - 1).abs().max() < 0.2
        steps = (z[1:] / z[:-1]).angle()
        assert (steps - steps.median()).abs().max() < 0.1


def test_first_sample_and_length_agree_with_the_frames() -> None:
    for spec in PRESETS.values():
        x = noise(5 * spec.n_fft + 17)
        n_frames = spec.n_frames(x.shape[0])
        assert spec.n_frames(length(spec, n_frames)) == n_frames
        ours = mel_inversion.transform_of(spec)
        k = n_frames // 2
        begin = k * spec.hop - leading_samples(spec)
        assert (
            ours.forward(x[begin : begin + spec.win])[..., 0].abs() - stft(x, spec)[:, k].abs()
        ).abs().max() < 1e-3


def test_bands_at_the_floor_count_as_silence() -> None:
    spec = PRESETS["bigvgan-24k"]
    values = torch.full((100, 4), math.log(spec.floor))
    values[50] = 0.0
    magnitude = invert_magnitude(to_linear_mel(values, spec), spec)
    far = filterbank(spec)[50] == 0
    assert not magnitude[far].any()
    assert magnitude[~far].max() > 0.1


def test_wrong_input_is_refused() -> None:
    values = torch.zeros(30, 8)
    with refused(ShapeError, "shape", 30, [8, 30]):
        invert(values.T, SMALL)
    with refused(ShapeError, "shape", [30, 0]):
        invert(values[:, :0], SMALL)
    with refused(ShapeError, "shape", 30, [29, 8]):
        invert_magnitude(values[:29], SMALL)
    with refused(MelError, "mel", "NaN"):
        invert(values / 0, SMALL)
    with refused(MelError, "mel", "negative"):
        invert_magnitude(values - 1, SMALL)
    with refused(MelError, "mel", 256, 130):
        invert(values, replace(SMALL, hop=130))
    with refused(ConfigError, "config", "'quick'", "fast, balanced, best"):
        invert(values, SMALL, "quick")  # type: ignore[arg-type]
    with refused(ConfigError, "config", -1):
        invert(values, SMALL, -1)
    with refused(ConfigError, "config", "seed", -1):
        invert(values, SMALL, seed=-1)
