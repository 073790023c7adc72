"""megaagent completion: what a shell needs to complete commands, options, runs and agents."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from megaagent.errors import ConfigurationError

HELP = """The script asks megaagent itself whenever you press Tab, so it knows the runs, agents and files of here.

\b
Examples:
  megaagent completion bash >> ~/.bash_completion
  megaagent completion zsh > ~/.zfunc/_megaagent
  megaagent completion fish > ~/.config/fish/completions/megaagent.fish

\b
For this shell only:
  eval "$(megaagent completion bash)"
  eval "$(megaagent completion zsh)"
  megaagent completion fish | source"""

BASH: Final = """\
_megaagent() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            compopt -o default
        else
            COMPREPLY+=("$(printf %q "${line%%$'\\t'*}")")
        fi
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _megaagent megaagent
"""
ZSH: Final = """\
#compdef megaagent
_megaagent() {
    local line word
    local -a found
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            _files
        else
            word=${line%%$'\\t'*}
            if [[ $line == *$'\\t'* ]]; then
                found+=("${word//:/\\\\:}:${line#*$'\\t'}")
            else
                found+=("${word//:/\\\\:}")
            fi
        fi
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    (( $#found )) && _describe megaagent found
}
if [[ $funcstack[1] == _megaagent ]]; then
    _megaagent "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _megaagent megaagent
fi
"""
FISH: Final = """\
function __megaagent_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (command $words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c megaagent -f -a '(__megaagent_complete)'
"""
SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def command(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> int:
    if shell not in SCRIPTS:
        raise ConfigurationError(f"there is no completion for {shell!r}: say one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return 0
