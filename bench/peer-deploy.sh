#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a user would write instead of Lighterman: fetch, log in, pull, down, up, say so over MQTT.
# bench/bench.py runs it against the same store, registry, engine and broker as ours.
#
# Environment: BUCKET KEY ENDPOINT (S3), REGISTRY REGISTRY_USER PASSWORD_FILE, DESTINATION (folder),
# COMPOSE (program), BROKER_PORT TOPIC, and the AWS SDKs' own. SECRETS, if set, are ARNs to be fetched from
# SECRETS_ENDPOINT and logged in with, in place of the password file. PULL, if set and empty: images are there.
# STEPS, if set, is a file that takes a line "step wall user system" (seconds) for each step.
set -euo pipefail

project=greengrassdockerapplicationdeployment
file=$DESTINATION/docker-compose.yml
TIMEFORMAT='%R %U %S'

step() {
	local name=$1
	shift
	if [ -z "${STEPS:-}" ]; then
		"$@"
		return
	fi
	printf '%s ' "$name" >>"$STEPS"
	{ time "$@" 2>&3; } 3>&2 2>>"$STEPS"
}

fetch() { aws s3 cp --only-show-errors --endpoint-url "$ENDPOINT" "s3://$BUCKET/$KEY" "$file"; }
field() { # field NAME: out of the secret's JSON
	[[ $secret =~ \"$1\":\ *\"([^\"]*)\" ]] && echo "${BASH_REMATCH[1]}"
}
login_by() { # login_by ARN
	local secret
	secret=$(aws secretsmanager get-secret-value --endpoint-url "$SECRETS_ENDPOINT" --secret-id "$1" \
		--query SecretString --output text)
	docker login --username "$(field username)" --password-stdin "$(field registryUrl)" < <(field password)
}
login() { docker login --username "$REGISTRY_USER" --password-stdin "$REGISTRY" <"$PASSWORD_FILE"; }
compose() { "$COMPOSE" -p "$project" -f "$file" "$@"; }
say() { mosquitto_pub -h 127.0.0.1 -p "$BROKER_PORT" -q 1 -t "$TOPIC" -m '{"status":"success"}'; }

step fetch fetch
if [ -n "${SECRETS:-}" ]; then
	for arn in $SECRETS; do step login login_by "$arn"; done
else
	step login login
fi
[ -z "${PULL-yes}" ] || step pull compose pull --quiet
step down compose down --remove-orphans
step up compose up -d
step publish say
