"""Names that no file of a workspace may have, and folders that are built to harm who looks into them."""

# ruff: noqa: E501  (texts and programs read best in a line)

from __future__ import annotations

NAMES = [
    "",
    "/",
    "/etc/passwd",
    "//server/share",
    "C:/windows",
    "c:file",
    "..",
    "../x",
    "a/../b",
    "a/..",
    ".",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "..\\x",
    "\\\\server\\share",
    ".git",
    ".git/config",
    "a/.git/hooks/pre-commit",
    ".GIT/config",
    ".Git",
    "git~1",
    "GIT~1/config",
    "git~2",
    ".git.",
    ".git ",
    ".git. . .",
    ".git::$INDEX_ALLOCATION",
    ".git:stream",
    ".g\u200cit/config",
    ".gi\u200dt",
    "\ufeff.git",
    ".git\u206a",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x1b[31mb",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "safe\u202etxt.exe",
    "a\u2066b",
    "a\u061cb",
    "zero\u200bwidth",
    "soft\u00adhyphen",
    "a\ud800b",
    "trailing.",
    "trailing ",
    " leading",
    "dir /a",
    "x" * 256,
    "é" * 128,
    "/".join(["abcdefghi"] * 101),
    "y" * 5_000,
    "z/" * 2_500 + "z",
    "../" * 200 + "etc/passwd",
]

# Pairs of names that some file systems cannot tell apart: the second is refused when the first is there.
TWINS = [
    ("Twin.txt", "twin.txt"),
    ("stra\u00dfe.txt", "STRASSE.txt"),
    ("folder/a.txt", "FOLDER/b.txt"),
    ("\u0130.txt", "i\u0307.txt"),
    ("\ufb01le.txt", "FIle.txt"),
]

# What a program leaves in its folder, or a person is given as a source: Python that builds it where it is run.
# `outside` is a folder beside it that must not be read or changed; in a sandbox it is not there.
TREES: dict[str, str] = {
    "a link to a file outside": "os.symlink(outside + '/secret', 'link')",
    "a link to a folder outside": "os.symlink(outside, 'linked')",
    "a link to the system's passwords": "os.symlink('/etc/passwd', 'passwd'); os.symlink('/etc', 'etc')",
    "a link upward": "os.symlink('..', 'up'); os.mkdir('d'); os.symlink('../..', 'd/up')",
    "a link to itself": "os.symlink('loop', 'loop'); os.link('loop', 'loop2', follow_symlinks=False)",
    "links in a circle": "os.symlink('b', 'a'); os.symlink('a', 'b'); os.link('a', 'c', follow_symlinks=False)",
    "a chain of 100 links": (
        "os.symlink(outside + '/secret', 'l0'); [os.symlink(f'l{n}', f'l{n + 1}') for n in range(100)]"
    ),
    "a file replaced by a link": "os.remove('kept.txt'); os.symlink(outside + '/secret', 'kept.txt')",
    "a folder replaced by a link": "shutil.rmtree('kept'); os.symlink(outside, 'kept')",
    "a link called .git": "os.symlink(outside, '.git')",
    "a hard link within": "open('one', 'w').write('x'); os.link('one', 'two')",
    "a hard link to outside": "os.link(outside + '/secret', 'hard')",
    "a pipe": "os.mkfifo('pipe'); os.mkdir('d'); os.mkfifo('d/kept.txt')",
    "a pipe in place of a file": "os.remove('kept.txt'); os.mkfifo('kept.txt')",
    "a socket": "s = socket.socket(socket.AF_UNIX); s.bind('socket')",
    "a device": "os.mknod('null', 0o020666, os.makedev(1, 3)); os.mknod('disk', 0o060666, os.makedev(254, 0))",
    "set-user and set-group files": (
        "open('su', 'w').write('x'); os.chmod('su', 0o4755); open('sg', 'w').write('x'); os.chmod('sg', 0o2755)"
    ),
    "what may not be read": (
        "open('shut', 'w').write('x'); os.chmod('shut', 0); os.mkdir('d'); open('d/a', 'w').write('x'); os.chmod('d', 0)"
    ),
    "a folder that may be listed and not entered": "os.mkdir('d'); open('d/a', 'w').write('x'); os.chmod('d', 0o400)",
    "a folder that may be entered and not listed": "os.mkdir('d'); open('d/a', 'w').write('x'); os.chmod('d', 0o100)",
    "1,500 folders deep": "[(os.mkdir('d'), os.chdir('d')) for _ in range(1500)]; open('bottom', 'w').write('x')",
    "100,000 files": "[os.close(os.open(f'f{n}', os.O_CREAT)) for n in range(100_000)]",
    "20,000 folders": "[os.mkdir(f'd{n}') for n in range(20_000)]",
    "a sparse file of 2 GB": "os.truncate(os.open('sparse', os.O_CREAT | os.O_WRONLY), 2 << 30)",
    "many sparse files": "[os.truncate(os.open(f's{n}', os.O_CREAT | os.O_WRONLY), 60 << 20) for n in range(30)]",
    "names with line ends and escape codes": (
        "[open(name, 'w').write('x') for name in ('a\\nb', 'a\\x1b[31mb', 'a\\rb', 'a\\x7f', '\\x1b]0;t\\x07')]"
    ),
    "names of bidi and invisible marks": (
        "[open(name, 'w').write('x') for name in ('safe\\u202etxt.exe', 'z\\u200bw', '\\ufeffbom', '.g\\u200cit')]"
    ),
    "names that are no UTF-8": "[open(name, 'wb').write(b'x') for name in (b'\\xff', b'a\\x80b', b'\\xed\\xa0\\x80')]",
    "names with backslashes and colons": (
        "[open(name, 'w').write('x') for name in ('a\\\\b', '..\\\\x', 'C:', 'c:x', '.git:s', ' a', 'a ', 'a.')]"
    ),
    "names that look like options": (
        "[open(name, 'w').write('x') for name in ('-rf', '--', '--upload-pack=id', '*', '$(id)', '`id`', '{}', '~')]"
    ),
    "names of 255 bytes": "open('n' * 255, 'w').write('x'); open('\\u00e9' * 127, 'w').write('x')",
    "twins by case": "[open(name, 'w').write(name) for name in ('twin', 'Twin', 'TWIN', 'KEPT.txt')]",
    "twins by Unicode": "[open(name, 'w').write('x') for name in ('caf\\u00e9', 'cafe\\u0301', 'CAF\\u00c9')]",
    "spellings of .git": (
        "[(os.mkdir(name), open(name + '/config', 'w').write('[core]\\n\\tfsmonitor = touch ' + outside + '/owned'))"
        " for name in ('.GIT', '.Git', 'git~1', 'GIT~1', '.git.', '.git ', '.gi\\u200ct', '.git::$INDEX_ALLOCATION')]"
    ),
    "a nested repository": (
        "subprocess.run(['git', 'init', '-q', 'nested']) if shutil.which('git') else os.makedirs('nested/.git/objects')\n"
        "open('nested/file', 'w').write('x')\n"
        "os.makedirs('nested/.git/hooks', exist_ok=True)\n"
        "open('nested/.git/hooks/post-checkout', 'w').write('#!/bin/sh\\ntouch ' + outside + '/owned')\n"
        "os.chmod('nested/.git/hooks/post-checkout', 0o755)\n"
        "open('nested/.git/config', 'a').write('[core]\\n\\tfsmonitor = touch ' + outside + '/owned\\n')\n"
    ),
    "a repository of its own here": (
        "os.makedirs('.git/objects'); os.makedirs('.git/refs'); open('.git/HEAD', 'w').write('ref: refs/heads/main\\n')\n"
        "open('.git/config', 'w').write('[core]\\n\\tfsmonitor = touch ' + outside + '/owned\\n\\tsshCommand = id\\n"
        "[include]\\n\\tpath = ' + outside + '/secret\\n')"
    ),
    "a bare repository within": (
        "os.makedirs('bare/objects'); os.makedirs('bare/refs'); open('bare/HEAD', 'w').write('ref: refs/heads/main\\n')\n"
        "open('bare/config', 'w').write('[core]\\n\\tbare = true\\n\\tfsmonitor = touch ' + outside + '/owned\\n')"
    ),
    "a .git that is a file": "open('.git', 'w').write('gitdir: ' + outside + '/nothing\\n')",
    "a .git that is a pipe": "os.mkfifo('.git')",
    "filters and submodules": (
        "open('.gitattributes', 'w').write('* filter=evil diff=evil merge=evil export-subst\\n')\n"
        "open('.gitmodules', 'w').write('[submodule \"x\"]\\n\\tpath = x\\n\\turl = ext::touch ' + outside + '/owned\\n')\n"
        "open('.lfsconfig', 'w').write('[lfs]\\n\\turl = http://127.0.0.1:1/\\n')"
    ),
    "files that Python and pytest run": (
        "[open(name, 'w').write('open(r\"' + outside + '/owned\", \"w\")') for name in"
        " ('sitecustomize.py', 'usercustomize.py', 'conftest.py', 'json.py', 'os.py', 'evil.pth')]"
    ),
    "strange times": "open('old', 'w').write('x'); os.utime('old', (-1, -1)); open('new', 'w'); os.utime('new', (2**40, 2**40))",
    "extended attributes": "open('a', 'w').write('x'); os.setxattr('a', 'user.evil', b'x' * 1000)",
    "a file that changes into a folder": "os.remove('kept.txt'); os.mkdir('kept.txt'); open('kept.txt/a', 'w').write('x')",
    "a folder that changes into a file": "shutil.rmtree('kept'); open('kept', 'w').write('x')",
}

PREAMBLE = """import os, shutil, socket, subprocess, sys
outside = sys.argv[1]
def attempt(code):
    # What the kernel or a wall does not allow is not built; the rest is.
    for line in code.splitlines():
        try:
            exec(line, globals())
        except OSError as error:
            print(type(error).__name__, error)
"""


def builder(name: str) -> str:
    """A program that builds the tree in the folder where it runs; its argument is the folder outside."""
    return f"{PREAMBLE}attempt({TREES[name]!r})\n"
