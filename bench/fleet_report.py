# SPDX-License-Identifier: Apache-2.0
"""What bench/fleet prints."""
import os

from fleet_figures import FLAT_MAX, GROWTH_MAX, bars, growth, spread

# Key, what it is, and how many decimals. Those that are not per device have no verdict of their own.
ROWS = (
    ("start_s", "until all have connected, s", 1), ("all_reported_s", "until all have reported, s", 1),
    ("devices_per_s", "devices a second", 1), ("report_p50_s", "  a device, median, s", 2),
    ("report_p99_s", "  a device, 99th percentile, s", 2), ("messages_up_per_device", "messages from a device", 2),
    ("messages_down_per_device", "messages to a device", 2), ("mqtt_bytes_up_per_device", "bytes from a device, MQTT", 0),
    ("mqtt_bytes_down_per_device", "bytes to a device, MQTT", 0), ("s3_bytes_per_device", "bytes a device, S3", 0),
    ("cpu_s_per_device", "CPU a device, s", 3), ("cpu_user_s_per_device", "  in the programs", 3),
    ("cpu_system_s_per_device", "  in the kernel", 3), ("private_mb_per_device", "memory a device, private, MB", 2),
    ("pss_mb_per_device", "memory a device, Pss, MB", 2), ("rss_mb_per_device", "memory a device, Rss, MB", 2),
)
RESTART = (
    ("all_reported_s", "until all have reported, s", 1), ("broker_away_s", "broker away, s", 1),
    ("connections", "connections afterwards", 0), ("reconnected_p50_s", "reconnected, median, s", 1),
    ("reconnected_p90_s", "reconnected, 90th percentile, s", 1), ("reconnected_last_s", "reconnected, last, s", 1),
    ("most_connects_in_a_second", "connections in the worst second", 0),
    ("share_in_the_worst_second", "  of all devices, share", 3),
)
TOTALS = ("all_reported_s", "messages_up_per_device", "messages_down_per_device", "mqtt_bytes_up_per_device",
          "mqtt_bytes_down_per_device", "s3_bytes_per_device", "cpu_s_per_device", "private_mb_per_device")


def file_system(folder):
    """Of the devices' files."""
    best = max((line.split() for line in open("/proc/mounts", encoding="utf-8")
                if os.path.commonpath([line.split()[1], folder]) == line.split()[1]), key=lambda found: len(found[1]))
    return best[2]


def growths(rollouts):
    """{figure: {"exponent", "linear"}} of the fleet's totals, and for figures per device also {"spread", "flat"}."""
    found = {}
    sizes = [rollout["devices"] for rollout in rollouts]
    if len(sizes) < 2:
        return found
    for key in TOTALS:
        values = [rollout[key] for rollout in rollouts]
        per_device = key.endswith("_per_device")
        exponent = growth(sizes, [value * size for value, size in zip(values, sizes)] if per_device else values)
        found[key] = {"exponent": exponent, "linear": exponent is not None and exponent <= GROWTH_MAX}
        if per_device:
            found[key].update(spread=spread(values), flat=spread(values) <= FLAT_MAX)
    return found


def verdict(found):
    if not found:
        return ""
    text = f"n^{found['exponent']:.2f}"
    if "spread" in found:
        text += f", largest/smallest {found['spread']:.2f}" + ("" if found["flat"] else " NOT FLAT")
    return text + ("" if found["linear"] else " NOT LINEAR")


def table(rows, columns, growth_of):
    lines = []
    for key, what, decimals in rows:
        cells = "".join(f"{column[key]:>12.{decimals}f}" for column in columns)
        lines.append(f"{what:<34}{cells}  {verdict(growth_of.get(key))}".rstrip())
    return lines


def text(found):
    lines = []
    rollouts = found["rollouts"]
    if rollouts:
        lines.append(f"A job to all devices, {rollouts[0]['at_a_time']} at a time; the devices' files on {found['files_on']}")
        lines.append(f"{'devices':<34}" + "".join(f"{rollout['devices']:>12}" for rollout in rollouts) + "  growth of the total")
        lines += table(ROWS, rollouts, found["growth"])
        lines += ["", "Another one, the broker restarted when half of the devices have reported"]
        lines += table(RESTART, [rollout["broker_restart"] for rollout in rollouts], {})
        for rollout in rollouts:
            restart = rollout["broker_restart"]
            lines += ["", f"Connections after the broker stopped, {rollout['devices']} devices"]
            lines += bars(restart["connects_per_slot"], restart["slot_s"])
    if found["idle"]:
        lines += [""] if lines else []
        lines += idle_text(found["idle"])
    return "\n".join(lines)


def idle_text(idle):
    lines = [f"An idle device with default settings, {idle['days']} days at {idle['speed']} times the speed, "
             f"{idle['seconds']:.0f} s"]
    for key, what in (("bytes_up_per_month", "bytes from the device, a month"), ("bytes_down_per_month", "bytes to it"),
                      ("bytes_per_month", "both"), ("packets_per_month", "packets, both"), ("pings", "pings in that time"),
                      ("pings_due", "  due"), ("connects", "connections in that time"), ("messages", "messages in that time"),
                      ("s3_bytes", "bytes to and from S3 in that time")):
        lines.append(f"{what:<40}{idle[key]:>12.0f}")
    return lines
