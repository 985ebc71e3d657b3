# SPDX-License-Identifier: Apache-2.0
"""The rows of scripts/bench: which module measures which, and what a row is. Needs nothing but Python."""
PEER = "bench/peer-deploy.sh"
# Names are stable. Each module has measure(args, folder, wanted), which returns the wanted ones of its rows.
NAMES = {
    "deployments": ("deploy_wall_images_present", "deploy_cpu_images_present", "deploy_wall_images_to_pull",
                    "deploy_cpu_images_to_pull", "deploy_share_compose_and_engine"),
    "many_secrets": ("deploy_wall_secrets_1", "deploy_wall_secrets_10", "deploy_wall_secrets_50",
                     "deploy_growth_from_1_to_50_secrets"),
    "resident": tuple(f"{what}_{size}_containers" for what in ("pss", "rss") for size in (0, 1, 10, 100)) +
                tuple(f"tick_cpu_{size}_containers{peer}" for size in (1, 10, 100)
                      for peer in ("", "_compose", "_compose2")) +
                tuple(f"crash_to_message_{size}_containers" for size in (1, 10, 100)) +
                ("crash_to_message_default_interval",),
    "router": tuple(f"router_{what}_{size}_subscriptions" for size in (10, 1000, 10000)
                    for what in ("message", "cpu", "other_topics", "message_tls", "latency_p50", "latency_p99")),
    "shadows": tuple(f"shadow_{what}_{size}_devices" for size in (1, 100)
                     for what in ("update", "latency_p50", "latency_p99")),
}


def names(modules=None):
    return [name for module in modules or NAMES for name in NAMES[module]]


def row(name, unit, ours, peer=None, peer_name=PEER):
    """As docs/formats.md has it: without a peer there is no ratio."""
    with_peer = peer is not None
    return {"name": name, "unit": unit, "ours": round(ours, 3), "peer": round(peer, 3) if with_peer else None,
            "peer_name": peer_name if with_peer else None, "ratio": round(ours / peer, 3) if with_peer else None}
