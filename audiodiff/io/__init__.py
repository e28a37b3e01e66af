"""Files: reading, writing, containers, tags, mel files; nothing here knows a model."""
