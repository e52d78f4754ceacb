#include "tools/assentctl/commands.h"

namespace assent::ctl {
namespace {

// All three ask `assentctl __complete`, which knows the flags, the choices and, when the
// coordinator answers, the gids. An answer is "value<TAB>description" per line; an empty value asks
// for file names.

constexpr const char* kBash =
    R"(# bash completion for assentctl: source <(assentctl completion bash)
_assentctl() {
  local cur words cword line value
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n : cur words cword
  else
    cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    value=${line%%$'\t'*}
    if [[ -z $value ]]; then
      compopt -o default 2>/dev/null
    else
      COMPREPLY+=("$value")
    fi
  done < <("${words[0]}" __complete "${words[@]:1:cword}" 2>/dev/null)
  if declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "$cur"
  fi
}
complete -F _assentctl assentctl
)";

constexpr const char* kZsh = R"(#compdef assentctl
# zsh completion for assentctl: assentctl completion zsh > "${fpath[1]}/_assentctl"
_assentctl() {
  local line value description files=0
  local -a candidates
  while IFS= read -r line; do
    value=${line%%$'\t'*} description=${line#*$'\t'}
    if [[ -z $value ]]; then
      files=1
    else
      candidates+=("${value//:/\\:}:${description}")
    fi
  done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( files )) && _files
  (( ${#candidates} )) && _describe assentctl candidates
}
if [[ ${funcstack[1]} == _assentctl ]]; then
  _assentctl "$@"
else
  compdef _assentctl assentctl
fi
)";

constexpr const char* kFish = R"(# fish completion for assentctl: assentctl completion fish | source
function __assentctl_candidates
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    for line in ($before[1] __complete $before[2..-1] "$current" 2>/dev/null)
        if string match -q -r '^\t' -- $line
            __fish_complete_path "$current"
        else
            printf '%s\n' $line
        end
    end
end
complete -c assentctl -f -a '(__assentctl_candidates)'
)";

}  // namespace

std::string CompletionScript(Shell shell) {
  switch (shell) {
    case Shell::kBash: return kBash;
    case Shell::kZsh: return kZsh;
    case Shell::kFish: return kFish;
  }
  return "";
}

}  // namespace assent::ctl
