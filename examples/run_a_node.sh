#!/usr/bin/env bash
# Run a node of your own on a devnet, from nothing to a healthy agent, and end it again:
#
#     blackhole devnet up --detach        # then run the exports it prints
#     bash examples/run_a_node.sh my-node
#
# On a public network the commands are the same; there HOLE and gas money come from you, not from a faucet.
set -euo pipefail

folder=${1:?a folder for the node}
address=${2:-127.99.1.1}              # a loopback address of its own; in real life: a host name others can reach
mkdir -p "$folder"
umask 077
export BLACKHOLE_NODE=$folder/agent
export BLACKHOLE_PASSPHRASE_FILE=$folder/passphrase
[ -e "$BLACKHOLE_PASSPHRASE_FILE" ] || head -c 24 /dev/urandom | base64 > "$BLACKHOLE_PASSPHRASE_FILE"

field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
free_port() { python3 -c 'import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])' "$1"; }

# Your key: it registers, bonds, is paid. It never gets into the agent.
owner=$(blackhole --json account new operator | field address)
blackhole devnet faucet "$owner" --hole 5000

# The node: its folder, its TLS key, its hot key. The hot key pays the agent's gas.
listen=$address:$(free_port "$address")
hot=$(blackhole --json node init --listen "$listen" --endpoint "https://$listen" --capacity 2 --price 0.9 --egress 500 | field signer)
blackhole devnet faucet "$hot" --hole 0

own() { env -u BLACKHOLE_KEY_FILE blackhole --account operator --yes "$@"; }
own node register
own node offer --price 0.9 --capacity 2
own node bond 1000

# The agent. In real life: a service of the system, for example a systemd unit with this command.
blackhole node run 2> "$folder/agent.log" &
agent=$!
trap 'kill $agent 2> /dev/null || true' EXIT
for _ in $(seq 60); do
    if blackhole node status > "$folder/status" 2>&1; then break; fi
    sleep 1
done
cat "$folder/status"
blackhole node status > /dev/null       # exit code 0: all is well

# SIGTERM: it takes no new work, redeems its vouchers, ends.
kill $agent
wait $agent
trap - EXIT
echo "the agent has ended; blackhole node run $BLACKHOLE_NODE starts it again"
