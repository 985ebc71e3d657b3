#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a user would write in place of lightermand: a long-lived Python process that does the connector's job.

usage: peer_connector.py INTERVAL_S BROKER_PORT TOPIC PROJECT

Holds a session for AWS and a connection to the broker, asks `docker ps` for the project's containers every interval,
logs a line for each, and publishes those that have ended since. bench/resident.py and bench/crash_latency.py measure
lightermand against it.
"""
import json
import logging
import subprocess
import sys
import threading

import boto3
import paho.mqtt.client

FORMAT = '{{.ID}}\t{{.Names}}\t{{.Image}}\t{{.State}}\t{{.Status}}'


def ask(project):
    """{id: (name, image, state, status)}"""
    done = subprocess.run(["docker", "ps", "--all", "--no-trunc", "--filter", f"label=com.docker.compose.project={project}",
                           "--format", FORMAT], stdout=subprocess.PIPE, check=True, text=True)
    return {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}


def main():
    interval, port, topic, project = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    session = boto3.session.Session(region_name="eu-west-1")
    clients = [session.client(name) for name in ("s3", "secretsmanager")]  # pylint: disable=unused-variable
    client = paho.mqtt.client.Client()
    client.connect("127.0.0.1", port, keepalive=60)
    client.loop_start()
    stop, before = threading.Event(), {}
    while True:
        now = ask(project)
        for identity, (name, image, state, status) in now.items():
            logging.info("%s %s %s %s", name, image, state, status)
            if state == "exited" and before.get(identity, ("", "", "running", ""))[2] != "exited":
                client.publish(topic, json.dumps({"event": "died", "container": name, "image": image}), qos=1)
        before = now
        stop.wait(interval)


if __name__ == "__main__":
    main()
