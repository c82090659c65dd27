"""What a shell runs to complete ``firerl``: ``eval "$(firerl --completion bash)"``. Each asks ``firerl --complete``."""

from __future__ import annotations

from firerl.errors import unknown

# Bash parts words at = and :, so that what stands before these in the word must not come again.
BASH = r"""
_firerl() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$'\n' word before
    word=${line##*[[:space:]]}
    before=${word%"${word##*[=:]}"}
    COMPREPLY=($("$1" --complete "$line" 2>/dev/null))
    [[ $COMP_WORDBREAKS == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
    return 0
}
complete -o default -F _firerl firerl
"""
ZSH = r"""
#compdef firerl
_firerl() {
    local -a found
    found=(${(f)"$(firerl --complete "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"})
    if (( $#found )); then
        compadd -S '' -- $found
    else
        [[ -prefix *= ]] && compset -P '*='
        _files
    fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _firerl firerl
"""
FISH = r"""
complete -c firerl -f -a '(set -l found (firerl --complete (commandline -cp) 2>/dev/null)
    if set -q found[1]; string join \n -- $found; else; __fish_complete_path (commandline -ct); end)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def script(shell: str) -> str:
    """What the shell of this name evaluates. Raises SettingError on one that is unknown."""
    if shell not in SCRIPTS:
        raise unknown("shell", shell, SCRIPTS)
    return SCRIPTS[shell].strip("\n")
