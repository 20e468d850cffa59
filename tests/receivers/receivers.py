# SPDX-License-Identifier: Apache-2.0
"""The programs that are built here: each once, when a test asks for it."""

import functools
import os
import pathlib
import subprocess

BUILD = pathlib.Path(__file__).resolve().parent / "build"


@functools.cache
def receiver(name, variable):
    """The path that the environment's variable has, or that of what is built."""
    given = os.environ.get(variable)
    if given:
        return given
    return subprocess.run([BUILD, name], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def prometheus():
    return receiver("prometheus", "PROMETHEUS3")


def collector():
    return receiver("collector", "COLLECTOR")


def victoria_logs():
    return receiver("victoria-logs", "VICTORIA_LOGS")


def collector_scraping():
    """One with Prometheus' receiver."""
    return receiver("collector-scraping", "COLLECTOR_SCRAPING")


def alloy_syntax():
    """The reader of Grafana Alloy's files."""
    return receiver("alloy-syntax", "ALLOY_SYNTAX")


def victoria_metrics():
    return receiver("victoria-metrics", "VICTORIA_METRICS")


def exposing_go():
    """Targets: programs with the official client libraries."""
    return receiver("exposing-go", "EXPOSING_GO")


def exposing_node():
    return receiver("exposing-node", "EXPOSING_NODE")
