"""Mixing: from a speaker, noises and a room to a noisy recording and what should be left of it.

The order is that of the world: voice, room, noises at an SNR, microphone, converter, codec. Everything linear
that a microphone does to the voice is done to the target too, since it is not the denoiser's to undo.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field, model_validator

from audiodiff.data import channel_effects, synthetic_noise
from audiodiff.data.rooms import in_room
from audiodiff.data.sources import Piece, Sources, Speech, draw_noise, draw_room, draw_speech, draw_voices
from audiodiff.settings import Settings
from audiodiff.signal.level import active_db, gain_of
from audiodiff.signal.types import Audio

Probability = float

# Clips are drawn at -25 dBFS; a stretch with a mean power under -45 dBFS is a pause: its floor is no speech.
QUIETEST_POWER = 10**-4.5

# New kinds go last: the draws of the fixed dev mixtures follow this order.
GENERATED = ("hum", "fan", "hiss", "clicks", "keys", "speech_shaped", "babble", "room_tone")


def _p(default: float) -> Probability:
    """A probability with its default."""
    value: Probability = Field(default=default, ge=0, le=1)
    return value


class MixConfig(Settings):
    """Which corruptions, how often and how strong. Ranges are (lowest, highest), drawn uniformly.

    Attributes:
        level_db: Active level of every noisy item, dBFS; the level at which the model hears recordings.
        class_weights: How much more often a cleanliness class is drawn than its length would give.
        snr_db: Usual signal-to-noise ratio, by active levels.
        quiet_snr_db: The ratio of nearly clean recordings.
        p_quiet: Share of nearly clean recordings.
        podcast_snr_db: The ratio of recordings that someone took care of.
        p_podcast: Share of these among all that are not nearly clean.
        p_clean: Share of items that are clean already.
        p_noise_only: Share of items without speech, whose target is silence.
        p_recorded: Recorded noise, one to three.
        p_hum: Mains hum.
        p_fan: Fan or air conditioning.
        p_hiss: Hiss, pink or brown noise.
        p_clicks: Clicks.
        p_keys: Typing.
        p_speech_shaped: Stationary noise with the spectrum of speech.
        p_babble: Four to eight other people of the same split.
        p_room_tone: The tone of a quiet room: dark noise whose level drifts slowly.
        noise_gain_db: Level of each further noise against the first.
        p_tilt: A darker colour for a noise, each part for itself.
        tilt_db: Fall of such a tilt, dB an octave. Recorded rooms fall about 5 dB an octave (Hoth, J. Acoust.
            Soc. Am. 12, 1941), noises recorded for their own sake less.
        p_room: A room; its first 50 ms stay in the target.
        p_speed: Speech played slower or faster.
        speed: By which factor.
        p_eq: Another voice colour or microphone, on speech and target; and, drawn apart, on the noise.
        eq_db: Bound of each bell of the equaliser.
        noise_eq_db: The same for the noise; None where it is that of the speech.
        p_high_pass: Low cut of the microphone, on everything.
        high_pass_hz: Its cut-off.
        p_band_limit: A lower sample rate, on everything.
        cutoffs_hz: Its possible cut-offs.
        p_drift: Someone who moves, on speech and target.
        drift_db: By how much, either way.
        p_overload: Clipping.
        overload_db: How far the peak is above the ceiling.
        p_codec: A lossy format, one of those that know the rate.
        p_mu_law: Eight-bit telephone quantisation.
    """

    level_db: float = Field(default=-25.0, ge=-60, le=0)
    class_weights: dict[str, float] = Field(
        default_factory=lambda: {"A": 3.0, "B": 3.0, "C": 2.0, "a": 1.5, "b": 1.0, "c": 1.0}
    )
    snr_db: tuple[float, float] = (-5.0, 20.0)
    quiet_snr_db: tuple[float, float] = (20.0, 40.0)
    p_quiet: Probability = _p(0.15)
    podcast_snr_db: tuple[float, float] = (5.0, 25.0)
    p_podcast: Probability = _p(0.0)
    p_clean: Probability = _p(0.05)
    p_noise_only: Probability = _p(0.03)
    p_recorded: Probability = _p(0.85)
    p_hum: Probability = _p(0.1)
    p_fan: Probability = _p(0.15)
    p_hiss: Probability = _p(0.2)
    p_clicks: Probability = _p(0.05)
    p_keys: Probability = _p(0.1)
    p_speech_shaped: Probability = _p(0.05)
    p_babble: Probability = _p(0.1)
    p_room_tone: Probability = _p(0.0)
    noise_gain_db: tuple[float, float] = (-15.0, 0.0)
    p_tilt: Probability = _p(0.0)
    tilt_db: tuple[float, float] = (0.0, 6.0)
    p_room: Probability = _p(0.3)
    p_speed: Probability = _p(0.3)
    speed: tuple[float, float] = (0.9, 1.1)
    p_eq: Probability = _p(0.4)
    eq_db: float = Field(default=8.0, ge=0, le=24)
    noise_eq_db: float | None = Field(default=None, ge=0, le=24)
    p_high_pass: Probability = _p(0.3)
    high_pass_hz: tuple[float, float] = (60.0, 300.0)
    p_band_limit: Probability = _p(0.4)
    cutoffs_hz: tuple[int, ...] = (4000, 5500, 8000, 11000, 12000, 16000)
    p_drift: Probability = _p(0.1)
    drift_db: float = Field(default=6.0, ge=0, le=20)
    p_overload: Probability = _p(0.05)
    overload_db: tuple[float, float] = (0.0, 6.0)
    p_codec: Probability = _p(0.02)
    p_mu_law: Probability = _p(0.02)

    @model_validator(mode="after")
    def _ranges(self) -> MixConfig:
        bounds: dict[str, tuple[float, float]] = {
            "snr_db": (-60, 100),
            "quiet_snr_db": (-60, 100),
            "podcast_snr_db": (-60, 100),
            "tilt_db": (-12, 12),
            "noise_gain_db": (-60, 60),
            "speed": (0.5, 2),
            "high_pass_hz": (1, 1000),
            "overload_db": (0, 60),
        }
        for name, (least, most) in bounds.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(f"{name} must be (lowest, highest) within {least} to {most}")
        if any(cutoff_hz < 1 for cutoff_hz in self.cutoffs_hz):
            raise ValueError("cutoffs_hz must be above 0")
        if any(weight < 0 for weight in self.class_weights.values()):
            raise ValueError("class_weights must be at least 0")
        return self


@dataclass(frozen=True)
class Meta:
    """How an item came about.

    Attributes:
        snr_db: Active level of the target over that of the noise; None without noise or without speech.
        noises: What sounds beside the speech.
        category: Cleanliness class of the speech.
        speaker: Who speaks; empty in noise-only items.
        room: Whether there is a room.
        cutoff_hz: Band limit of noisy and clean, None where there is none.
        speech: Stretches of clips that the speech is made of, before any change of speed.
        recorded: The same of the recorded noises, in the order of `noises`.
    """

    snr_db: float | None
    noises: tuple[str, ...]
    category: str
    speaker: str
    room: bool
    cutoff_hz: int | None
    speech: tuple[Piece, ...] = ()
    recorded: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Item:
    """One training example.

    Attributes:
        noisy: Samples [T] at the active level that the configuration states.
        clean: Samples [T], what should be left of them.
        bandwidth_hz: Above it `clean` is not known. A band limit that noisy and clean share does not lower
            it: there the truth is silence, and a model must learn to keep it.
        meta: How it came about.
    """

    noisy: Audio
    clean: Audio
    bandwidth_hz: int
    meta: Meta


def at_snr(noise: Audio, speech: Audio, snr_db: float, sample_rate: int) -> Audio | None:
    """Scale noise so that the active level of speech is `snr_db` above the noise's.

    Args:
        noise: Samples [T].
        speech: Samples [T].
        snr_db: Wanted difference, dB.
        sample_rate: Hz.

    Returns:
        Samples [T], or None when one of the two is silent.
    """
    speech_db, noise_db = active_db(speech, sample_rate), active_db(noise, sample_rate)
    if speech_db is None or noise_db is None:
        return None
    return noise * gain_of(speech_db - snr_db - noise_db)


def draw_item(sources: Sources, config: MixConfig, rng: np.random.Generator, n: int) -> Item | None:
    """Mix one item."""
    share = rng.random()
    if share < config.p_clean:
        return _clean_item(sources, config, rng, n)
    rate = sources.store.sample_rate
    speech = _voice(sources, config, rng, n)
    if speech is None:
        return None
    voice = speech.audio[np.newaxis]
    if sources.rooms.size and rng.random() < config.p_room:
        voice = np.stack(in_room(speech.audio, *draw_room(sources, rng), rate))
    noise, kinds, recorded = _noise(sources, config, rng, n, speech.speaker)
    voice, noise, cutoff_hz = _microphone(voice, noise, config, rng, rate)
    if share >= 1 - config.p_noise_only:
        meta = Meta(None, kinds, "", "", False, cutoff_hz, (), recorded)
        mixed = Item(noise, np.zeros_like(noise), rate // 2, meta)
        return levelled(_destroyed(mixed, config, rng, rate), config.level_db, rate)
    snr_db = _draw_snr(config, rng)
    scaled = at_snr(noise, voice[-1], snr_db, rate)
    if scaled is None:
        return None
    who = speech.category, speech.speaker
    meta = Meta(snr_db, kinds, *who, len(voice) == 2, cutoff_hz, speech.pieces, recorded)
    mixed = Item(voice[0] + scaled, voice[-1], speech.bandwidth_hz, meta)
    return levelled(_destroyed(mixed, config, rng, rate), config.level_db, rate)


def _clean_item(sources: Sources, config: MixConfig, rng: np.random.Generator, n: int) -> Item | None:
    """Speech that is clean already, and must come back as it is."""
    rate = sources.store.sample_rate
    speech = _voice(sources, config, rng, n)
    if speech is None:
        return None
    nothing = np.zeros(n, dtype=np.float32)
    voice, _, cutoff_hz = _microphone(speech.audio[np.newaxis], nothing, config, rng, rate)
    meta = Meta(None, (), speech.category, speech.speaker, False, cutoff_hz, speech.pieces)
    return levelled(Item(voice[0], voice[0], speech.bandwidth_hz, meta), config.level_db, rate)


def levelled(item: Item, level_db: float, sample_rate: int) -> Item | None:
    """Bring the noisy side to a level, the clean side with it; None where it is silent or not finite."""
    found_db = active_db(item.noisy, sample_rate)
    # One infinite or undefined sample would show in the sum of squares.
    energy = float(np.dot(item.noisy, item.noisy)) + float(np.dot(item.clean, item.clean))
    if found_db is None or not np.isfinite(energy):
        return None
    gain = gain_of(level_db - found_db)
    return replace(item, noisy=item.noisy * gain, clean=item.clean * gain)


def _draw_snr(config: MixConfig, rng: np.random.Generator) -> float:
    if rng.random() < config.p_quiet:
        return float(rng.uniform(*config.quiet_snr_db))
    careful = config.p_podcast > 0 and rng.random() < config.p_podcast
    return float(rng.uniform(*(config.podcast_snr_db if careful else config.snr_db)))


def _voice(sources: Sources, config: MixConfig, rng: np.random.Generator, n: int) -> Speech | None:
    """Speech at the drawn speed and polarity; None where a pause fills the segment."""
    rate = sources.store.sample_rate
    factor = float(rng.uniform(*config.speed)) if rng.random() < config.p_speed else 1.0
    speech = draw_speech(sources, rng, n if factor == 1 else int(np.ceil(n * factor)) + 2)
    if float(np.dot(speech.audio, speech.audio)) < speech.audio.size * QUIETEST_POWER:
        return None
    audio = speech.audio if factor == 1 else channel_effects.speed(speech.audio, factor, rate)[:n]
    return replace(
        speech,
        audio=audio * np.float32(rng.choice((-1, 1))),
        bandwidth_hz=min(rate // 2, round(speech.bandwidth_hz * factor)),
    )


def _noise(
    sources: Sources, config: MixConfig, rng: np.random.Generator, n: int, speaker: str
) -> tuple[Audio, tuple[str, ...], tuple[Piece, ...]]:
    """Sum of all drawn noises and what they are; hiss where none was drawn, so it is never silent."""
    rate = sources.store.sample_rate
    parts: list[tuple[Audio, str]] = []
    pieces: list[Piece] = []
    if sources.noises.size and rng.random() < config.p_recorded:
        for _ in range(int(rng.integers(1, 4))):
            drawn = draw_noise(sources, rng, n)
            parts.append((synthetic_noise.unit_power(drawn.audio), drawn.category))
            pieces.append(drawn.piece)
    for kind in GENERATED:
        p: Probability = getattr(config, f"p_{kind}")
        if p > 0 and rng.random() < p:
            parts.append((_generated(kind, sources, rng, n, speaker), kind))
    if not any(np.any(audio) for audio, _ in parts):
        parts, pieces = [(_hiss(n, rng, rate), "hiss")], []
    total = np.zeros(n, dtype=np.float32)
    loudest = int(rng.integers(len(parts)))
    for number, (audio, _) in enumerate(parts):
        if config.p_tilt > 0 and rng.random() < config.p_tilt:
            audio = synthetic_noise.unit_power(
                channel_effects.tilted(audio, float(rng.uniform(*config.tilt_db)), rate)
            )
        gain_db = 0.0 if number == loudest else float(rng.uniform(*config.noise_gain_db))
        # -25 dBFS: far from both gates of the level meter.
        total += audio * gain_of(gain_db - 25.0)
    return total, tuple(kind for _, kind in parts), tuple(pieces)


def _generated(kind: str, sources: Sources, rng: np.random.Generator, n: int, speaker: str) -> Audio:
    rate = sources.store.sample_rate
    match kind:
        case "hum":
            mains_hz = float(rng.choice((50.0, 60.0)))
            return synthetic_noise.hum(
                n, rng, rate, mains_hz, int(rng.integers(3, 25)), float(rng.uniform(3, 9))
            )
        case "fan":
            blade_hz = float(np.exp(rng.uniform(np.log(40), np.log(400))))
            return synthetic_noise.fan(
                n, rng, rate, blade_hz, float(rng.uniform(-20, 0)), float(rng.uniform(150, 1500))
            )
        case "hiss":
            return _hiss(n, rng, rate)
        case "clicks":
            return synthetic_noise.clicks(n, rng, rate, float(rng.uniform(1, 15)))
        case "keys":
            return synthetic_noise.key_bursts(n, rng, rate, float(rng.uniform(2, 9)))
        case "speech_shaped":
            return synthetic_noise.speech_shaped(n, rng, rate)
        case "room_tone":
            return synthetic_noise.room_tone(n, rng, rate, float(rng.uniform(4, 7)))
        case _:
            voices = draw_voices(sources, rng, n, speaker)
            return synthetic_noise.babble(voices, rng) if voices else _hiss(n, rng, rate)


def _hiss(n: int, rng: np.random.Generator, sample_rate: int) -> Audio:
    return synthetic_noise.coloured(n, rng, sample_rate, float(rng.uniform(-0.5, 2.0)))


def _microphone(
    voice: Audio, noise: Audio, config: MixConfig, rng: np.random.Generator, sample_rate: int
) -> tuple[Audio, Audio, int | None]:
    """Linear steps, the same on all rows of voice [1 or 2, T]; also the cut-off of a band limit."""
    if rng.random() < config.p_eq:
        voice = channel_effects.filtered(
            voice, channel_effects.random_equaliser(rng, sample_rate, config.eq_db)
        )
    if rng.random() < config.p_eq:
        bound_db = config.eq_db if config.noise_eq_db is None else config.noise_eq_db
        noise = channel_effects.filtered(noise, channel_effects.random_equaliser(rng, sample_rate, bound_db))
    if rng.random() < config.p_drift:
        voice = voice * channel_effects.gain_drift(noise.size, rng, sample_rate, config.drift_db)
    if rng.random() < config.p_high_pass:
        sections = channel_effects.high_pass_sections(float(rng.uniform(*config.high_pass_hz)), sample_rate)
        voice, noise = channel_effects.filtered(voice, sections), channel_effects.filtered(noise, sections)
    usable = [cutoff for cutoff in config.cutoffs_hz if cutoff < sample_rate / 2]
    if not usable or rng.random() >= config.p_band_limit:
        return voice, noise, None
    cutoff_hz = usable[int(rng.integers(len(usable)))]
    rows = channel_effects.band_limit(np.concatenate([voice, noise[np.newaxis]]), cutoff_hz, sample_rate)
    return rows[:-1], rows[-1], cutoff_hz


def _destroyed(item: Item, config: MixConfig, rng: np.random.Generator, sample_rate: int) -> Item:
    """Steps that cannot be undone, on the noisy side alone."""
    noisy, bandwidth_hz = item.noisy, item.bandwidth_hz
    if rng.random() < config.p_overload:
        noisy = channel_effects.overload(noisy, float(rng.uniform(*config.overload_db)))
    if rng.random() < config.p_codec:
        codecs = channel_effects.codecs_at(sample_rate)
        codec = codecs[int(rng.integers(len(codecs)))]
        noisy, bandwidth_hz = (
            channel_effects.coded(noisy, codec, sample_rate),
            min(bandwidth_hz, codec.keeps_hz),
        )
    if rng.random() < config.p_mu_law:
        noisy = channel_effects.mu_law(noisy)
    return replace(item, noisy=noisy, bandwidth_hz=bandwidth_hz)
