"""Readings of a run's journal and workspace, for whoever shows them: command line, report, dashboard.

Each is a fold of facts or a question to what was folded. Nothing here writes, and nothing knows how it will be shown.
"""
