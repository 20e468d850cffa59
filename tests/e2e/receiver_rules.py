# SPDX-License-Identifier: Apache-2.0
"""What Remote-Write 1.0 and 2.0 ask of a sender, and what a series must be over
the whole life of a receiver. Each rule yields a text for what breaks it.

Rules that the specifications only recommend are rules here: names by the old
regular expressions, a version header, metadata with each series of 2.0, exemplars of
at most 128 characters, as OpenMetrics has it.

A sample that is, bit for bit, the newest one of its series is no violation but a
repeat: whoever had no answer must send again. Repeats are counted."""

import collections
import functools
import math
import re

from receiver_wire import V1, V2, double

STALE = 0x7FF0000000000002
NORMAL_NAN = 0x7FF8000000000001
METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
PRODUCT = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TYPES = range(8)
EXEMPLAR_LEN_MAX = 128
SCHEMAS = range(-4, 9)
VERSIONS = {V1: "0.1.0", V2: "2.0.0"}
CONTENT_TYPES = {
    V1: "application/x-protobuf",
    V2: "application/x-protobuf;proto=io.prometheus.write.v2.Request",
}


# --- headers ----------------------------------------------------------------

def is_v2(headers):
    return "io.prometheus.write.v2" in headers.get("Content-Type", "")


def header_violations(headers):
    version = V2 if is_v2(headers) else V1
    fixed = {"Content-Encoding": "snappy", "Content-Type": CONTENT_TYPES[version],
             "X-Prometheus-Remote-Write-Version": VERSIONS[version]}
    for name, wanted in fixed.items():
        if headers.get_all(name) != [wanted]:
            yield f"{name} is {headers.get_all(name)}, not {wanted}"
    if not PRODUCT.match(headers.get("User-Agent", "")):
        yield f"User-Agent is {headers.get('User-Agent')!r}, not name/version"
    attempt = headers.get("Retry-Attempt")
    if attempt is not None and not re.match(r"[1-9][0-9]*\Z", attempt):
        yield f"Retry-Attempt is {attempt!r}"


# --- one series -------------------------------------------------------------

@functools.lru_cache(65536)  # the same ones come with every collection
def label_violations(labels):
    """A list, of the labels as a tuple."""
    return list(find_label_violations(labels))


def find_label_violations(labels):
    names = [name for name, _ in labels]
    if [name.encode() for name in names] != sorted(name.encode() for name in names):
        yield f"labels are not sorted: {names}"
    if len(set(names)) != len(names):
        yield f"a label is repeated: {names}"
    for name, value in labels:
        if not LABEL_NAME.match(name):
            yield f"label name {name!r}"
        if not value:
            yield f"label {name!r} is empty"
    if not METRIC_NAME.match(dict(labels).get("__name__", "")):
        yield f"metric name {dict(labels).get('__name__')!r}"


def value_violations(bits):
    is_nan = bits & ~(1 << 63) > 0x7FF0000000000000
    if is_nan and bits not in (STALE, NORMAL_NAN):
        yield f"NaN with bits {bits:016x}: a stale marker that was quieted?"


def time_violations(sample):
    if sample.timestamp <= 0:
        yield f"timestamp {sample.timestamp}"
    if sample.start > sample.timestamp:
        yield f"starts at {sample.start}, after its time {sample.timestamp}"


def bucket_counts(spans):
    """The counts of the buckets, in order."""
    if spans.counts:
        return spans.counts
    counts, running = [], 0
    for delta in spans.deltas:
        running += delta
        counts.append(running)
    return counts


def buckets(spans):
    """{index: count}; for spans without a violation."""
    found, index, counts = {}, 0, iter(bucket_counts(spans))
    for offset, length in spans.spans:
        index += offset
        for _ in range(length):
            found[index] = next(counts)
            index += 1
    return found


def span_violations(spans, is_float):
    if spans.counts if not is_float else spans.deltas:
        yield "buckets of the other kind than the count"
    length = sum(length for _, length in spans.spans)
    counts = bucket_counts(spans)
    if length != len(counts):
        yield f"spans of {length} buckets, {len(counts)} are given"
    if any(offset < 0 for offset, _ in spans.spans[1:]):
        yield f"spans overlap: {spans.spans}"
    if any(count < 0 for count in counts):
        yield f"a bucket's count is negative: {counts}"


def histogram_violations(histogram):
    sides = (histogram.negative, histogram.positive)
    if histogram.schema not in SCHEMAS:
        yield f"schema {histogram.schema}"
    if not histogram.zero_threshold >= 0:
        yield f"zero_threshold {histogram.zero_threshold}"
    if histogram.reset_hint not in range(4):
        yield f"reset_hint {histogram.reset_hint}"
    for side in sides:
        yield from span_violations(side, histogram.is_float)
    yield from value_violations(histogram.sum_bits)
    total = (histogram.zero_count or 0) + sum(sum(bucket_counts(side))
                                              for side in sides)
    count = histogram.count or 0
    if histogram.sum_bits == STALE:
        if total or count or any(side.spans for side in sides):
            yield "a stale histogram that counts"
    elif count != total and not (math.isnan(double(histogram.sum_bits)) and
                                 count > total):
        yield f"count {count}, buckets hold {total}"


def metadata_violations(metadata):
    if metadata is None:
        yield "no metadata"
    elif metadata.type not in TYPES:
        yield f"metadata of type {metadata.type}"


def exemplar_violations(exemplar):
    names = [name for name, _ in exemplar.labels]
    if [name.encode() for name in names] != sorted(name.encode() for name in names):
        yield f"labels of an exemplar are not sorted: {names}"
    if len(set(names)) != len(names):
        yield f"a label of an exemplar is repeated: {names}"
    for name, value in exemplar.labels:
        if not LABEL_NAME.match(name) or not value:
            yield f"exemplar with {name!r}={value!r}"
    size = sum(len(name) + len(value) for name, value in exemplar.labels)
    if size > EXEMPLAR_LEN_MAX:
        yield f"exemplar of {size} characters"
    if exemplar.timestamp <= 0:
        yield f"exemplar at {exemplar.timestamp}"
    yield from value_violations(exemplar.bits)


def series_violations(series, message):
    yield from label_violations(tuple(series.labels))
    if not series.samples and not series.histograms:
        yield "no sample"
    if message == V2:
        if series.samples and series.histograms:
            yield "samples and histograms in one series"
        yield from metadata_violations(series.metadata)
    for sample in series.samples:
        yield from value_violations(sample.bits)
    for histogram in series.histograms:
        yield from histogram_violations(histogram)
    for sample in series.samples + series.histograms:
        yield from time_violations(sample)
    for exemplar in series.exemplars:
        yield from exemplar_violations(exemplar)


# --- a request --------------------------------------------------------------

def family_violations(families):
    """Metadata of 1.0, which is of families."""
    for family in families:
        if not METRIC_NAME.match(family.name):
            yield f"metadata of {family.name!r}"
        yield from metadata_violations(family)
    names = collections.Counter(family.name for family in families)
    for name, times in names.items():
        if times > 1:
            yield f"metadata of {name!r} given {times} times"


def request_violations(request):
    if not request.series and not request.metadata:
        yield "an empty request"
    yield from family_violations(request.metadata)
    for series in request.series:
        for violation in series_violations(series, request.message):
            yield f"{violation}: {series.labels}"


class Account:
    """What a request is beside all that were taken before it."""

    def __init__(self):
        self.newest = {}  # of the series that it has
        self.repeats = 0
        self.conflicts = []
        self.disorder = []


class History:
    """The newest sample of each series that was taken."""

    def __init__(self):
        self.newest = {}

    @staticmethod
    def key(series):
        return tuple(series.labels)  # sorted, or else refused

    def account(self, request):
        account = Account()
        for series in request.series:
            key = self.key(series)
            for sample in series.samples + series.histograms:
                last = account.newest.get(key, self.newest.get(key))
                self.judge(last, sample._replace(start=0), series.labels, account)
                account.newest[key] = sample._replace(start=0)
        return account

    @staticmethod
    def judge(last, sample, labels, account):
        if last is None or (sample.timestamp > last.timestamp and
                            type(sample) is type(last)):
            return
        if sample == last:
            account.repeats += 1
        elif type(sample) is not type(last):
            account.conflicts.append(
                f"{type(sample).__name__} after {type(last).__name__}: {labels}")
        elif sample.timestamp == last.timestamp:
            account.conflicts.append(
                f"another sample than before at {sample.timestamp}: {labels}")
        else:
            account.disorder.append(
                f"{sample.timestamp} after {last.timestamp}, which is not "
                f"timestamp order: {labels}")

    def accept(self, request):
        for series in request.series:
            for sample in series.samples + series.histograms:
                self.newest[self.key(series)] = sample._replace(start=0)
