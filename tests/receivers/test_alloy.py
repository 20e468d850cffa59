# SPDX-License-Identifier: Apache-2.0
"""Grafana Alloy's own reader of its files, without its components: what those and
their arguments are called is not judged here."""

import receivers
from examples import example
from harness import TestCase, run, write_file


class Alloy(TestCase):
    def test_it_reads_the_example_and_would_format_it_no_other_way(self):
        text = example("config.alloy")
        printed = run([receivers.alloy_syntax(), write_file("config.alloy", text)])
        self.assertEqual(printed.stdout, text)

    def test_it_refuses_what_is_broken(self):
        broken = example("config.alloy", {"forward_to      = [": "forward_to      = "})
        printed = run([receivers.alloy_syntax(), write_file("config.alloy", broken)],
                      check=False)
        self.assertEqual(printed.returncode, 1)
