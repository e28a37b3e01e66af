"""Running models: samplers in chunks, `Denoiser` and `Vocoder`."""
