"""The error tree of audiodiff.

AudiodiffError               anything a user can put right; the command line prints it as one line
├── AudioFileError           a file cannot be read or written, or holds no usable audio
├── ConfigError              a recipe or an option is wrong (unknown key, bad range, bad type)
├── ModelError               a model folder is missing, damaged, of an unknown version, or refused
├── MelError                 a mel spectrogram does not follow the convention, or cannot be converted to it
├── DataError                a manifest or a packed store is unusable
└── ShapeError               an array does not have the promised shape

Every message is one line that says what was expected, what was found and what to do.
"""

from __future__ import annotations


class AudiodiffError(Exception):
    """Base of every error that audiodiff raises on purpose.

    Args:
        message: One line: what was expected, what was found, what to do.
        code: Stable machine-readable name of the fault, for JSON output (for example ``unreadable``).
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code or self.default_code


class AudioFileError(AudiodiffError):
    """A file cannot be read or written, or holds no usable audio."""

    default_code = "unreadable"


TARGET_CODES = frozenset({"same_file", "exists", "unwritable", "format", "collision"})
"""Codes of an `AudioFileError` that concern the target, not the input."""


class ConfigError(AudiodiffError):
    """A recipe or an option is wrong."""

    default_code = "config"


class ModelError(AudiodiffError):
    """A model folder is missing, damaged, of an unknown version, or refused."""

    default_code = "model"


class MelError(AudiodiffError):
    """A mel spectrogram does not follow the convention asked for, or cannot be converted to it."""

    default_code = "mel"


class DataError(AudiodiffError):
    """A manifest or a packed store is unusable."""

    default_code = "data"


class ShapeError(AudiodiffError):
    """An array does not have the promised shape."""

    default_code = "shape"
