"""Text to phones with the times at which espeak-ng speaks them, through its own library.

The program ``espeak-ng`` prints phones without times, so the library is asked for its events
(speak_lib.h of espeak-ng 1.49 and later). Calls are not thread-safe.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PAUSE = ""
"""The symbol of silence."""

EDGE_S = 0.05
"""Silence that is put before the first and after the last phone, in seconds."""

MIN_S = 0.01

_WORD, _PHONEME, _CHARS_UTF8, _IPA_EVENTS, _SYNCHRONOUS = 1, 7, 1, 3, 2


class EspeakError(Exception):
    """espeak-ng is missing or cannot do what it was asked for; one line."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """A text as espeak-ng says it.

    Attributes:
        symbols: International Phonetic Alphabet, one string a phone; `PAUSE` at both ends
            and between clauses.
        seconds: How long each lasts [P], more than 0.
        first: Whether a word begins with it [P].
        samples: The speech, float32 [T], full scale 1.
        sample_rate: Hz.
    """

    symbols: tuple[str, ...]
    seconds: NDArray[np.float64]
    first: NDArray[np.bool_]
    samples: NDArray[np.float32]
    sample_rate: int


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@lru_cache(maxsize=1)
def _library() -> tuple[ctypes.CDLL, int]:
    """The library, made ready once, and its sample rate."""
    name = ctypes.util.find_library("espeak-ng")
    if name is None:
        raise EspeakError("espeak-ng is not installed; on Debian: apt-get install espeak-ng")
    library = ctypes.CDLL(name)
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _IPA_EVENTS)
    if rate <= 0:
        raise EspeakError("espeak-ng does not find its data; install the package espeak-ng-data")
    return library, rate


def available() -> bool:
    """Whether espeak-ng can be used here."""
    try:
        _library()
    except (EspeakError, OSError):
        return False
    return True


def speak(text: str, voice: str = "en-us") -> Spoken:
    """Have a text spoken by espeak-ng.

    Args:
        text: Anything that has a word.
        voice: A voice of espeak-ng, such as ``en-us`` or ``en-us+f3``.

    Returns:
        Its phones with their times, and the speech.

    Raises:
        EspeakError: espeak-ng or the voice is missing, or nothing in the text is spoken.
    """
    library, rate = _library()
    blocks: list[NDArray[np.int16]] = []
    events: list[tuple[int, str | None]] = []  # sample; a phone, or None where a word begins

    @_Callback
    def collect(wave: ctypes._Pointer[ctypes.c_short], n: int, event: ctypes._Pointer[_Event]) -> int:
        if wave and n:
            blocks.append(np.ctypeslib.as_array(wave, (n,)).copy())
        i = 0
        while event[i].type:
            if event[i].type == _PHONEME:
                events.append((event[i].sample, event[i].id.string.decode("utf-8", "ignore")))
            elif event[i].type == _WORD:
                events.append((event[i].sample, None))
            i += 1
        return 0

    library.espeak_SetSynthCallback(collect)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise EspeakError(f"espeak-ng has no voice {voice!r}; espeak-ng --voices lists them")
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
    if not any(phone for _, phone in events):
        raise EspeakError(f"nothing in the text {text!r} is spoken")
    samples = np.concatenate(blocks).astype(np.float32) / 32768
    return Spoken(*_phones(events, samples.size, rate), samples, rate)


def _phones(
    events: list[tuple[int, str | None]], n_samples: int, rate: int
) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_]]:
    """Symbols, seconds and word beginnings: pauses side by side are one, and there is one at both ends."""
    symbols, starts, first = [PAUSE], [0], [False]
    word = False
    for sample, phone in events:
        if phone is None:
            word = True
        elif phone != PAUSE or symbols[-1] != PAUSE:
            symbols.append(phone)
            starts.append(sample)
            first.append(word and phone != PAUSE)
            word = word and phone == PAUSE
    if symbols[-1] != PAUSE:
        symbols, starts, first = [*symbols, PAUSE], [*starts, n_samples], [*first, False]
    seconds = np.diff([*starts, n_samples]).clip(min=0) / rate
    seconds[[0, -1]] += EDGE_S
    return tuple(symbols), np.maximum(seconds, MIN_S), np.array(first)


def with_optional_pauses(spoken: Spoken) -> Spoken:
    """The same with a pause of `MIN_S` before every word: people pause where espeak-ng does not."""
    before = [i for i in range(1, len(spoken.symbols)) if spoken.first[i] and spoken.symbols[i - 1] != PAUSE]
    symbols = np.insert(np.array(spoken.symbols, dtype=object), before, PAUSE)
    seconds = np.insert(spoken.seconds, before, MIN_S)
    first = np.insert(spoken.first, before, False)
    return Spoken(tuple(symbols.tolist()), seconds, first, spoken.samples, spoken.sample_rate)
