"""Containers that PyAV reads and writes: mp4, mov, Matroska, webm; raw aac is only read."""
