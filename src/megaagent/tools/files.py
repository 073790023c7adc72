"""Tools for the shared workspace."""

from __future__ import annotations

from megaagent.tools.desk import Files


async def read_file(files: Files, path: str) -> str:
    """Read a file of the shared workspace, with the revision it was read at.

    Args:
        path: relative to the workspace, with forward slashes.
    """
    return await files.read(path)


async def list_files(files: Files, pattern: str = "**") -> str:
    """List files of the shared workspace with their sizes.

    Args:
        pattern: a glob such as "src/**/*.py"; ** stands for any folders.
    """
    return await files.list(pattern)


async def search_files(files: Files, query: str) -> str:
    """Find lines in the workspace's files that contain a text, whatever its case.

    Args:
        query: the text.
    """
    return await files.search(query)


async def write_file(files: Files, path: str, content: str, base: str | None = None) -> str:
    """Write a whole file as one commit. If others changed it since `base`, both changes are merged; if they touch the
    same lines nothing is written and you get both texts to settle.

    Args:
        path: relative to the workspace, with forward slashes.
        content: the whole new text.
        base: the revision at which you last read the file; leave it out for a new file.
    """
    return await files.write(path, content, base)


async def edit_file(files: Files, path: str, old: str, new: str) -> str:
    """Replace one passage of a file, as one commit; the rest of the file is left as it is now.

    Args:
        path: relative to the workspace, with forward slashes.
        old: the passage as it stands, long enough to occur exactly once.
        new: what shall stand in its place.
    """
    return await files.edit(path, old, new)
