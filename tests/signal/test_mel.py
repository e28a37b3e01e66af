"""Promise: every preset gives the numbers of the original system; conversions do what their line says."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from audiodiff.errors import MelError, ShapeError
from audiodiff.signal.mel import (
    PRESETS,
    MelSpec,
    convert,
    difference,
    filterbank,
    from_linear_mel,
    mel,
    stft,
    to_linear_mel,
)
from audiodiff.signal.mel_presets import get_convention, names_of
from benchmarks.mel_presets import REFERENCES, clip, deviation
from tests.errors import refused

pytestmark = pytest.mark.usefixtures("librosa_ready")

presets = st.sampled_from(sorted(PRESETS))


def voice(spec: MelSpec, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(clip(spec.sample_rate)).to(dtype)


def loud(spec: MelSpec) -> torch.Tensor:
    """Noise without silence: no band near a floor."""
    noise = torch.randn(9001, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return 0.1 * noise


def test_every_preset_has_a_reference() -> None:
    assert REFERENCES.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_original_formula(name: str) -> None:
    assert deviation(name, torch.float64) < 1e-9
    assert deviation(name, torch.float32) < 5e-4


@pytest.mark.parametrize("name", PRESETS)
def test_the_filter_bank_is_librosas(name: str) -> None:
    spec = PRESETS[name]
    bank = librosa.filters.mel(
        sr=spec.bank_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min,
        fmax=spec.f_max,
        htk=spec.scale == "htk",
        norm="slaney" if spec.norm == "slaney" else None,
        dtype=np.float64,
    )
    assert filterbank(spec).dtype == torch.float32
    assert np.abs(filterbank(spec).numpy() - bank).max() < 1e-7 * bank.max()


@pytest.mark.parametrize("name", ["vocos", "diffwave", "wavefm", "styletts2", "speechbrain-22k"])
def test_torchaudio_agrees(name: str) -> None:
    try:
        from torchaudio.transforms import MelSpectrogram
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"torchaudio does not import here: {error}")
    spec = PRESETS[name]
    transform = MelSpectrogram(
        sample_rate=spec.bank_rate,
        n_fft=spec.n_fft,
        win_length=spec.win,
        hop_length=spec.hop,
        f_min=spec.f_min,
        f_max=spec.f_max,
        n_mels=spec.n_mels,
        power=spec.power,
        normalized=spec.normalized,
        norm="slaney" if spec.norm == "slaney" else None,
        mel_scale=spec.scale,
    )
    x = loud(spec).float()
    theirs = transform(x)
    ours = filterbank(spec) @ stft(x, spec).abs() ** spec.power
    if spec.normalized:
        theirs = theirs * torch.hann_window(spec.win).square().sum().sqrt()
    assert float((ours / theirs).log().abs().max()) < 1e-3


@given(presets, st.integers(1, 3000))
def test_any_length_gives_its_frames(name: str, n_samples: int) -> None:
    spec = PRESETS[name]
    x = 0.1 * torch.ones(2, n_samples)
    values = mel(x, spec)
    assert values.shape == (2, spec.n_mels, spec.n_frames(n_samples))
    assert values.isfinite().all()
    centre = spec.framing == "centre"
    assert spec.n_frames(n_samples) == (
        1 + n_samples // spec.hop if centre else max(1, n_samples // spec.hop)
    )


def test_short_clips_are_mirrored_as_often_as_it_takes() -> None:
    spec = PRESETS["vocos"]
    x = loud(spec)[:300]
    padded = np.pad(x.numpy(), 512, mode="reflect")  # numpy mirrors repeatedly, too
    ours = stft(x, spec)
    theirs = librosa.stft(padded, n_fft=1024, hop_length=256, center=False)
    assert ours.shape == theirs.shape
    assert np.abs(ours.numpy() - theirs).max() < 1e-9


def test_no_samples_are_refused() -> None:
    with refused(ShapeError, "shape"):
        mel(torch.zeros(0), PRESETS["vocos"])


@pytest.mark.parametrize("name", ["hifigan", "tacotron2", "vocos-same", "styletts2"])
def test_frames_are_centred_where_the_convention_says(name: str) -> None:
    spec = PRESETS[name]
    for k in (5, 9):
        x = torch.zeros(8000, dtype=torch.float64)
        x[spec.first_centre + k * spec.hop] = 1
        energy = to_linear_mel(mel(x, spec), spec).sum(dim=0)
        assert int(energy.argmax()) == k
        assert energy[k - 1] == pytest.approx(float(energy[k + 1]))


def test_long_recordings_are_done_in_pieces_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = PRESETS["bigvgan-24k"]
    whole = mel(loud(spec), spec)
    monkeypatch.setattr("audiodiff.signal.mel._FRAMES_AT_ONCE", 7)
    assert (mel(loud(spec), spec) - whole).abs().max() < 1e-12


@given(presets, st.integers(0, 99))
def test_bands_undo_from_bands(name: str, seed: int) -> None:
    spec = PRESETS[name]
    generator = torch.Generator().manual_seed(seed)
    values = mel(torch.randn(4000, generator=generator, dtype=torch.float64) * 0.1, spec)
    linear = to_linear_mel(values, spec)
    assert (linear >= 0).all()
    assert (from_linear_mel(linear, spec) - values).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["vocos", "diffwave", "styletts2", "wavefm", "coqui"])
def test_bands_are_the_filter_bank_of_the_plain_spectrum(name: str) -> None:
    spec = PRESETS[name]
    x = 0.1 * loud(spec)
    plain = filterbank(spec).double() @ stft(x, spec).abs() ** spec.power
    assert (to_linear_mel(mel(x, spec), spec) / plain - 1).abs().max() < 1e-5


def test_cuts_hold() -> None:
    spec = PRESETS["diffwave"]
    energy = 384**0.5  # root of the sum of the squared window
    linear = torch.tensor([0.0, 1e-4, 10.0, 1e3]).expand(80, 4).double() * energy
    assert from_linear_mel(linear, spec)[0].tolist() == pytest.approx([0, 0, 1, 1], abs=1e-12)
    assert from_linear_mel(torch.zeros(80, 1), PRESETS["coqui"])[0, 0] == -4


def test_a_wrong_orientation_is_told() -> None:
    with refused(ShapeError, "shape", [200, 80], "transpose?"):
        to_linear_mel(torch.zeros(200, 80), PRESETS["hifigan"])


def test_gradients_are_finite_in_silence() -> None:
    for name in ("hifigan", "tacotron2", "espnet-22k", "wavefm"):
        x = torch.zeros(2048, requires_grad=True)
        (gradient,) = torch.autograd.grad(mel(x, PRESETS[name]).sum(), x)
        assert gradient.isfinite().all()


@given(presets)
def test_a_spec_survives_json_and_keeps_its_fingerprint(name: str) -> None:
    spec = PRESETS[name]
    again = MelSpec.from_dict(spec.as_dict())
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    assert len(spec.fingerprint) == 16
    assert name in names_of(spec)
    assert replace(spec, floor=spec.floor * 2).fingerprint != spec.fingerprint


def test_fingerprints_do_not_change() -> None:
    """They are stored in model folders and mel files."""
    assert PRESETS["hifigan"].fingerprint == "0a56f233276bd707"
    assert PRESETS["styletts2"].fingerprint == "a2a0a6023155b9f9"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hops": 256}, "unknown key 'hops'; did you mean 'hop'"),
        ({"hop": 0}, "1..n_fft = 1024, got 0"),
        ({"hop": 256.0}, "found 256.0"),
        ({"f_max": 12000}, "11025"),
        ({"scale": "mel"}, "'slaney' or 'htk'"),
        ({"power": True}, "power: "),
        ({"power": 3}, "1 or 2"),
        ({"std": 0.0}, "std"),
        ({"low": 1, "high": 0}, "low 1.0"),
        ({"floor": float("nan")}, "floor: "),
        ({"framing": "edge", "hop": 255}, "even hop"),
    ],
)
def test_a_wrong_spec_is_refused(change: dict[str, object], words: str) -> None:
    values = PRESETS["tacotron2"].as_dict() | change
    with refused(MelError, "mel", words):
        MelSpec.from_dict(values)


def test_a_missing_value_is_named() -> None:
    with refused(MelError, "mel", "'n_fft'"):
        MelSpec.from_dict({"sample_rate": 22050})


def test_a_wrong_name_gets_the_nearest() -> None:
    with refused(MelError, "mel", "'bigvgan_24k', did you mean 'bigvgan-24k'"):
        get_convention("bigvgan_24k")


ELEMENTWISE = [
    ("rfwave", "vocos"),
    ("vocos", "rfwave"),
    ("vocos", "f5-vocos"),
    ("hifigan", "matcha-ljspeech"),
    ("matcha-ljspeech", "hifigan"),
]


@pytest.mark.parametrize(("source", "target"), ELEMENTWISE)
def test_an_exact_conversion_is_the_other_mel(source: str, target: str) -> None:
    a, b = PRESETS[source], PRESETS[target]
    values, exact, note = convert(mel(voice(a), a), a, b)
    assert exact
    assert note.startswith("exact: logarithm, floor and scaling rewritten")
    assert (values - mel(voice(b), b)).abs().max() < 1e-9


def test_diffwave_is_a_plain_magnitude_mel_between_its_cuts() -> None:
    a = PRESETS["diffwave"]
    b = replace(a, normalized=False, log="ln", mean=0.0, std=1.0, low=None, high=None, floor=1e-5)
    x = loud(a)
    values, exact, _ = convert(mel(x, a), a, b)
    assert exact
    assert (values - mel(x, b)).abs().max() < 1e-9


@pytest.mark.parametrize(("source", "target"), [("tacotron2", "apnet2"), ("vocos-same", "rfwave")])
def test_half_a_hop_is_exact_for_the_shifted_recording(source: str, target: str) -> None:
    a, b = PRESETS[source], PRESETS[target]
    x = voice(a)
    values, exact, note = convert(mel(x, a), a, b)
    later = b.framing == "edge"
    shifted = functional.pad(x, (128, 0)) if later else x[128:]
    theirs = mel(shifted, b)
    n = min(values.shape[-1], theirs.shape[-1]) - 2
    assert exact
    assert f"128 samples ({128000 / a.sample_rate:.1f} ms) {'later' if later else 'earlier'}" in note
    assert (values[:, 2:n] - theirs[:, 2:n]).abs().max() < 1e-9


def test_the_safeguard_of_hifigan_stays_below_its_floor() -> None:
    a, b = PRESETS["hifigan"], PRESETS["apnet2"]
    values, exact, note = convert(mel(voice(a), a), a, b)
    assert exact
    assert "moves no band by more than 2e-06" in note
    moved = (to_linear_mel(values, b) - to_linear_mel(mel(voice(b), b), b)).abs().max()
    assert moved < 2e-6 < b.floor


def test_a_lost_floor_is_counted() -> None:
    a, b = PRESETS["f5-vocos"], PRESETS["vocos"]
    source = mel(voice(a), a)
    cells = int((source <= np.log(1e-5) + 1e-9).sum())
    values, exact, note = convert(source, a, b)
    assert not exact
    assert cells > 0
    assert f"approximate: logarithm, floor and scaling rewritten; {cells} of {source.numel()} cells" in note
    assert (values - source).abs().max() < 1e-9
    assert convert(mel(loud(a), a), a, b)[1]


def test_a_lost_top_is_counted() -> None:
    a = PRESETS["diffwave"]
    b = replace(a, low=None, high=None)
    values = torch.full((80, 2), 0.5)
    values[3, 1] = 1.0
    assert "1 of 160 cells lie at the source's upper cut" in convert(values, a, b)[2]


def test_another_window_is_approximate() -> None:
    a, b = PRESETS["apnet2"], PRESETS["nemo-hifigan"]
    values, exact, note = convert(mel(loud(a), a), a, b)
    assert not exact
    assert note.startswith("approximate: the windows differ")
    assert 0 < (values - mel(loud(b), b)).abs().mean() < 3e-3


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("vocos", "bigvgan-24k", "scale htk against slaney, norm none against slaney"),
        ("hifigan", "bigvgan-22k-full", "f_max 8000 against 11025"),
        ("wavefm", "vocos", "power 2 against 1"),
        ("bigvgan-44k", "bigvgan-44k-512x", "n_fft 1024 against 2048, hop 256 against 512"),
        ("speechbrain-16k", "speechbrain-22k", "sample_rate 16000 against 22050"),
        ("styletts2", "espnet-24k", "filter_rate 16000 against its own"),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_the_reason(source: str, target: str, words: str) -> None:
    a, b = PRESETS[source], PRESETS[target]
    with refused(MelError, "convention", words):
        convert(mel(loud(a), a), a, b)


def test_differences_are_symmetric_and_empty_for_itself() -> None:
    for a, b in permutations(PRESETS.values(), 2):
        assert bool(difference(a, b)) == (a.fingerprint != b.fingerprint)
        assert len(difference(a, b)) == len(difference(b, a))
    assert difference(PRESETS["tacotron2"], PRESETS["speechbrain-16k"]) == [
        "sample_rate: 22050 against 16000"
    ]


def test_the_same_convention_changes_nothing() -> None:
    spec = PRESETS["hifigan"]
    values = mel(loud(spec), spec)
    assert convert(values, spec, PRESETS["priorgrad"])[0] is values


def test_a_mel_can_be_learned_through_after_one_was_computed_for_use() -> None:
    spec = replace(PRESETS["hifigan"], f_max=7613.0)  # of no other test: its filters are made here
    with torch.inference_mode():
        mel(loud(spec), spec)
    wave = loud(spec).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mel(wave, spec).sum(), wave)
    assert bool(gradient.any())
