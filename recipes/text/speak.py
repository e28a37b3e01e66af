"""Say a text: espeak-ng's phones, the text-to-mel model, and a waveform by inversion.

python recipes/text/speak.py "Hello there." -o hello.wav
python recipes/text/speak.py "Hello there." -o hello.npz     # the mel alone, for audiodiff vocode
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import acoustic
import numpy as np
import torch
from espeak import EspeakError, speak

from audiodiff.errors import AudiodiffError
from audiodiff.io.formats import AudioInfo, output_format
from audiodiff.io.mel_file import SUFFIXES, write_mel
from audiodiff.io.writer import AtomicWriter
from audiodiff.signal.mel_inversion import invert_long

HERE = Path(__file__).parent
FRAMES_AT_ONCE = 1000


def mel_of(text: str, model: acoustic.TextToMel, voice: str, speed: float) -> torch.Tensor:
    """Mel [M, N] of a text, in the numbers of the model's convention."""
    spoken = speak(text, voice)
    cues = np.stack([np.log(spoken.seconds), spoken.first], 1).astype(np.float32)
    plan = model.planned(model.numbers(spoken.symbols), cues)
    frames = np.maximum(np.round(plan.frames / speed), 1).astype(np.int64)
    return model.mel(acoustic.Phones(plan.ids, plan.cues, frames, plan.log_f0))


def write_speech(path: Path, values: torch.Tensor, spec: acoustic.MelSpec, overwrite: bool) -> None:
    """Invert a mel into an audio file."""
    blocks = values.split(FRAMES_AT_ONCE, dim=-1)
    kind = output_format(AudioInfo(path, spec.sample_rate, 1, 0, "WAV", "PCM_16"), path.suffix)
    with AtomicWriter(path, spec.sample_rate, 1, *kind, overwrite=overwrite) as writer:
        for block in invert_long(blocks, spec):
            writer.write(block[None].numpy())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("-o", "--out", type=Path, required=True, help="audio file, or mel file (.npz)")
    parser.add_argument("--model", type=Path, default=HERE / "model", help="folder that train.py wrote")
    parser.add_argument("--voice", default="en-us", help="voice of espeak-ng that reads the text")
    parser.add_argument("--speed", type=float, default=1.0, help="above 1 is faster")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args(arguments)
    if args.speed <= 0:
        parser.error("the speed must be above 0")
    torch.set_num_threads(1)
    try:
        model = acoustic.load(args.model)
        values = mel_of(args.text, model, args.voice, args.speed)
        if args.out.suffix in SUFFIXES:
            write_mel(args.out, values.numpy(), model.spec, args.overwrite)
        else:
            write_speech(args.out, values, model.spec, args.overwrite)
    except (EspeakError, AudiodiffError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: {values.shape[1] * model.spec.hop / model.spec.sample_rate:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
