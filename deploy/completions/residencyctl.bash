# bash completion for residencyctl. Names come from the daemon where it answers at once; where it
# does not, nothing is offered and nothing is said.

_residencyctl_names() { # _residencyctl_names blocks|models|sessions: the first column
  timeout 1 residencyctl --no-headers --timeout 500ms "${_residencyctl_socket[@]}" "$@" 2>/dev/null |
    awk '{ print $1 }'
}

_residencyctl_named() { # _residencyctl_named blocks|models [OPTION...]: names in full, from the JSON
  timeout 1 residencyctl -o json --timeout 500ms "${_residencyctl_socket[@]}" "$@" 2>/dev/null |
    sed -nE 's/^ *"name": "(.*)",?$/\1/p' | sort -u
}

_residencyctl() {
  local cur prev words cword
  _init_completion 2>/dev/null || { # without the bash-completion package
    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  }
  local commands='status health top iostat version models pools sessions end-session drain blocks
    block explain pin unpin promote demote policy'
  local global='--socket --output --watch --no-headers --timeout --color --help --version'
  local command='' sub='' i _residencyctl_socket=()
  for ((i = 1; i < cword; i++)); do
    case ${words[i]} in
      --socket) _residencyctl_socket=(--socket "${words[i + 1]}"); i=$((i + 1)) ;;
      -o | --output | --timeout | --color | --deadline | --to) i=$((i + 1)) ;;
      -d | --delay | -n | --iterations | --sort) i=$((i + 1)) ;;
      -*) ;;
      *) if [ -z "$command" ]; then command=${words[i]}; elif [ -z "$sub" ]; then sub=${words[i]}; fi ;;
    esac
  done

  local offer=''
  case $prev in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    -o | --output) offer='table wide json' ;;
    --color) offer='auto always never' ;;
    --watch) offer='500ms 1s 2s 5s 10s' ;;
    --timeout | --deadline) offer='1s 5s 30s 2m' ;;
    --state) offer='S0 S1 S2 S3 S4 S5 S6' ;;
    --to) if [ "$command" = promote ]; then offer='S0 S3'; else offer='S3 S4 S6'; fi ;;
    --model) offer=$(_residencyctl_names models; _residencyctl_named models) ;;
    --sort)
      if [ "$command" = top ]; then offer='stall misses bytes name'; else
        offer='name bytes state layer K R leases'
      fi ;;
    --role) offer='expert attention router norm embedding dense_mlp adapter other' ;;
    --tier) offer='HBM DRAM NVMe' ;;
    --pool) offer=$(_residencyctl_names pools) ;;
    --element-type) offer='bf16 f16 f32 quantized8 quantized_sub8 other' ;;
    -d | --delay) offer='500ms 1s 2s 5s' ;;
    --layer | --expert | --limit | --name | --min-bytes | --max-bytes | -n | --iterations) return ;;
  esac
  if [ -n "$offer" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
    return
  fi

  if [[ $cur == -* ]]; then
    case $command in
      blocks)
        offer='--model --state --layer --expert --role --name --pool --tier --element-type --leased
          --pinned --lost --min-bytes --max-bytes --sort --reverse --limit' ;;
      top) offer='--delay --iterations --sort' ;;
      iostat) offer='--active' ;;
      promote | demote) offer='--to --deadline' ;;
      drain) offer='--deadline --wait' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$offer $global" -- "$cur")
    return
  fi
  case $command in
    '') offer=$commands ;;
    block | explain | pin | unpin | promote | demote)
      # Numbers; names once one is begun.
      if [ -n "$sub" ]; then :; elif [[ $cur == [!0-9]* ]]; then
        offer=$(_residencyctl_named blocks --limit 500 --name "$cur")
      else
        offer=$(_residencyctl_names blocks --limit 500)
      fi ;;
    end-session) [ -n "$sub" ] || offer=$(_residencyctl_names sessions) ;;
    iostat) offer='1 2 5 10' ;;
    policy)
      if [ -z "$sub" ]; then offer='get set'; else offer=$(_residencyctl_names policy get); fi
      if [ "$sub" = set ]; then
        compopt -o nospace 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -S = -W "$offer" -- "$cur")
        return
      fi ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
}

complete -F _residencyctl residencyctl
