"""Long proofs: `python -m campaigns NAME [--full] [--seed S]`."""
