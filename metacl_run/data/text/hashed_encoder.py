"""Hashed words, word pairs and runs of characters: features without a dependency."""
