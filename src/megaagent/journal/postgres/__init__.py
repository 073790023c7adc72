"""The journal in PostgreSQL; imported only when a run keeps its journal there."""
