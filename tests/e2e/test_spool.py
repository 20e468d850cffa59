# SPDX-License-Identifier: Apache-2.0
"""Where it waits that is not delivered yet: a disk that is full, a file that is
damaged, a bound that is reached, a directory that has somebody else's."""

import collections
import itertools
import os
import random
import re
import shutil

from delivery import SEED, STALE, DeliveryTestCase
from harness import SCRATCH, run, wait_until

DAMAGES = int(os.environ.get("E2E_DAMAGES", "4"))


class Bound(DeliveryTestCase):
    """1 MB is the least that it may be. A long label soon fills it."""

    interval_ms = 300

    def config(self):
        return ("global:\n  external_labels: {filler: "
                f"{random.Random(SEED).randbytes(1000).hex()}}}\n" + super().config() +
                "spool: {max_bytes: 1MB}\n")

    def test_a_full_spool_drops_the_oldest_collections_and_counts_them(self):
        self.push()
        self.traffic()
        wait_until(lambda: self.total("samples_dropped_total"), "the bound", 60)
        self.reference.wait_collections(3)
        self.faulty.start()
        self.faulty.wait_newer(self.reference.newest_ms())
        wait_until(lambda: self.total("samples_pending") < 1000, "room in the spool", 60)
        dropped = self.total("samples_dropped_total")
        self.assertEqual(self.total("samples_dropped_total", reason="spool_full"), dropped)
        self.finish()
        self.assert_sound()
        lost = self.lost(self.faulty)
        self.assertEqual(len(lost), dropped)
        self.assertEqual(self.made_up(self.faulty), set())
        first = self.reference.times()[0]  # was under way already
        self.assertLess(max(at for _, at, _ in lost),
                        min(at for at in self.faulty.times() if at > first))


class Disk(DeliveryTestCase):
    def setUp(self):
        super().setUp()
        run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "spool", self.state])
        self.addCleanup(run, ["umount", "-l", self.state], check=False)
        self.filler = self.state / "filler"

    def fill(self):
        with open(self.filler, "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass

    def config(self):
        return super().config() + "spool: {max_bytes: 1MB}\n"

    def test_a_full_disk_loses_nothing(self):
        self.push()
        self.traffic()
        self.reference.wait_collections(5)
        self.fill()
        self.reference.wait_collections(10)
        self.assertRegex(self.daemon.log(),
                         rf"(?i)(warning|error).*{re.escape(str(self.state))}.*ENOSPC")
        self.filler.unlink()
        self.reference.wait_collections(3)
        self.faulty.start()
        self.finish()
        self.assert_delivered()

    def test_a_disk_that_is_full_from_the_start(self):
        self.fill()
        self.push()
        self.reference.wait_collections(8)
        self.faulty.start()
        self.finish()
        self.assert_delivered()

    def test_what_waited_in_memory_is_on_disk_when_there_is_room(self):
        self.push()
        self.reference.wait_collections(3)
        self.fill()
        self.reference.wait_collections(8)
        self.filler.unlink()
        self.reference.wait_collections(5)
        self.kill()
        self.push()
        self.reference.wait_collections(3)
        self.faulty.start()
        self.finish()
        self.assert_delivered(kills=1)


class Damage(DeliveryTestCase):
    """Bytes of the spool that are not what was written. One that ended in peace is
    all in spool.db; after a kill it is in its log as well, whose end nobody misses."""

    def spool(self, end):
        """What a life leaves that ended so, its receiver being down."""
        self.push()
        self.traffic()
        self.reference.wait_collections(10)
        self.pending = self.total("samples_pending")
        end()
        self.reference.stop()
        self.whole = SCRATCH / f"{self.state.name}-whole"
        shutil.copytree(self.state, self.whole)
        self.before = self.reference.update().entries()
        self.end = self.reference.newest_ms()

    def again(self, damage):
        """The life after `damage`, and what came of it. Both receivers are new."""
        shutil.rmtree(self.state)
        shutil.copytree(self.whole, self.state)
        done = damage()
        for each in self.endpoints():
            each.forget()
            each.start()
        try:
            self.push()
        except AssertionError as error:
            error.add_note(done)
            raise
        self.faulty.wait_collections(1)
        self.faulty.wait_newer(self.reference.newest_ms())
        dropped = self.total("samples_dropped_total")
        self.finish()
        self.judge(done, dropped)
        for each in self.endpoints():
            each.stop()

    def judge(self, done, dropped):
        collected = self.before | self.reference.entries()
        lost = collected - self.faulty.entries()
        # what came after its end may be in the spool alone
        garbage = {entry for entry in self.faulty.entries() - collected
                   if entry[1] <= self.end}
        for each in self.endpoints():
            self.assertEqual(each.wrong[:3], [], f"{done}: {each.name}")
        self.assertEqual(self.describe(garbage), "", f"{done}: never collected")
        said = re.search(rf"(?i)(warning|error).*{re.escape(str(self.state))}",
                         self.daemon.log())
        if lost and not said and not self.is_end_of_log(done, lost):
            self.assertEqual(dropped, len(lost),
                             f"{done}: {self.describe(lost)} is not said to be lost")

    def is_end_of_log(self, done, lost):
        """All that is newer than something: as if it had never been written."""
        first = min(at for _, at, _ in lost)
        return "-wal" in done and not [at for at in self.faulty.times()
                                       if first < at <= self.end]

    def files(self):
        return sorted(path for path in self.state.rglob("*")
                      if path.is_file() and path.stat().st_size)

    def truncate(self, chance):
        path = chance.choice(self.files())
        size = chance.randrange(path.stat().st_size)
        os.truncate(path, size)
        return f"{path.name} truncated to {size}"

    def flip(self, chance):
        path = chance.choice(self.files())
        data = bytearray(path.read_bytes())
        places = [chance.randrange(len(data)) for _ in range(chance.choice((1, 8, 64)))]
        for place in places:
            data[place] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        return f"{path.name} flipped at {places}"

    def check(self, times):
        self.again(lambda: "nothing")
        self.assertEqual(self.describe(self.before - self.faulty.entries()), "", "lost")
        print(f"E2E_SEED={SEED} E2E_DAMAGES={DAMAGES}")
        chance = random.Random(SEED)
        for number in range(times):
            self.again(lambda number=number: (self.truncate if number % 3 == 0 else
                                              self.flip)(chance))

    def test_of_a_killed_daemon_no_garbage_is_sent(self):
        self.spool(self.kill)
        self.check(DAMAGES // 2)

    def test_of_an_ended_daemon_no_garbage_is_sent_and_the_loss_is_said(self):
        self.spool(lambda: self.assertEqual(self.daemon.terminate(20)[0], 0))
        self.check_waiting()
        self.check(DAMAGES - DAMAGES // 2)

    def check_waiting(self):
        """What the daemon said that waits is what was collected, to the last one."""
        sizes = collections.Counter(at for _, at in self.reference.held)
        so_far = list(itertools.accumulate(sizes[at] for at in sorted(sizes)))
        self.assertIn(self.pending, so_far)
        self.assertEqual([so_far[-1]], [int(number) for number in re.findall(
            rf'"faulty": (\d+) samples wait in {self.state}', self.daemon.log())])
        self.assertEqual({what for (_, at), what in self.reference.held.items()
                          if at == self.end}, {STALE}, "it ended in peace")


class Owners(DeliveryTestCase):
    def second(self):
        """Another daemon with the same directory: its end and what it says."""
        other = self.bpftally("--port", self.nginx.port, "--state-dir", self.state,
                              config=self.config(), wait=False)
        return other.process.wait(), other.log()

    def test_a_directory_has_one_daemon(self):
        self.faulty.start()
        self.push()
        self.reference.wait_collections(3)
        status, log = self.second()
        self.assertNotEqual(status, 0)
        self.assertRegex(log, rf"error: .*{re.escape(str(self.state))}")
        self.reference.wait_collections(3)
        self.kill()
        self.push()
        self.reference.wait_collections(3)
        self.finish()
        self.assert_delivered(kills=1)

    def test_a_directory_that_others_can_change_is_refused(self):
        self.state.chmod(0o777)
        status, log = self.second()
        self.assertNotEqual(status, 0)
        self.assertRegex(log, rf"error: .*{re.escape(str(self.state))}")

    def test_a_directory_that_nobody_could_make_is_refused(self):
        self.state = self.state / "none" / "at-all"
        status, log = self.second()
        self.assertNotEqual(status, 0)
        self.assertRegex(log, rf"error: .*{re.escape(str(self.state.parent))}")
