"""Published checkpoints into model folders; nothing here is ever used by inference."""
