"""Tools for running programs in the sandbox."""

from __future__ import annotations

from megaagent.tools.desk import Programs


async def exec_python_file(
    programs: Programs, path: str, args: list[str] | None = None, stdin: str | None = None
) -> str:
    """Run a Python file of the workspace in the sandbox: a private copy of the workspace, no network.

    Args:
        path: the file.
        args: command-line arguments.
        stdin: everything that it will read from standard input. Leave it out for a program that you want to talk to:
            it is then left running when it goes quiet; answer it with `input`, end it with `stop_program`.
    """
    return await programs.run(["python", path, *(args or [])], stdin)


async def run_command(programs: Programs, command: str | list[str], stdin: str | None = None) -> str:
    """Run a command in the sandbox, such as "python -m pytest -q". One program at a time.

    Args:
        command: the command line; it is split into words as a shell would, but no shell runs it.
        stdin: as for exec_python_file.
    """
    from shlex import split

    from megaagent.errors import ToolError

    try:
        words = split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise ToolError(f"the command cannot be split into words: {error}") from error
    if not words:
        raise ToolError("the command is empty")
    return await programs.run(words, stdin)


async def input(programs: Programs, text: str) -> str:
    """Write to the standard input of your running program and read what it answers.

    Args:
        text: what to type; a line end is added if it has none. An empty text only reads on.
    """
    return await programs.send(text)


async def stop_program(programs: Programs) -> str:
    """Stop your running program."""
    return await programs.stop()


async def keep_files(programs: Programs, paths: list[str]) -> str:
    """Commit files that your last program wrote to the shared workspace; what is not kept is forgotten.

    Args:
        paths: as listed when the program ended.
    """
    return await programs.keep(paths)
