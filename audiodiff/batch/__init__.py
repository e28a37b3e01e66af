"""Files in, files out: the job of one recording."""
