"""Audio files, sample rates, spectra, levels and noise: what every other room stands on."""
