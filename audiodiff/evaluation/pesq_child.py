"""The child process that runs PESQ: a script, never imported by audiodiff.

Requests on standard input: a header (band ``wb `` or ``nb ``, number of samples, both packed by
``<2sI``), then reference and estimate at 16 kHz as little-endian float32. Replies on standard output:
one JSON line, ``{"mos": 2.1}`` or ``{"code": "short", "text": "..."}``. Ends with its input.
"""

from __future__ import annotations

import json
import os
import struct
import sys

import numpy as np
from numpy.typing import NDArray
from pesq import BufferTooShortError, NoUtterancesError, PesqError, pesq

HEADER = struct.Struct("<2sI")
SAMPLE_RATE = 16000


def reply_to(band: str, ref: NDArray[np.float32], est: NDArray[np.float32]) -> dict[str, object]:
    """Score one window, or name what PESQ refuses."""
    try:
        return {"mos": float(pesq(SAMPLE_RATE, ref, est, band))}
    except NoUtterancesError:
        return {"code": "silence", "text": "PESQ finds no utterance"}
    except BufferTooShortError:
        return {"code": "short", "text": "shorter than 0.25 s"}
    except (PesqError, ValueError) as error:
        return {"code": "failed", "text": f"PESQ: {' '.join(str(error).split())}"}


def main() -> None:
    """Answer requests until the input ends."""
    # Whatever the C code prints must not mix with the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    while len(header := requests.read(HEADER.size)) == HEADER.size:
        band, n_samples = HEADER.unpack(header)
        ref, est = (np.frombuffer(requests.read(4 * n_samples), "<f4") for _ in range(2))
        replies.write(json.dumps(reply_to(band.decode("ascii"), ref, est)) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
