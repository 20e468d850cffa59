# SPDX-License-Identifier: Apache-2.0
"""The strict receiver, judged: messages made by hand, each with one thing wrong,
are refused for that thing; those with nothing wrong are taken. A receiver that
takes everything would let every test of delivery pass."""

import email.message
import http.client
import json
import struct
import threading

from harness import SCRATCH, Process, TestCase, free_port, table, wait_until
from receiver import Judge
from receiver_rules import CONTENT_TYPES, VERSIONS
from receiver_wire import V1, V2, unsnap
from servers import PYTHON

STALE = 0x7FF0000000000002


# --- messages by hand -------------------------------------------------------

def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def zigzag(value):
    return value << 1 if value >= 0 else (-value << 1) - 1


def number(field, value):
    return varint(field << 3) + varint(value % (1 << 64))


def bits(field, value):
    return varint(field << 3 | 1) + struct.pack("<Q", value)


def double(field, value):
    return varint(field << 3 | 1) + struct.pack("<d", value)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field, values):
    return data(field, b"".join(varint(value) for value in values))


def snap(body):
    """One literal: what every reader of snappy must take."""
    if not body:
        return b"\0"
    size = len(body) - 1
    return varint(len(body)) + b"\xf8" + size.to_bytes(3, "little") + body


def spans(field, *pairs):
    return b"".join(data(field, number(1, zigzag(offset)) + number(2, length))
                    for offset, length in pairs)


def histogram(count=6, positive=spans(11, (-2, 2), (3, 1)), deltas=(1, 1, 1),
              timestamp=1000, schema=3, total=1.5, zero=number(6, 0), extra=b""):
    """Buckets -2: 1, -1: 2, 3: 3."""
    return (number(1, count) + (double(3, total) if isinstance(total, float)
                                else bits(3, total)) +
            number(4, zigzag(schema)) + double(5, 2.0 ** -128) + zero +
            positive + packed(12, map(zigzag, deltas)) + number(15, timestamp) + extra)


def sample(value=1.0, timestamp=1000, extra=b""):
    return double(1, value) + number(2, timestamp) + extra


LABELS = (("__name__", "m_total"), ("a", "x"))


def exemplar_v1(labels=(("trace_id", "x"),), value=1.0, timestamp=1000):
    return data(3, b"".join(data(1, data(1, name) + data(2, text))
                            for name, text in labels) +
                double(2, value) + number(3, timestamp))


def exemplar_v2(refs=(3, 4), value=1.0, timestamp=1000):
    return data(4, packed(1, refs) + double(2, value) + number(3, timestamp))


def series_v1(labels=LABELS, samples=(sample(),), histograms=(), extra=b""):
    return data(1, b"".join(data(1, data(1, name) + data(2, value))
                            for name, value in labels) +
                b"".join(data(2, each) for each in samples) +
                b"".join(data(4, each) for each in histograms) + extra)


def family(name="m_total", kind=1, extra=b""):
    return data(3, number(1, kind) + data(2, name) + data(4, "Help.") + extra)


SYMBOLS = ("", "__name__", "m_total", "a", "x", "Help.", "seconds")
METADATA = data(5, number(1, 1) + number(3, 5) + number(4, 6))


def series_v2(refs=(1, 2, 3, 4), samples=(sample(),), histograms=(), metadata=METADATA):
    return data(5, packed(1, refs) + b"".join(data(2, each) for each in samples) +
                b"".join(data(3, each) for each in histograms) + metadata)


def request_v2(*series, symbols=SYMBOLS):
    return b"".join(data(4, symbol) for symbol in symbols) + b"".join(series)


def headers_of(message, **changes):
    wanted = {"Content-Encoding": "snappy", "Content-Type": CONTENT_TYPES[message],
              "X-Prometheus-Remote-Write-Version": VERSIONS[message],
              "User-Agent": "test/1", **changes}
    headers = email.message.Message()
    for name, value in wanted.items():
        if value is not None:
            headers[name] = value
    return headers


# --- one request, one reason ------------------------------------------------

GOOD_V1 = {
    "a_number": series_v1(),
    "two_of_them_in_order": series_v1(samples=(sample(), sample(2.0, 1001))),
    "a_label_value_of_any_text": series_v1((("__name__", "m"), ("a", "Grüße \n"))),
    "a_native_histogram": series_v1(samples=(), histograms=(histogram(),)),
    "a_stale_marker": series_v1(samples=(bits(1, STALE) + number(2, 1000),)),
    "a_stale_native_histogram": series_v1(samples=(), histograms=(
        histogram(0, b"", (), total=STALE),)),
    "metadata": family() + family("other", 3),
    "metadata_of_an_unknown_type": family(kind=0),
    "an_exemplar": series_v1(extra=exemplar_v1()),
    "an_exemplar_without_labels": series_v1(extra=exemplar_v1(())),
    "an_exemplar_of_128_characters": series_v1(
        extra=exemplar_v1((("trace_id", "ü" * 120),))),
}
BAD_V1 = {
    "nothing_in_it": (b"", "an empty request"),
    "labels_out_of_order": (series_v1(LABELS[::-1]), "not sorted"),
    "a_label_twice": (series_v1(LABELS + (("a", "y"),)), "a label is repeated"),
    "an_empty_value": (series_v1((("__name__", "m"), ("a", ""))), "'a' is empty"),
    "no_name": (series_v1((("a", "x"),)), "metric name None"),
    "a_name_with_a_dot": (series_v1((("__name__", "m.n"),)), "metric name 'm.n'"),
    "a_label_name_with_a_colon": (series_v1((("__name__", "m"), ("a:b", "x"))),
                                  "label name 'a:b'"),
    "a_series_without_a_sample": (series_v1(samples=()), "no sample"),
    "a_nan_of_its_own": (series_v1(samples=(bits(1, 0x7FF8000000000002),)),
                         "quieted"),
    "no_timestamp": (series_v1(samples=(double(1, 1.0),)), "timestamp 0"),
    "one_timestamp_with_two_values": (
        series_v1(samples=(sample(), sample(2.0))), "another sample than before"),
    "time_that_goes_back": (
        series_v1(samples=(sample(), sample(1.0, 999))), "999 after 1000"),
    "an_exemplar_of_129_characters": (
        series_v1(extra=exemplar_v1((("trace_id", "x" * 121),))),
        "exemplar of 129 characters"),
    "an_exemplar_with_an_empty_label": (
        series_v1(extra=exemplar_v1((("trace_id", ""),))), "'trace_id'=''"),
    "an_exemplar_with_labels_out_of_order": (
        series_v1(extra=exemplar_v1((("b", "x"), ("a", "x")))),
        "labels of an exemplar are not sorted"),
    "an_exemplar_with_a_label_twice": (
        series_v1(extra=exemplar_v1((("a", "x"), ("a", "y")))),
        "a label of an exemplar is repeated"),
    "an_exemplar_without_a_time": (
        series_v1(extra=exemplar_v1(timestamp=0)), "exemplar at 0"),
    "a_sample_with_a_start": (series_v1(samples=(sample(extra=number(3, 1)),)),
                              "Sample has field 3"),
    "an_unknown_field": (series_v1(extra=data(9, "")), "TimeSeries has field 9"),
    "the_message_of_2_0": (request_v2(series_v2()), "WriteRequest has field 4"),
    "a_label_that_is_no_utf8": (series_v1((("__name__", "m"), ("a", b"\xff"))),
                                "not UTF-8"),
    "a_field_cut_off": (series_v1()[:-1], "beyond the end"),
    "a_wire_type_of_old": (series_v1(extra=varint(9 << 3 | 3)), "wire type 3"),
    "a_label_with_two_names": (series_v1(extra=data(1, data(1, "b") + data(1, "c"))),
                               "label name given 2 times"),
    "metadata_without_a_name": (family(""), "metadata of ''"),
    "metadata_twice": (family() + family(), "given 2 times"),
    "a_histogram_with_a_start": (
        series_v1(samples=(), histograms=(histogram(extra=number(17, 1)),)),
        "Histogram has field 17"),
    "a_histogram_with_custom_values": (
        series_v1(samples=(), histograms=(histogram(extra=packed(16, ())),)),
        "Histogram has field 16"),
}
HISTOGRAMS = {
    "more_than_its_buckets": (histogram(7), "count 7, buckets hold 6"),
    "less_than_its_buckets": (histogram(5), "count 5, buckets hold 6"),
    "a_span_too_long": (histogram(positive=spans(11, (-2, 2), (3, 2))),
                        "spans of 4 buckets, 3 are given"),
    "no_spans": (histogram(positive=b""), "spans of 0 buckets, 3 are given"),
    "spans_that_overlap": (histogram(positive=spans(11, (-2, 2), (-1, 1))),
                           "spans overlap"),
    "a_negative_bucket": (histogram(0, deltas=(1, -2, 2)), "bucket's count is negative"),
    "a_schema_that_is_none": (histogram(schema=9), "schema 9"),
    "buckets_of_its_own": (histogram(schema=-53), "schema -53"),
    "counts_of_two_kinds": (histogram(extra=double(2, 6.0)), "count both as"),
    "floats_as_its_buckets": (
        histogram(0, spans(11, (0, 1)), (), extra=data(13, struct.pack("<d", 1.0))),
        "buckets of the other kind"),
    "a_stale_one_that_counts": (histogram(total=STALE), "stale histogram that counts"),
    "a_sum_of_a_nan_of_its_own": (histogram(total=0x7FF8000000000003), "quieted"),
    "no_time": (histogram(timestamp=0), "timestamp 0"),
    "a_negative_width_of_zero": (histogram(extra=double(5, -1.0)), "zero_threshold -1.0"),
    "a_zero_count_of_another_kind": (histogram(zero=double(7, 0.0)), "different kinds"),
    "a_bucket_cut_off": (histogram(extra=data(13, b"1234")), "double cut off"),
    "an_unknown_hint": (histogram(extra=number(14, 4)), "reset_hint 4"),
}
GOOD_V2 = {
    "a_number": request_v2(series_v2()),
    "a_number_with_a_start": request_v2(series_v2(samples=(
        sample(extra=number(3, 1000)),))),
    "a_native_histogram": request_v2(series_v2(samples=(), histograms=(
        histogram(extra=number(17, 5)),))),
    "a_stale_marker": request_v2(series_v2(samples=(bits(1, STALE) + number(2, 9),))),
    "an_exemplar": request_v2(series_v2(metadata=exemplar_v2() + METADATA)),
}
BAD_V2 = {
    "an_exemplar_of_a_symbol_too_far": (
        request_v2(series_v2(metadata=exemplar_v2((3, 7)) + METADATA)),
        "label refers to symbol 7 of 7"),
    "an_exemplar_without_a_time": (
        request_v2(series_v2(metadata=exemplar_v2(timestamp=0) + METADATA)),
        "exemplar at 0"),
    "nothing_in_it": (b"", "symbols do not begin with an empty one"),
    "no_series": (request_v2(), "an empty request"),
    "no_empty_symbol": (request_v2(series_v2((0, 1, 2, 3)), symbols=SYMBOLS[1:]),
                        "symbols do not begin with an empty one"),
    "a_symbol_twice": (request_v2(series_v2(), symbols=SYMBOLS + ("x",)),
                       "a symbol is given twice"),
    "a_reference_too_far": (request_v2(series_v2((1, 2, 3, 7))),
                            "label refers to symbol 7 of 7"),
    "a_reference_that_is_no_number": (request_v2(series_v2((1, 2, 3, 1 << 32))),
                                      "4294967296 is no uint32"),
    "a_name_without_a_value": (request_v2(series_v2((1, 2, 3))),
                               "3 references: a name without a value"),
    "no_labels": (request_v2(series_v2(())), "metric name None"),
    "an_empty_value": (request_v2(series_v2((1, 2, 3, 0))), "'a' is empty"),
    "labels_out_of_order": (request_v2(series_v2((3, 4, 1, 2))), "not sorted"),
    "a_label_twice": (request_v2(series_v2((1, 2, 3, 4, 3, 5))), "a label is repeated"),
    "no_sample": (request_v2(series_v2(samples=())), "no sample"),
    "samples_and_histograms": (request_v2(series_v2(histograms=(histogram(),))),
                               "samples and histograms in one series"),
    "no_metadata": (request_v2(series_v2(metadata=b"")), "no metadata"),
    "metadata_of_no_type": (
        request_v2(series_v2(metadata=data(5, number(1, 8)))), "metadata of type 8"),
    "metadata_twice": (request_v2(series_v2(metadata=METADATA * 2)),
                       "metadata given 2 times"),
    "help_too_far": (request_v2(series_v2(metadata=data(5, number(1, 1) + number(3, 9)))),
                     "help refers to symbol 9 of 7"),
    "unit_too_far": (request_v2(series_v2(metadata=data(5, number(1, 1) + number(4, 9)))),
                     "unit refers to symbol 9 of 7"),
    "a_start_after_its_time": (
        request_v2(series_v2(samples=(sample(extra=number(3, 1001)),))),
        "starts at 1001, after its time 1000"),
    "a_histogram_that_starts_too_late": (
        request_v2(series_v2(samples=(), histograms=(histogram(extra=number(17, 1001)),))),
        "starts at 1001, after its time 1000"),
    "the_field_of_old_created_timestamps": (
        request_v2(data(5, packed(1, (1, 2)) + data(2, sample()) + METADATA +
                        number(6, 1))), "TimeSeries has field 6"),
    "the_message_of_1_0": (series_v1(), "Request has field 1"),
}
HEADERS = {
    "content_type_of_1_0": (V2, {"Content-Type": CONTENT_TYPES[V1]},
                            "Remote-Write-Version is"),
    "content_type_of_2_0": (V1, {"Content-Type": CONTENT_TYPES[V2]},
                            "Remote-Write-Version is"),
    "content_type": (V1, {"Content-Type": "application/x-protobuf; charset=utf-8"},
                     "Content-Type is"),
    "no_encoding": (V1, {"Content-Encoding": None}, "Content-Encoding is None"),
    "encoding": (V2, {"Content-Encoding": "gzip"}, "Content-Encoding is"),
    "version_of_2_0": (V1, {"X-Prometheus-Remote-Write-Version": "2.0.0"},
                       "Remote-Write-Version is"),
    "version_of_1_0": (V2, {"X-Prometheus-Remote-Write-Version": "0.1.0"},
                       "Remote-Write-Version is"),
    "no_user_agent": (V1, {"User-Agent": None}, "User-Agent is"),
    "user_agent": (V2, {"User-Agent": "test"}, "User-Agent is"),
    "retry_attempt": (V1, {"Retry-Attempt": "0"}, "Retry-Attempt is '0'"),
}
GOOD_BODY = {V1: series_v1(), V2: request_v2(series_v2())}


def rows():
    """{test name: (message, changes of headers, body, reason or None)}"""
    for name, body in GOOD_V1.items():
        yield f"1_0_takes_{name}", (V1, {}, body, None)
    for name, body in GOOD_V2.items():
        yield f"2_0_takes_{name}", (V2, {}, body, None)
    for name, (body, reason) in BAD_V1.items():
        yield f"1_0_refuses_{name}", (V1, {}, body, reason)
    for name, (body, reason) in BAD_V2.items():
        yield f"2_0_refuses_{name}", (V2, {}, body, reason)
    for name, (each, reason) in HISTOGRAMS.items():
        yield f"1_0_refuses_a_histogram_with_{name}", (
            V1, {}, series_v1(samples=(), histograms=(each,)), reason)
        yield f"2_0_refuses_a_histogram_with_{name}", (
            V2, {}, request_v2(series_v2(samples=(), histograms=(each,))), reason)
    for name, (message, changes, reason) in HEADERS.items():
        yield f"{message[0]}_0_refuses_{name}", (message, changes, GOOD_BODY[message],
                                                 reason)


@table(dict(rows()))
class Messages(TestCase):
    def check(self, row):
        message, changes, body, reason = row
        verdict = Judge().judge(headers_of(message, **changes), snap(body))
        if reason is None:
            self.assertEqual(verdict.violations, [])
            self.assertEqual(verdict.answer.status, 204)
            return
        self.assertEqual(verdict.answer.status, 400)
        self.assertIn(reason, verdict.violations[0])
        self.assertEqual(verdict.taken, (0, 0))


# --- snappy -----------------------------------------------------------------

@table({
    "framed": (b"\xff\x06\x00\x00sNaPpY", "snappy is framed"),
    "a_size_that_is_not_true": (b"\x05\x00a", "snappy says 5 bytes, has 1"),
    "a_size_cut_off": (b"\x80", "varint cut off"),
    "a_size_too_large": (varint(33 << 20), "34603008 bytes uncompressed"),
    "a_literal_cut_off": (b"\x05\x10ab", "snappy literal beyond the end"),
    "a_copy_from_nowhere": (b"\x05\x00a\x05\x02", "snappy copy from before the start"),
    "a_copy_cut_off": (b"\x05\x00a\x02\x01", "snappy copy beyond the end"),
})
class Snappy(TestCase):
    def check(self, row):
        body, reason = row
        verdict = Judge().judge(headers_of(V1), body)
        self.assertIn(reason, verdict.violations[0])

    def test_copies_repeat_what_came_before(self):
        self.assertEqual(unsnap(b"\x0b\x08abc\x05\x03\x0a\x01\x00"), b"abcabcabbbb")


# --- over time --------------------------------------------------------------

class Order(TestCase):
    def setUp(self):
        super().setUp()
        self.judge = Judge()

    def send(self, body, message=V1, judge=None):
        return (judge or self.judge).judge(headers_of(message), snap(body)).record()

    def test_time_goes_on_over_requests(self):
        for timestamp in (1000, 1001, 2000):
            self.assertEqual(self.send(series_v1(samples=(sample(1.0, timestamp),)))
                             ["status"], 204)

    def test_a_newest_sample_again_is_a_repeat(self):
        self.send(series_v1())
        record = self.send(series_v1())
        self.assertEqual((record["status"], record["repeats"], record["conflicts"]),
                         (204, 1, 0))

    def test_the_same_time_with_another_value_is_a_conflict(self):
        self.send(series_v1())
        record = self.send(series_v1(samples=(sample(2.0),)))
        self.assertEqual((record["status"], record["repeats"], record["conflicts"]),
                         (400, 0, 1))

    def test_an_older_sample_again_is_disorder(self):
        self.send(series_v1())
        self.send(series_v1(samples=(sample(1.0, 1001),)))
        record = self.send(series_v1())
        self.assertEqual((record["status"], record["repeats"], record["disorder"]),
                         (400, 0, 1))

    def test_order_is_of_each_series(self):
        self.send(series_v1())
        self.assertEqual(self.send(series_v1((("__name__", "n"),), (sample(1.0, 5),)))
                         ["status"], 204)

    def test_both_messages_are_of_the_same_series(self):
        self.send(series_v1())
        record = self.send(request_v2(series_v2(samples=(sample(extra=number(3, 7)),))),
                           V2)
        self.assertEqual((record["status"], record["repeats"]), (204, 1))
        self.assertEqual(self.send(request_v2(series_v2(samples=(sample(1.0, 999),))),
                                   V2)["disorder"], 1)

    def test_a_number_does_not_become_a_histogram(self):
        self.send(series_v1())
        self.assertEqual(self.send(series_v1(samples=(), histograms=(
            histogram(timestamp=2000),)))["conflicts"], 1)

    def test_what_was_refused_was_not_taken(self):
        judge = Judge("503,400,204")
        for status in (503, 400, 204):
            record = self.send(series_v1(), judge=judge)
            self.assertEqual((record["status"], record["repeats"]), (status, 0))

    def test_what_was_lost_on_its_way_back_was_taken(self):
        for action in ("lost", "half", "endless"):
            judge = Judge(f"{action},204")
            self.assertEqual(self.send(series_v1(), judge=judge)["taken"], (1, 0))
            self.assertEqual(self.send(series_v1(), judge=judge)["repeats"], 1)

    def test_a_partial_write_takes_the_first_ones(self):
        judge = Judge("400:Written=1/0,204")
        both = request_v2(series_v2(), series_v2((1, 4)))
        self.assertEqual(self.send(both, V2, judge)["taken"], (1, 0))
        record = self.send(both, V2, judge)
        self.assertEqual((record["taken"], record["repeats"]), ((2, 0), 1))


# --- what it answers --------------------------------------------------------

class Answers(TestCase):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.output = SCRATCH / f"receiver-{self.port}.json"

    def receive(self, *arguments):
        self.receiver = self.start(Process(
            [PYTHON, __file__.replace("test_", ""), "--port", self.port, "--output",
             self.output, *arguments], name="receiver"), self.port)

    def post(self, body, message=V2, deadline_s=5):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=deadline_s)
        try:
            connection.request("POST", "/push", snap(body),
                               dict(headers_of(message).items()))
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def written(self, answer):
        return [answer.getheader(f"X-Prometheus-Remote-Write-{name}-Written")
                for name in ("Samples", "Histograms", "Exemplars")]

    def records(self):
        return [json.loads(line) for line in
                self.output.read_text(encoding="utf-8").splitlines()]

    def test_2_0_is_told_what_was_written(self):
        self.receive()
        self.assertEqual(self.written(self.post(GOOD_BODY[V2])), ["1", "0", "0"])
        self.assertEqual(self.written(self.post(request_v2(
            series_v2((1, 4), (), (histogram(),))))), ["0", "1", "0"])
        self.assertEqual(self.written(self.post(series_v1((("__name__", "other"),)), V1)),
                         [None] * 3)

    def test_or_what_the_script_says(self):
        self.receive("--script", "204:Written=none,204:Written=7/8,400:Written=0,204")
        self.assertEqual(self.written(self.post(GOOD_BODY[V2])), [None] * 3)
        self.assertEqual(self.written(self.post(GOOD_BODY[V2])), ["7", "8", "0"])
        answer = self.post(GOOD_BODY[V2])
        self.assertEqual((answer.status, self.written(answer)), (400, ["0", "0", "0"]))

    def test_a_receiver_of_1_0_takes_2_0_as_an_empty_request(self):
        self.receive("--only-v1")
        answer = self.post(GOOD_BODY[V2])
        self.assertEqual((answer.status, self.written(answer)), (204, [None] * 3))
        self.assertEqual(self.records()[0]["taken"], [0, 0])
        self.post(GOOD_BODY[V1], V1)
        self.assertEqual(self.records()[1]["taken"], [1, 0])
        self.assertEqual(self.records()[1]["repeats"], 0)

    def test_or_refuses_it(self):
        self.receive("--only-v1=415")
        self.assertEqual(self.post(GOOD_BODY[V2]).status, 415)
        self.assertEqual(self.post(GOOD_BODY[V1], V1).status, 204)

    def test_a_connection_that_is_cut(self):
        self.receive("--script", "cut,lost,204")
        for action in ("cut", "lost"):
            with self.assertRaises((OSError, http.client.HTTPException)):
                self.post(GOOD_BODY[V2])
        self.post(GOOD_BODY[V2])
        self.assertEqual([(record["status"], record["taken"], record["repeats"])
                          for record in self.records()],
                         [("cut", [0, 0], 0), ("lost", [1, 0], 0), (204, [1, 0], 1)])

    def test_an_end_answers_what_was_taken(self):
        self.receive("--script", "204:Delay=0.3")
        answer = []
        thread = threading.Thread(target=lambda: answer.append(
            self.post(GOOD_BODY[V2]).status))
        thread.start()
        wait_until(lambda: self.output.exists() and self.records(), "the request")
        self.receiver.stop()
        thread.join()
        self.assertEqual(answer, [204])
