"""The live web view of runs: a reading of their journals, and the control calls that everybody shares.

Nothing here holds a truth of its own: what is shown is folded from the journal, what is done goes through `control`.
"""
