"""The local page: drop a recording, hear a preview, clean and save it. It needs the extra ``ui``."""
