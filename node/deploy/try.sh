#!/bin/sh
# Tries what compose.yaml promises: `sh node/deploy/try.sh`, once there is an image `beadmesh`.
#
# Three nodes find each other without hands and come to hold the same; one is paused, cut off from the network and
# reconnected, and all hold the same again. Everything it makes has a name of its own, and goes in the end.
set -eu
cd "$(dirname "$0")"
project="beadmesh-try-$$"
patience=120

compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose --project-name "$project" --file compose.yaml "$@"
    else
        docker-compose --project-name "$project" --file compose.yaml "$@"
    fi
}
trap 'compose down --volumes >/dev/null 2>&1' EXIT

# Runs the program in the container of a node.
node() {
    at=$(compose ps -q "$1")
    shift
    docker exec "$at" /usr/local/bin/beadmesh "$@"
}
digest() { node "$1" status --json | sed 's/.*"digest":"\([0-9a-f]*\)".*/\1/'; }
beads() { node "$1" status --json | sed 's/.*"beads":\([0-9]*\).*/\1/'; }

# Waits until all three hold so many beads and the same entries.
settle() {
    begun=$(date +%s)
    until [ "$(beads ada)" = "$1" ] && [ "$(digest ada)" = "$(digest bob)" ] && [ "$(digest ada)" = "$(digest cleo)" ]; do
        if [ $(($(date +%s) - begun)) -ge "$patience" ]; then
            echo "not settled after $patience s: $2" >&2
            compose ps >&2
            exit 1
        fi
        sleep 1
    done
    echo "settled within $(($(date +%s) - begun + 1)) s: $2"
}

compose up -d --no-build >/dev/null 2>&1
for name in ada bob cleo; do node "$name" bead create "From $name" --quiet >/dev/null; done
settle 3 "a bead of each"

bob=$(compose ps -q bob)
docker pause "$bob" >/dev/null
node ada bead create "While bob is paused" --quiet >/dev/null
docker unpause "$bob" >/dev/null
settle 4 "one node was paused"

docker network disconnect "${project}_default" "$bob"
node ada bead create "Without bob" --quiet >/dev/null
node bob bead create "Bob alone" --quiet >/dev/null
sleep 5
if [ "$(digest ada)" = "$(digest bob)" ]; then
    echo "a node that is cut off holds what the others hold: it is not cut off" >&2
    exit 1
fi
docker network connect "${project}_default" "$bob"
settle 6 "one node was cut off and reconnected"
