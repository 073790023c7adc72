"""Gobang: a game of five in a row with a strong AI, developed by an organization of seven agents."""
