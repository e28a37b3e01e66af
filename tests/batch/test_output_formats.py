"""Promise: names, resume and sidecar know what was asked of the format; lossy outputs keep their band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiodiff import Denoiser
from audiodiff.batch.batch_spec import Item, JobSpec, run_one
from audiodiff.batch.denoise_task import DenoiseSettings, denoise_file
from audiodiff.batch.job_options import Options
from audiodiff.batch.plan import plan
from audiodiff.batch.sidecar import read_sidecar
from audiodiff.batch.vocode_task import VocodeSettings
from audiodiff.errors import AudioFileError, ConfigError
from audiodiff.inference.engine import Samples
from audiodiff.io.bit_rates import source_bit_rate
from audiodiff.io.channel_layout import read_layout
from audiodiff.io.reader import probe, read
from audiodiff.model.model import Model

MakeSpec = Callable[..., JobSpec]
Recording = Callable[..., Samples]


@pytest.mark.slow
def test_a_cleaned_mp3_keeps_its_bits_and_its_band(
    tmp_path: Path, toy_model: Model, recording: Recording
) -> None:
    source, target = tmp_path / "a.mp3", tmp_path / "b.mp3"
    rate, tone = 48_000, 19_000
    turning = np.exp(2j * np.pi * tone * np.arange(2 * rate) / rate)
    x = 0.5 * recording(2.0, rate) + (0.1 * turning.real).astype(np.float32)
    with soundfile.SoundFile(
        source, "w", rate, 1, "MPEG_LAYER_III", format="MP3", compression_level=0.0, bitrate_mode="CONSTANT"
    ) as file:
        file.write(x.T)
    denoise_file(source, target, Denoiser(toy_model, strength=0.01, threads=1))
    assert source_bit_rate(probe(target)) == pytest.approx(source_bit_rate(probe(source)), rel=1e-4)
    levels = [abs(np.mean(read(path)[0][0] * turning)) for path in (source, target)]
    assert 20 * np.log10(levels[1] / levels[0]) == pytest.approx(0, abs=1)


def test_the_format_names_the_targets_of_a_batch(shows: Path) -> None:
    (shows / "old" / "a.wav").unlink()
    items = plan([shows], shows.parent / "clean", Options(format="mp3"), DenoiseSettings()).items
    assert [str(item.target.relative_to(shows.parent)) for item in items] == [
        "clean/a.mp3",
        "clean/b.mp3",
        "clean/old/broken.mp3",
        "clean/old/c.mp3",
    ]
    assert (
        plan([shows], None, Options(format="flac"), VocodeSettings()).items[0].target
        == shows / "a.vocoded.flac"
    )
    assert plan([shows], None, Options(format="m4a"), DenoiseSettings(), ".preview").items[0].target == (
        shows / "a.denoised.preview.m4a"
    )


def test_inputs_that_would_share_a_target_are_refused(shows: Path) -> None:
    (shows / "a.flac").write_bytes((shows / "b.flac").read_bytes())
    with pytest.raises(AudioFileError) as caught:
        plan([shows], shows.parent / "clean", Options(format="mp3"), DenoiseSettings())
    assert caught.value.code == "collision"


def test_resume_and_sidecar_know_what_was_asked(
    tmp_path: Path, make_spec: MakeSpec, recording: Recording
) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.mp3"
    soundfile.write(source, recording(1.0, 44_100).T, 44_100)
    spec = make_spec(DenoiseSettings(quality="fast"), Options(sidecar=True, format="mp3", bit_rate=64_000))
    item = Item(source, target, "a.wav")
    assert [run_one(spec, item).status for _ in range(2)] == ["done", "skipped"]
    told = read_sidecar(target)
    assert told is not None
    assert (told.options["bitrate"], told.options["format"]) == (64_000, "mp3")
    assert source_bit_rate(probe(target)) == pytest.approx(64_000, abs=10)
    other = replace(spec, options=replace(spec.options, bit_rate=128_000))
    refused = run_one(other, item)
    assert refused.fault is not None
    assert refused.fault.code == "exists"
    assert run_one(replace(other, options=replace(other.options, overwrite=True)), item).status == "done"
    assert source_bit_rate(probe(target)) == pytest.approx(128_000, abs=10)
    plain = replace(spec, options=Options())
    assert len({spec.key, other.key, plain.key, replace(spec, options=Options(format="mp3")).key}) == 4


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_a_lossless_format_takes_no_bit_rate(name: str) -> None:
    with pytest.raises(ConfigError):
        Options(bit_rate=128_000, format=name)


@pytest.mark.parametrize("task", [DenoiseSettings(), VocodeSettings()])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_lossless_target_takes_no_bit_rate(
    tmp_path: Path, recording: Recording, task: DenoiseSettings | VocodeSettings, suffix: str
) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, recording(0.1).T, 16_000)
    with pytest.raises(AudioFileError) as caught:
        task.check(source, tmp_path / f"b{suffix}", Options(bit_rate=128_000))
    assert caught.value.code == "format"
    task.check(source, tmp_path / f"b{suffix}", Options())


def test_output_and_residual_tell_of_their_channels(
    tmp_path: Path, toy_model: Model, recording: Recording
) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(source, recording(0.2, 16_000, 4).T, 16_000, "PCM_16", format="WAVEX")
    with source.open("r+b") as file:
        file.seek(40)
        file.write((0x107).to_bytes(4, "little"))  # left, right, centre and one behind
    denoise_file(source, target, Denoiser(toy_model, steps=1, threads=1), Options(residual=True))
    for path in (source, target, tmp_path / "b.residual.wav"):
        assert read_layout(path, 4).mask == 0x107
