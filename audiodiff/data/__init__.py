"""Training data: manifests, the packed store, corruptions, mixing on the fly."""
