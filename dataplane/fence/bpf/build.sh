#!/bin/sh
# Rebuilds fence.o from fence.c; with --check, only says whether the committed object is that.
# Reproducible: no path, time or header goes into the object, so it depends on clang alone. The
# committed object was built by CLANG_MAJOR; another version is refused rather than compared.
set -eu
cd "$(dirname "$0")"

CLANG_MAJOR=14
CLANG=${CLANG:-clang}
STRIP=${LLVM_STRIP:-llvm-strip}

major=$("$CLANG" -dumpversion | cut -d. -f1)
if [ "$major" != "$CLANG_MAJOR" ]; then
    echo "build.sh: $CLANG is version $major, the committed object needs $CLANG_MAJOR" >&2
    exit 2
fi

out=fence.o
if [ "${1:-}" = --check ]; then
    out=$(mktemp)
    trap 'rm -f "$out"' EXIT
fi

# -g is for BTF, which describes the maps. DWARF and the line table go again, and take every path
# with them.
"$CLANG" -target bpfel -mcpu=v2 -O2 -g -Wall -Wextra -Werror -nostdinc \
    -fdebug-compilation-dir=. -ffile-prefix-map="$PWD"=. -c fence.c -o "$out"
"$STRIP" --strip-debug --remove-section=.BTF.ext --remove-section=.rel.BTF.ext "$out"

if [ "${1:-}" = --check ]; then
    cmp "$out" fence.o && echo "build.sh: fence.o is what fence.c builds"
fi
