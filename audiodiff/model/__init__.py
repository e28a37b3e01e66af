"""Models: settings, folder, network and process put together."""
