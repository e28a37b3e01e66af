"""What happens to a recording: pure functions of (samples, generator, physical parameters)."""
