"""Tasks on arrays and iterators of blocks: no files, no printing."""
