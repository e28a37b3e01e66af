"""Guards: items are finite, at their level and SNR, of one split; clean, silent or limited where stated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiodiff.data.mixing import GENERATED, Item, MixConfig, at_snr, draw_item
from audiodiff.data.sources import Sources, draw_speech, draw_voices, open_sources
from audiodiff.data.store import Store
from audiodiff.errors import ConfigError, DataError
from audiodiff.settings import parse
from audiodiff.signal.level import active_db

RATE, N = 16_000, 32_000
SEEDS = st.integers(0, 2**32)
NEVER: dict[str, float] = {name: 0.0 for name in MixConfig.model_fields if name.startswith("p_")}


def config(**changes: object) -> MixConfig:
    """Nothing happens except what is asked for."""
    return MixConfig(**(NEVER | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def draw(store: Store) -> Callable[..., Item]:
    """Items of the training split; redrawn as `dataset.item` does."""
    sources = open_sources(store, "train", {})

    def one(mix: MixConfig, seed: int, n: int = N) -> Item:
        drawn = (draw_item(sources, mix, np.random.default_rng([seed, k]), n) for k in range(20))
        return next(item for item in drawn if item is not None)

    return one


@given(st.floats(-10, 30), st.floats(-20, 20), SEEDS)
def test_snr_is_the_difference_of_active_levels(snr_db: float, gain_db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    speech = (0.1 * rng.standard_normal(N)).astype(np.float32)
    speech[N // 3 : N // 2] = 0
    noise = np.float32(0.1 * 10 ** (gain_db / 20)) * rng.standard_normal(N, dtype=np.float32)
    scaled = at_snr(noise, speech, snr_db, RATE)
    assert scaled is not None
    speech_db, noise_db = active_db(speech, RATE), active_db(scaled, RATE)
    assert speech_db is not None
    assert noise_db is not None
    assert speech_db - noise_db == pytest.approx(snr_db, abs=0.1)


def test_silence_has_no_snr() -> None:
    tone, nothing = np.ones(N, np.float32) * np.sin(np.arange(N, dtype=np.float32)), np.zeros(N, np.float32)
    assert at_snr(nothing, tone, 0, RATE) is None
    assert at_snr(tone, nothing, 0, RATE) is None


@given(SEEDS)
def test_items_are_finite_loud_and_labelled(draw: Callable[..., Item], seed: int) -> None:
    item = draw(MixConfig(p_codec=0.0), seed)
    assert item.noisy.shape == item.clean.shape == (N,)
    assert item.noisy.dtype == item.clean.dtype == np.float32
    assert np.isfinite(item.noisy).all()
    assert np.isfinite(item.clean).all()
    assert active_db(item.noisy, RATE) == pytest.approx(-25, abs=0.01)
    assert item.clean.any() == bool(item.meta.speaker)
    assert 0 < item.bandwidth_hz <= RATE // 2


@pytest.mark.parametrize("kind", ["recorded", *GENERATED])
@given(seed=SEEDS)
@settings(max_examples=8)
def test_every_noise_is_added_at_the_stated_snr(draw: Callable[..., Item], kind: str, seed: int) -> None:
    item = draw(config(snr_db=(0.0, 10.0), **{f"p_{kind}": 1.0}), seed)
    assert item.meta.snr_db is not None
    clean_db = active_db(item.clean, RATE)
    noise_db = active_db(item.noisy - item.clean, RATE)
    assert clean_db is not None
    assert noise_db is not None
    assert clean_db - noise_db == pytest.approx(item.meta.snr_db, abs=0.1)
    assert all(name.startswith("noise") if kind == "recorded" else name == kind for name in item.meta.noises)


@given(SEEDS)
def test_room_leaves_the_early_part_as_target(draw: Callable[..., Item], seed: int) -> None:
    item = draw(config(p_room=1.0, snr_db=(60.0, 60.0)), seed)
    assert item.meta.room
    # The direct sound of the synthetic room dominates: within a quarter of the shortest pitch period noisy
    # and target correlate best without delay.
    lags = np.fft.irfft(np.fft.rfft(item.noisy) * np.conj(np.fft.rfft(item.clean)))
    assert int(np.argmax(np.roll(lags, 20)[:41])) == 20
    late = item.noisy - item.clean
    assert 0 < float(np.dot(late, late)) < float(np.dot(item.clean, item.clean))


@given(SEEDS)
def test_clean_items_are_left_alone(draw: Callable[..., Item], seed: int) -> None:
    item = draw(MixConfig(p_clean=1.0), seed)
    np.testing.assert_array_equal(item.noisy, item.clean)
    assert item.meta.noises == ()


@given(SEEDS)
def test_noise_only_has_silence_as_target(draw: Callable[..., Item], seed: int) -> None:
    item = draw(MixConfig(p_clean=0.0, p_noise_only=1.0, p_codec=0.0), seed)
    assert not item.clean.any()
    assert item.noisy.any()
    assert item.bandwidth_hz == RATE // 2


@given(SEEDS)
def test_band_limit_holds_for_both(draw: Callable[..., Item], seed: int) -> None:
    item = draw(config(p_band_limit=1.0, cutoffs_hz=(2000, 4000), p_room=0.5), seed)
    assert item.meta.cutoff_hz is not None
    for audio in (item.noisy, item.clean):
        power = np.abs(np.fft.rfft(audio)) ** 2
        assert power[item.meta.cutoff_hz * N // RATE + 1 :].sum() < 1e-8 * power.sum()


def test_bandwidth_follows_speed_and_codec(draw: Callable[..., Item]) -> None:
    for seed in range(8):
        slowed = draw(config(p_speed=1.0, speed=(0.5, 0.5)), seed)
        # Class A goes up to Nyquist, 8 kHz, class a up to 7 kHz.
        assert slowed.bandwidth_hz == {"A": 4000, "a": 3500}[slowed.meta.category]
    bands = {draw(config(p_codec=1.0), seed).bandwidth_hz for seed in range(8)}
    assert bands <= {6000, 7000, 8000}
    assert 6000 in bands


@given(SEEDS)
@settings(max_examples=20)
def test_only_the_asked_split_is_drawn(store: Store, seed: int) -> None:
    for split, speakers, noises in (("train", range(5), range(2)), ("dev", range(5, 9), range(2, 4))):
        sources = open_sources(store, "train" if split == "train" else "dev", {})
        item = draw_item(sources, MixConfig(p_codec=0.0), np.random.default_rng(seed), N)
        if item is not None:
            assert item.meta.speaker in {"", *(f"speaker{k}" for k in speakers)}
            recorded = {kind for kind in item.meta.noises if kind.startswith("noise")}
            assert recorded <= {f"noise{k}" for k in noises}


def test_full_band_classes_are_drawn_more_often(store: Store) -> None:
    sources = open_sources(store, "train", {"A": 3.0, "a": 1.0})
    drawn = [draw_speech(sources, np.random.default_rng(k), 800).category for k in range(400)]
    # Three A speakers of five at triple weight: 9 of 11; four standard deviations are 0.08.
    assert drawn.count("A") / 400 == pytest.approx(9 / 11, abs=0.08)


def test_weight_zero_leaves_a_class_out(store: Store) -> None:
    sources = open_sources(store, "dev", {"A": 0.0})
    assert {draw_speech(sources, np.random.default_rng(k), 800).category for k in range(40)} == {"a"}
    with pytest.raises(DataError, match="no speech of split dev"):
        open_sources(store, "dev", {"A": 0.0, "a": 0.0})


@given(SEEDS, st.integers(100, 3 * RATE))
def test_joined_clips_fill_the_segment_with_gaps(store: Store, seed: int, n: int) -> None:
    sources: Sources = open_sources(store, "train", {})
    speech = draw_speech(sources, np.random.default_rng(seed), n)
    assert speech.audio.shape == (n,)
    assert np.isfinite(speech.audio).all()
    silent = np.flatnonzero(np.diff(np.concatenate([[0], speech.audio == 0, [0]]).astype(int)))
    # No gap is longer than 400 ms and a faded sample at each side.
    assert max(np.diff(silent)[::2], default=0) <= 0.4 * RATE + 2


def test_babble_is_other_people(store: Store) -> None:
    sources = open_sources(store, "train", {})
    assert 4 <= len(draw_voices(sources, np.random.default_rng(0), 1000, "speaker0")) <= 8
    alone = open_sources(store, "train", {"A": 0.0})
    names = {store.entries[p].speaker for p in alone.speech}
    assert names == {"speaker1", "speaker3"}
    # Two people: whoever speaks, the babble is the other one; nobody else, no babble.
    assert draw_voices(alone, np.random.default_rng(0), 1000, "speaker1")


def test_recipe_section_is_strict() -> None:
    mix = parse(MixConfig, {"snr_db": [0.0, 5.0], "p_room": 0.0}, "recipe.toml")
    assert mix.snr_db == (0.0, 5.0)
    with pytest.raises(ConfigError, match="did you mean 'p_room'"):
        parse(MixConfig, {"p_rooms": 0.5}, "recipe.toml")
    with pytest.raises(ConfigError, match="p_hum"):
        parse(MixConfig, {"p_hum": 1.5}, "recipe.toml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"snr_db": [20.0, -5.0]},
        {"speed": [0.0, 1.0]},
        {"high_pass_hz": [0.0, 100.0]},
        {"overload_db": [-3.0, 6.0]},
        {"cutoffs_hz": [0, 4000]},
        {"class_weights": {"A": -1.0}},
    ],
)
def test_ranges_that_would_break_an_item_are_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))) as caught:
        parse(MixConfig, wrong, "recipe.toml")
    assert "\n" not in str(caught.value)
