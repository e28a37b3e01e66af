"""Scores of a signal against its reference: PESQ in a child process, ESTOI, SI-SDR, log-spectral distance.

The functions take arrays; only `audiodiff.metrics.folders` reads files. Whatever has no score has a
`audiodiff.metrics.reason.Reason`, never a number.
"""
