"""What plug-in authors and our own tests use: fake boards and checks that every backend has to pass."""
