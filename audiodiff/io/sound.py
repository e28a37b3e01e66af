"""Open files as libsndfile takes them: a descriptor, or a file of Python's where it cannot have one."""

from __future__ import annotations

import io
import os
from typing import Any

from audiodiff import system


class DescriptorFile(io.RawIOBase):
    """The file behind a descriptor, which stays open; never raises while libsndfile works on it.

    No exception finds its way through libsndfile: what the system refuses is a short read or write, as with a
    descriptor. Whoever writes asks for `fault` in the end.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.fault: OSError | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes; the system knows better."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; where there is none, as before the file, stay."""
        try:
            return os.lseek(self._fd, offset, whence)
        except OSError:
            return self.tell()

    def tell(self) -> int:
        """Return the place."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the file goes."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            while done < len(view) and (data := os.read(self._fd, len(view) - done)):
                view[done : done + len(data)] = data
                done += len(data)
        except OSError:
            pass
        return done

    def write(self, data: Any) -> int:
        """Write as many bytes as the disk takes."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += os.write(self._fd, view[done:])
        except OSError as error:
            self.fault = error  # not every format of libsndfile takes notice
        return done


def sound_file(fd: int) -> int | DescriptorFile:
    """What to hand to libsndfile in place of a descriptor.

    On Windows a descriptor is of no use to a library with another C runtime than Python's (libsndfile says so
    of ``sf_open_fd``), as that of the wheels is.
    """
    return fd if system.libraries_take_descriptors() else DescriptorFile(fd)
