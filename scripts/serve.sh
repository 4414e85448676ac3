#!/usr/bin/env bash
# From a clone to a service that answers: see --help.
set -euo pipefail
folder=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

usage() {
    cat << 'END'
usage: scripts/serve.sh [--background | --stop] [--model FILE | --models NAME=ARCHIVE ...] [--rollouts]

Makes .venv, installs what serving needs, and serves over REST and gRPC until Ctrl-C what lies in
model_store/age.mar: ages of faces. That is packed of the shipped weights where it is missing, and
anew where what it was packed from has changed since; an archive from elsewhere is served as it is.

  --model FILE              pack this model (age.pt of train.export) into model_store/age.mar first;
                            from then on it is served without the option too
  --models NAME=ARCHIVE ... serve these archives instead, wherever they lie; the first version of a
                            name is its default: --models age=model_store/age.mar age=other/age-2.mar
                            One of model_store that is missing is packed of the weights beside it:
                            --models age=age.mar emotion=emotion.mar
  --background              return as soon as it is ready
  --stop                    end the one in the background
  --rollouts                let face-age rollout load further versions while it runs

PYTHON=/path/to/python3     makes .venv with that one
TS_<KEY>=value              overrides a line of config.properties, TS_INFERENCE_ADDRESS=... say
END
}

# A path that was typed in another folder than this one, for here.
typed() {
    case $1 in
        /*) echo "$1" ;;
        *) if [ -e "$folder/$1" ]; then echo "$folder/$1"; else echo "$1"; fi ;;
    esac
}

action='' rollouts='' model='' models=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit ;;
        --background | --stop)
            [ -z "$action" ] || fail "one of --background and --stop (scripts/serve.sh --help)"
            action=$1
            ;;
        --rollouts) rollouts=$1 ;;
        --model | --model=*)
            [ -z "$model" ] || fail 'one --model at a time; two versions: --models NAME=ARCHIVE ...'
            if [ "$1" = --model ]; then
                shift
                model=${1:-}
            else
                model=${1#--model=}
            fi
            case $model in
                '' | -*) fail '--model needs a file: --model runs/mine/age.pt' ;;
            esac
            model=$(typed "$model")
            ;;
        --models | --models=*)
            [ "$1" = --models ] || set -- --models "${1#--models=}" "${@:2}"
            while [ $# -gt 1 ] && [[ $2 != -* ]]; do
                shift
                name=${1%%=*} archive=${1#*=}
                [[ $1 == ?*=?* ]] ||
                    fail "--models $1: give NAME=ARCHIVE, such as age=model_store/age.mar"
                # a file's name alone is first looked for in model_store
                [[ $archive != */* && -e model_store/$archive ]] || archive=$(typed "$archive")
                models+=("$name=$archive")
            done
            [ ${#models[@]} -gt 0 ] ||
                fail '--models names nothing: give NAME=ARCHIVE, such as age=model_store/age.mar'
            ;;
        -*) fail "unknown option $1 (scripts/serve.sh --help)" ;;
        *) fail "unknown argument $1: a model is given by --model FILE, an archive by" \
            '--models NAME=ARCHIVE (scripts/serve.sh --help)' ;;
    esac
    shift
done
if [ -n "$model" ] && [ ${#models[@]} -gt 0 ]; then
    fail 'one of --model, which packs a model, and --models, which serves archives'
fi

if [ "$action" = --stop ]; then
    [ -z "$model" ] && [ ${#models[@]} -eq 0 ] || fail '--stop ends whatever runs: give it alone'
    [ -x "$VENV/bin/python" ] || { echo 'nothing runs'; exit; }
    exec "$VENV/bin/python" -m server.supervisor --stop
fi

lock_environment
install client
provide_java
export PYTHONDONTWRITEBYTECODE=1

served=()
[ ${#models[@]} -eq 0 ] || served=(--models "${models[@]}")
"$VENV/bin/python" -m server.ensure_archives ${model:+"--model=$model"} ${served[@]+"${served[@]}"}
unlock_environment
exec "$VENV/bin/python" -m server.supervisor ${action:+"$action"} ${rollouts:+"$rollouts"} ${served[@]+"${served[@]}"}
