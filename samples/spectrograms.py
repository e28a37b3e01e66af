"""Draw a recording before and after cleaning as spectrograms above each other, on one colour scale.

    pip install -c constraints.txt '.[eval]'
    python samples/spectrograms.py samples/interview_noisy.flac cleaned.flac spectrograms.png \
        --reference samples/interview_clean.flac

0 dB is what one spot in 500 of the first recording exceeds; the scale reaches 70 dB below it.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audiodiff.errors import AudiodiffError, AudioFileError, ConfigError
from audiodiff.extras import install_hint
from audiodiff.io.formats import display_path
from audiodiff.io.reader import read

WINDOW_S = 0.032
COLUMNS = 800
RANGE_DB = 70.0
TOP_HZ = 24_000.0
FLOOR = 1e-12  # -120 dB: digital silence has a colour too
WIDTH_IN, PANEL_IN, DPI = 9.6, 2.2, 100
TOP_PERCENTILE = 99.8  # a few strong harmonics would leave the rest of the voice in the dark
COLOURS, GREYS = 140, 32  # of the palette: a spectrogram in true colour is three times as large

Grid = NDArray[np.float64]


def spectrogram_db(x: NDArray[np.float32], sample_rate: int, columns: int = COLUMNS) -> Grid:
    """Power of Hann windows of 32 ms, averaged over the time of each column.

    Args:
        x: Samples [T].
        sample_rate: Hz.
        columns: At most so many; long recordings have several windows a column.

    Returns:
        dB [F, columns], F = n_fft // 2 + 1 from 0 Hz to Nyquist; a sine of amplitude 1 reaches 0 dB.
    """
    n_fft = round(WINDOW_S * sample_rate)
    hop = n_fft // 4
    n_frames = 1 + (x.size - 1) // hop
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    padded = np.pad(x, (n_fft // 2, n_fft + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = []
    for numbers in np.array_split(np.arange(n_frames), min(columns, n_frames)):
        spectrum = np.fft.rfft(frames[numbers] * window, axis=1) / (window.sum() / 2)
        power.append((np.abs(spectrum) ** 2).mean(axis=0))
    grid: Grid = 10 * np.log10(np.maximum(np.stack(power, axis=1), FLOOR))
    return grid


def read_mono(paths: list[Path]) -> tuple[list[NDArray[np.float32]], int]:
    """Samples [T] of each file, channels averaged, and their rate.

    Args:
        paths: Recordings of the same scene.

    Returns:
        One array a file, and Hz.

    Raises:
        AudioFileError: A file is not readable, or differs from the first in rate or length.
    """
    files = [read(path) for path in paths]
    first, sample_rate = files[0]
    for path, (samples, rate) in zip(paths, files, strict=True):
        if (samples.shape[1], rate) != (first.shape[1], sample_rate):
            raise AudioFileError(
                f"{display_path(path)}: {samples.shape[1]} samples at {rate} Hz, {display_path(paths[0])} "
                "has "
                f"{first.shape[1]} at {sample_rate} Hz; give recordings of one scene"
            )
    return [samples.mean(axis=0) for samples, _ in files], sample_rate


def draw(titles: list[str], waves: list[NDArray[np.float32]], sample_rate: int, out: Path) -> None:
    """Write the picture.

    Args:
        titles: One line above each panel.
        waves: Samples [T] of each panel, all of one length.
        sample_rate: Hz.
        out: PNG file; replaced if it is there.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image
    except ImportError as error:
        raise ConfigError(f"spectrograms need matplotlib; {install_hint('eval')}") from error
    grids = [spectrogram_db(wave, sample_rate) for wave in waves]
    top_db = float(np.percentile(grids[0], TOP_PERCENTILE))
    colours = colormaps["magma"].resampled(COLOURS)
    figure = Figure(figsize=(WIDTH_IN, PANEL_IN * len(grids)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(len(grids), 1, sharex=True, squeeze=False)[:, 0]
    extent = (0.0, waves[0].size / sample_rate, 0.0, sample_rate / 2000)
    for panel, title, grid in zip(panels, titles, grids, strict=True):
        image = panel.imshow(
            grid - top_db,
            vmin=-RANGE_DB,
            vmax=0.0,
            origin="lower",
            aspect="auto",
            cmap=colours,
            extent=extent,
        )
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_ylim(0.0, min(TOP_HZ, sample_rate / 2) / 1000)
        panel.set_ylabel("kHz")
        panel.tick_params(labelsize=9)
    panels[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=list(panels), label="dB", pad=0.01, aspect=30)
    stream = io.BytesIO()
    canvas.print_figure(stream, format="png", dpi=DPI)
    ramp = (255 * colours(np.arange(COLOURS))[:, :3]).round().astype(np.uint8)
    greys = np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, None].repeat(3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([ramp, greys]).tobytes())
    with Image.open(stream) as picture:
        exact = picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    exact.save(out, format="PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("noisy", type=Path)
    parser.add_argument("cleaned", type=Path)
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument("--reference", type=Path, help="the clean truth, as a third panel")
    args = parser.parse_args()
    panels = {"before": args.noisy, "after": args.cleaned, "reference": args.reference}
    paths = [path for path in panels.values() if path is not None]
    titles = [f"{label}: {path.name}" for label, path in panels.items() if path is not None]
    try:
        waves, sample_rate = read_mono(paths)
        draw(titles, waves, sample_rate, args.out)
    except AudiodiffError as error:
        raise SystemExit(f"spectrograms: {error}") from None
    print(args.out)


if __name__ == "__main__":
    main()
