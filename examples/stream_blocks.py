"""Clean a recording of any length block by block, in memory that does not grow with its length."""

import sys
from pathlib import Path

import soundfile

from audiodiff import Denoiser

denoiser, target = Denoiser(), Path(sys.argv[1], "clean.flac")
with soundfile.SoundFile("samples/interview_noisy.flac") as source:
    rate, channels = source.samplerate, source.channels
    # soundfile gives blocks (T, C), streams take [C, T]
    first_pass = (block.T for block in source.blocks(rate, dtype="float32", always_2d=True))
    gain = denoiser.gain(first_pass, rate)  # one level for the whole recording
    source.seek(0)
    blocks = (block.T for block in source.blocks(rate, dtype="float32", always_2d=True))
    with soundfile.SoundFile(target, "w", rate, channels) as cleaned:
        for block in denoiser.stream(blocks, rate, gain):
            cleaned.write(block.T)
