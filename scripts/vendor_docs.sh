#!/bin/sh
# Replaces the vendored files of the documentation pages by those of their npm packages.
#   scripts/vendor_docs.sh                      the recorded versions, checked by their recorded hashes
#   SWAGGER_UI=5.36.0 scripts/vendor_docs.sh    another version (or REDOC=...), which is recorded
set -eu

cd "$(dirname "$0")/../app/api/docs/static"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

recorded() { # NAME: its version
    sed -n "s/^$1@\([^ ]*\) .*/\1/p" VENDORED
}

unpack() { # NAME VERSION: into $work/NAME
    # npm pack only downloads: it installs and runs nothing of the package or its dependencies.
    npm pack --silent --ignore-scripts --json --pack-destination "$work" "$1@$2" > "$work/packed.json"
    packed=$(node -p 'const [p] = JSON.parse(fs.readFileSync(0)); `${p.id} ${p.integrity}`' < "$work/packed.json")
    if [ "$2" = "$(recorded "$1")" ] && ! grep -qxF "$packed" VENDORED; then
        echo "This is not the $1@$2 that was recorded: $packed" >&2
        exit 1
    fi
    echo "$packed" >> "$work/VENDORED"
    mkdir "$work/$1"
    tar -xzf "$work/$1"-*.tgz -C "$work/$1" --strip-components 1
}

unpack swagger-ui-dist "${SWAGGER_UI:-$(recorded swagger-ui-dist)}"
unpack redoc "${REDOC:-$(recorded redoc)}"

# ReDoc loads its logo from another host and has no option against that. An image without a source loads nothing.
logo='src:"https://cdn.redoc.ly/redoc/logo-mini.svg"'
bundle=$work/redoc/bundles/redoc.standalone.js
if [ "$(grep -oF "$logo" "$bundle" | wc -l)" -ne 1 ]; then
    echo "This version of ReDoc loads its logo in another way: adapt this script" >&2
    exit 1
fi
sed -e "s|$logo|hidden:!0|" -e '/^\/\/# sourceMappingURL=/d' "$bundle" > "$work/redoc.standalone.js"

rm -rf swagger-ui redoc
mkdir swagger-ui redoc
(cd "$work/swagger-ui-dist" && cp LICENSE NOTICE swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css "$OLDPWD/swagger-ui")
cp "$work/redoc/LICENSE" "$work/redoc.standalone.js" "$work"/redoc/bundles/redoc.standalone.js.LICENSE.txt \
    "$work"/redoc/bundles/*.worker.js.LICENSE.txt redoc
chmod 644 swagger-ui/* redoc/*
cp "$work/VENDORED" VENDORED
echo "Vendored:" && cat VENDORED
