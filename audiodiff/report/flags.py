"""What about a whole recording wants somebody's ears: pure functions of measured levels.

Letters in shapes: N frames, M bands. Levels are dB re a full-scale sine, at least `SILENCE_DB`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audiodiff.batch.flags import Flag, clipped_input, half_missing, nearly_silent
from audiodiff.report.findings import Levels
from audiodiff.report.spectra import SILENCE_DB

FELL_DB = 3.0
"""The level of speech fell if what stands out from the noise lost so much on average."""
MUCH_REMOVED_DB = 6.0
"""Much was removed if its active level lies at most so far below that of what was kept."""
FEWEST_S = 0.5
"""Level changes are judged where at least so much of a recording stands out from the noise."""
NOISY_SHARE = 0.02
"""A recording is too noisy to judge if less than this share of it stands out, or less than `FEWEST_S`."""
PAUSE_S = 4.0
"""Shorter recordings are not called noisy: without a pause nobody knows what their noise is."""
MUSIC_S = 10.0
"""A recording may hold music if its sound is music-like (see `tones`) for so long in all."""

SPEECH_HZ = (250.0, 4000.0)
"""Bands with their centres here tell the level of speech: rumble lies below, hiss mostly above."""
CLEAR_DB = 10.0
"""A band stands out where it lies so far above its noise: the noise then adds at most 0.4 dB."""

_FEWEST_BANDS = 4
_QUIET_SHARE = 0.1
_LOUD_PERCENTILE, _LOUD_RANGE_DB = 95, 10.0
_MOST_FALL_DB = 20.0


@dataclass(frozen=True)
class Facts:
    """The figures by which a recording is judged.

    Attributes:
        seconds: Length that input and output share.
        expected_s: Length that the output should have; 0 if it is not known.
        before_db: Active level of the input, dBFS; None for silence.
        after_db: Active level of the output.
        removed_db: Active level of input - output.
        stands_out_s: Seconds that stand out from the noise of the input.
        fall_db: Mean fall of the level where it stands out; None if nothing does.
        clipped_runs: Runs of the input at full scale.
        music_s: Seconds of the input that are music-like.
    """

    seconds: float
    expected_s: float
    before_db: float | None
    after_db: float | None
    removed_db: float | None
    stands_out_s: float
    fall_db: float | None
    clipped_runs: int
    music_s: float


def judge(facts: Facts, aligned: bool = True) -> tuple[Flag, ...]:
    """What somebody should know of a recording, the gravest first; of a vocoder's only silence and length."""
    silent = nearly_silent(facts.before_db, facts.after_db)
    found = [silent, half_missing(facts.seconds, facts.expected_s)]
    if aligned:
        found += [
            level_fell(facts),
            None if silent else much_removed(facts.removed_db, facts.after_db),
            too_noisy(facts),
            clipped_input(facts.clipped_runs),
            music(facts.music_s),
        ]
    return tuple(flag for flag in found if flag is not None)


def level_fell(facts: Facts) -> Flag | None:
    """Whether speech came out quieter."""
    if facts.fall_db is None or facts.fall_db <= FELL_DB or facts.stands_out_s < FEWEST_S:
        return None
    text = f"speech may be quieter: what stands out from the noise fell by {facts.fall_db:.1f} dB"
    return Flag("level_fell", text)


def much_removed(removed_db: float | None, after_db: float | None) -> Flag | None:
    """Whether what was removed is nearly as loud as what was kept."""
    if removed_db is None or after_db is None or removed_db < after_db - MUCH_REMOVED_DB:
        return None
    distance = removed_db - after_db
    how = f"{distance:.0f} dB louder than" if distance > 0 else f"only {-distance:.0f} dB below"
    how = "as loud as" if abs(distance) < 0.5 else how
    return Flag("much_removed", f"much was removed: it is {how} what was kept")


def too_noisy(facts: Facts) -> Flag | None:
    """Whether so little stands out from the noise that lost words would go unnoticed."""
    enough_s = max(FEWEST_S, NOISY_SHARE * facts.seconds)
    if facts.before_db is None or facts.seconds < PAUSE_S or facts.stands_out_s >= enough_s:
        return None
    text = "too noisy to judge: hardly anything stands out from the noise, so words may be lost unnoticed"
    return Flag("too_noisy", text)


def music(music_s: float) -> Flag | None:
    """A hint that speech is not all that a recording holds."""
    if music_s < MUSIC_S:
        return None
    text = f"may hold music (a hint): notes are held for {music_s:.0f} s; a speech model can damage them"
    return Flag("music", text)


def falls(before: Levels, after: Levels) -> Levels:
    """How far each frame fell that stands out from the noise, [N, M] of speech bands -> [K] in dB, K <= N.

    Only bands at least `CLEAR_DB` above their noise count, so that taking the noise away moves nothing; only
    frames with a few such bands, so that no hum or click counts; only the louder ones, since weak ends of
    words go with the noise in any denoiser. The noise of a band is its mean power in the quietest tenth of
    the frames. A fall of more than 20 dB counts as 20: one lost word does not outweigh all the others.
    """
    if not len(before):
        return np.zeros(0, dtype=np.float32)
    p_in, p_out = 10 ** (before / 10), 10 ** (after / 10)
    totals = p_in.sum(axis=1)
    noise = p_in[totals <= np.quantile(totals, _QUIET_SHARE)].mean(axis=0)
    clear = (p_in > noise * 10 ** (CLEAR_DB / 10)) & (before > SILENCE_DB + CLEAR_DB)
    stands_out = clear.sum(axis=1) >= _FEWEST_BANDS
    least = 10 ** (SILENCE_DB / 10)
    kept_in, kept_out = (
        10 * np.log10(np.maximum(np.where(clear, p, 0.0).sum(axis=1)[stands_out], least))
        for p in (p_in, p_out)
    )
    if not kept_in.size:
        return np.zeros(0, dtype=np.float32)
    loud = kept_in > np.percentile(kept_in, _LOUD_PERCENTILE) - _LOUD_RANGE_DB
    fall = (kept_in - kept_out)[loud].clip(-_MOST_FALL_DB, _MOST_FALL_DB)
    return np.asarray(fall, dtype=np.float32)
