"""What runs on the line: engine, bundle, inspector; no torch here, ever."""
