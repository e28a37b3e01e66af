"""Promise: a vocoder keeps length, time axis and seed, gives in chunks what it gives at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import audiodiff
from audiodiff.errors import ConfigError, MelError, ModelError, ShapeError
from audiodiff.inference import mel_guard, waveform_sampler
from audiodiff.inference.vocoder import COPY_MEL, Vocoder
from audiodiff.io.disk_buffer import DiskBuffer
from audiodiff.model.model import Model, assemble
from audiodiff.model.shipped import default_vocoder
from audiodiff.networks.contract import Features
from audiodiff.signal import mel_inversion
from audiodiff.signal.mel import PRESETS, MelSpec, mel
from audiodiff.signal.mel_presets import names_of
from tests.errors import refused

MakeWave = Callable[..., Model]
Recording = Callable[..., npt.NDArray[np.float32]]
HIFIGAN = PRESETS["hifigan"]
TINY = MelSpec(sample_rate=8000, n_fft=256, hop=64, win=256, f_min=0, f_max=4000, n_mels=20)


def a_mel(recording: Recording, spec: MelSpec = HIFIGAN, seconds: float = 0.6) -> Tensor:
    n_samples = round(seconds * spec.sample_rate) // spec.hop * spec.hop
    wave = recording(seconds + 0.1, spec.sample_rate)[0, :n_samples]
    return mel(torch.from_numpy(wave), spec)


def middle(wave: Any) -> float:
    """Centre of a waveform's energy in samples."""
    energy = np.square(wave, dtype=np.float64)
    return float((energy * np.arange(len(energy))).sum() / energy.sum())


class Spoilt(nn.Module):
    """A network of spectra whose estimate is its state times a factor."""

    reach_encode = reach_step = 0

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def encode(self, cond: Tensor) -> Features:
        return (cond,)

    def forward(self, x_t: Tensor, t: Tensor, h: Features) -> Tensor:  # noqa: ARG002  the contract's arguments
        return self.factor * h[0]


def spoilt(model: Model, factor: float) -> Model:
    config = model.config.model_copy(update={"reach_encode": 0, "reach_step": 0})
    return assemble(config, Spoilt(factor))


@pytest.mark.parametrize("name", sorted({names_of(spec)[0] for spec in PRESETS.values()}))
def test_every_convention_is_inverted_with_its_length(name: str, recording: Recording) -> None:
    spec = PRESETS[name]
    values = a_mel(recording, spec, 0.3)
    wave = Vocoder("inversion", quality="fast").vocode(values, name)
    assert wave.shape == (spec.span(values.shape[1]),)
    assert wave.abs().max() > 0.05


def test_the_default_is_what_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiodiff.model.shipped.SHIPPED", tmp_path)
    assert default_vocoder() == audiodiff.Vocoder().name == "inversion"
    (tmp_path / "voice").mkdir()
    (tmp_path / "voice" / "config.json").write_text("{}")
    assert default_vocoder() == "voice"


def test_types_presets_and_seed(recording: Recording) -> None:
    values = a_mel(recording, seconds=0.3)
    vocoder = Vocoder("inversion", quality="fast", seed=3)
    tensor = vocoder.vocode(values, HIFIGAN)
    array = vocoder.vocode(values.numpy().astype(np.float64), "hifigan")
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    assert torch.equal(tensor, torch.from_numpy(array))
    assert torch.equal(tensor, mel_inversion.invert(values, HIFIGAN, "fast", seed=3))
    assert torch.equal(Vocoder("inversion", steps=4, seed=3).vocode(values, HIFIGAN), tensor)
    assert [Vocoder("inversion", quality=name).steps for name in ("fast", "best")] == [4, 60]


def test_a_voice_that_changes_nothing_gives_its_start(voice_model: Model, recording: Recording) -> None:
    for spec in (HIFIGAN, PRESETS["speecht5"], PRESETS["bigvgan-44k"]):
        values = a_mel(recording, spec, 0.4)
        start = mel_inversion.invert(values, spec, 8, seed=1)
        assert_close(Vocoder(spoilt(voice_model, 1.0), seed=1).vocode(values, spec), start, atol=2e-6, rtol=0)
        untrained = Vocoder(voice_model, seed=1).vocode(values, spec)
        assert (untrained - start).norm() < 0.02 * start.norm()


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments far shorter than the test's mel."""
    monkeypatch.setattr(mel_inversion, "SEGMENT_S", 0.4)
    monkeypatch.setattr(mel_inversion, "OVERLAP_S", 0.1)
    monkeypatch.setattr(waveform_sampler, "SEGMENT_S", 0.3)


@pytest.mark.usefixtures("short_pieces")
@pytest.mark.parametrize("kind", ["inversion", "voice", "wavenet", "unet1d"])
def test_blocks_change_nothing(
    kind: str, voice_model: Model, make_wave: MakeWave, recording: Recording
) -> None:
    waves = ("wavenet", "unet1d")
    model = make_wave(kind) if kind in waves else voice_model if kind == "voice" else kind
    vocoder = Vocoder(model, quality="fast")
    values = a_mel(recording, TINY, 2.5)
    whole = vocoder.vocode(values, TINY).numpy()
    for sizes in ([1, 0, 200, values.shape[1] - 201], [values.shape[1] - 1, 1]):
        parts = np.concatenate(list(vocoder.stream(torch.split(values, sizes, dim=1), TINY)))
        assert np.array_equal(parts, whole)


@pytest.mark.parametrize("kind", ["wavenet", "unet1d"])
@pytest.mark.parametrize(("quality", "prior"), [("fast", None), ("best", None), ("best", {"kind": "level"})])
def test_segments_of_a_waveform_model_equal_the_whole(
    kind: str, quality: Any, prior: Any, make_wave: MakeWave, recording: Recording
) -> None:
    sampler = Vocoder(make_wave(kind, prior=prior), quality=quality)._sampler
    assert sampler is not None
    values = a_mel(recording, TINY, 2.0)
    whole = torch.cat(list(sampler.stream([values])))
    pieces = list(replace(sampler, segment_s=0.05, tile_s=0.4).stream([values]))
    assert len(pieces) > 1
    assert_close(torch.cat(pieces), whole, atol=1e-5, rtol=1e-5)
    assert len(whole) == values.shape[1] * TINY.hop


def test_projected_segments_equal_the_whole_and_bring_the_mel(
    make_wave: MakeWave, recording: Recording
) -> None:
    model = make_wave("unet1d", prior={"kind": "level", "floor": 1e-3})
    plain = Vocoder(model, quality="fast")._sampler
    assert plain is not None
    sampler = replace(plain, preset=plain.preset.model_copy(update={"project": True}))
    values = a_mel(recording, TINY, 2.0)
    free, whole = (torch.cat(list(each.stream([values]))) for each in (plain, sampler))
    pieces = list(replace(sampler, segment_s=0.05, tile_s=0.4).stream([values]))
    assert len(pieces) > 1
    assert_close(torch.cat(pieces), whole, atol=1e-4, rtol=1e-4)
    away = [(mel(wave, TINY)[:, : values.shape[1]] - values).abs().mean() for wave in (free, whole)]
    assert away[1] < 0.5 * away[0]


def test_a_prior_scales_the_noise_of_a_waveform_model(make_wave: MakeWave, recording: Recording) -> None:
    values = a_mel(recording, TINY)
    with_prior = Vocoder(make_wave(prior={"low": 0.0, "high": 4.0, "floor": 0.1}))
    without = Vocoder(make_wave())
    first, second = (vocoder.vocode(values, TINY) for vocoder in (with_prior, without))
    assert first.shape == second.shape
    assert first.std() < second.std()


def test_sounds_lie_where_the_recording_has_them(voice_model: Model) -> None:
    voiced = sum(np.sin(2 * np.pi * 150 * k * np.arange(4000) / 22050) for k in range(1, 20)) / 100
    for model in ("inversion", voice_model):
        for spec in ("tacotron2", "hifigan"):
            rate = PRESETS[spec].sample_rate
            gaps = []
            for start in (2000, 3100, 4300, 5001):
                burst = np.zeros((1, 12000), dtype=np.float32)
                burst[0, start : start + 4000] = voiced * np.hanning(4000)
                made = np.concatenate(list(Vocoder(model).resynthesise([burst], rate, spec)))
                gaps.append(middle(made) - middle(burst[0]))
            # half a hop, the least that the two kinds of frames can be apart by mistake, is 128 samples
            assert np.abs(gaps).max() < 8


@pytest.mark.parametrize("n_samples", [1, 300, 7777])
@pytest.mark.parametrize("kind", ["inversion", "wavenet"])
def test_copy_synthesis_has_the_length_of_the_recording(
    kind: str, n_samples: int, make_wave: MakeWave, recording: Recording
) -> None:
    stereo = recording(0.5, 16000, channels=2)[:, :n_samples]
    vocoder = Vocoder("inversion" if kind == "inversion" else make_wave(), quality="fast")
    made = np.concatenate(list(vocoder.resynthesise(np.array_split(stereo, 3, axis=1), 16000)))
    rate = vocoder.convention.sample_rate
    assert made.shape == (-(-n_samples * rate // 16000),)
    assert vocoder.convention == (PRESETS[COPY_MEL] if kind == "inversion" else TINY)


@pytest.mark.parametrize(("factor", "reason"), [(float("nan"), "NaN"), (2.0, "left the mel")])
def test_the_guard_gives_the_start_back(
    factor: float, reason: str, voice_model: Model, recording: Recording
) -> None:
    values = a_mel(recording)
    with pytest.warns(UserWarning, match=f"{reason}.*the inversion was taken"):
        wave = Vocoder(spoilt(voice_model, factor)).vocode(values, HIFIGAN)
    assert torch.equal(wave, mel_inversion.invert(values, HIFIGAN, 8))


def test_the_guard_lets_a_changed_result_pass(voice_model: Model, recording: Recording) -> None:
    values = a_mel(recording)
    wave = Vocoder(spoilt(voice_model, 1.04)).vocode(values, HIFIGAN)
    start = mel_inversion.invert(values, HIFIGAN, 8)
    assert_close(wave, 1.04 ** (1 / 0.3) * start, atol=0.02 * float(start.abs().max()), rtol=0)


def test_silence_stays_silence(voice_model: Model) -> None:
    values = mel(torch.zeros(4096), HIFIGAN)
    assert Vocoder(voice_model).vocode(values, HIFIGAN).abs().max() < 1e-4


def test_distance_of_a_mel_is_relative(recording: Recording) -> None:
    values = a_mel(recording)
    n_frames = values.shape[1]
    wave = recording(0.7, HIFIGAN.sample_rate)[0, : HIFIGAN.span(n_frames)]
    with DiskBuffer() as same, DiskBuffer() as louder, DiskBuffer(HIFIGAN.n_mels) as frames:
        same.write(wave)
        louder.write(1.25 * wave)
        frames.write(values.T.numpy())
        assert mel_guard.mel_distance(same, frames, HIFIGAN) < 1e-4
        assert mel_guard.mel_distance(louder, frames, HIFIGAN) == pytest.approx(0.25, abs=1e-3)


def test_a_waveform_model_takes_its_own_mel_and_exact_conversions(
    make_wave: MakeWave, recording: Recording
) -> None:
    vocoder = Vocoder(make_wave(), quality="best")
    values = a_mel(recording, TINY)
    own = vocoder.vocode(values, TINY)
    tenths = replace(TINY, log="log10")
    assert vocoder.accept(values, TINY) == ""
    assert vocoder.accept(values / np.log(10), tenths).startswith("exact: logarithm")
    assert_close(vocoder.vocode(values / np.log(10), tenths), own, atol=1e-4, rtol=0)


def test_a_waveform_model_refuses_another_mel_with_the_difference(
    make_wave: MakeWave, recording: Recording
) -> None:
    vocoder = Vocoder(make_wave())
    values = a_mel(recording)
    with refused(MelError, "convention", "hop: 256 against 64"):
        vocoder.accept(values, HIFIGAN)
    with refused(MelError, "convention", "hop: 256 against 64"):
        vocoder.vocode(values, HIFIGAN)
    higher = replace(TINY, floor=1.0)
    with refused(MelError, "convention", "floor: 1 against 1e-05"):
        vocoder.accept(torch.zeros(20, 5), higher)


def test_refusals(make_wave: MakeWave, toy_model: Model, voice_model: Model) -> None:
    with refused(ModelError, "refused"):
        Vocoder(toy_model)
    with refused(ModelError, "missing", "'nothing-like-it'"):
        Vocoder("nothing-like-it")
    with refused(ConfigError, "config", 7, "--steps 2, 6"):
        Vocoder(make_wave(), steps=7)
    assert [Vocoder(make_wave(), steps=n).steps for n in (2, 6)] == [2, 6]
    assert Vocoder(voice_model, steps=3).steps == 3
    with pytest.raises(ConfigError, match="seed -1"):
        Vocoder("inversion", seed=-1)
    with refused(ConfigError, "config", "'good'"):
        Vocoder("inversion", quality="good")  # type: ignore[arg-type]
    vocoder = Vocoder("inversion")
    with refused(ShapeError, "shape", "[80 bands, frames]", "transpose"):
        vocoder.vocode(torch.zeros(7, 80), "hifigan")
    with pytest.raises(ShapeError, match="1 frames spans no sample"):
        vocoder.vocode(torch.zeros(80, 1), "tacotron2")
    with pytest.raises(MelError, match="NaN"):
        vocoder.vocode(torch.full((80, 9), torch.nan), "hifigan")
    with pytest.raises(MelError, match="did you mean 'hifigan'"):
        vocoder.vocode(torch.zeros(80, 9), "hifigam")


def test_a_mel_in_decibels_is_told_to_be_one(voice_model: Model, recording: Recording) -> None:
    spec = PRESETS["hifigan"]
    ln = mel(torch.from_numpy(recording(0.5, spec.sample_rate)[0]), spec)
    below = (20 / np.log(10) * (ln - ln.max())).clamp_min(-80)
    for model in ("inversion", voice_model):
        vocoder = Vocoder(model, quality="fast", threads=1)
        with pytest.raises(MelError) as caught:
            vocoder.vocode(below + 80.5, spec)
        assert "decibels" in str(caught.value)
        with pytest.warns(UserWarning, match="decibels"):
            vocoder.vocode(below, spec)


def test_a_waveform_model_that_fails_is_told(make_wave: MakeWave, recording: Recording) -> None:
    model = make_wave()
    broken = assemble(model.config, model.net)
    with torch.no_grad():
        next(iter(broken.net.parameters())).fill_(torch.nan)
    with pytest.raises(ModelError, match=r"gave NaN or infinity after 0\.0 s"):
        Vocoder(broken).vocode(a_mel(recording, TINY), TINY)


def test_speed_is_a_positive_time(make_wave: MakeWave) -> None:
    assert Vocoder(make_wave()).speed() > 0
    assert Vocoder(make_wave()).is_slow
    assert not Vocoder("inversion").is_slow


def test_threads_are_put_back(recording: Recording) -> None:
    before = torch.get_num_threads()
    stream = Vocoder("inversion", threads=before + 1).stream([a_mel(recording)], HIFIGAN)
    next(stream)
    assert torch.get_num_threads() == before
