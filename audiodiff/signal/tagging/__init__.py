"""Tags, covers, chapters and other chunks that go over from a recording to its processed copy."""
