# SPDX-License-Identifier: Apache-2.0
"""Remote-Write 1.0 and 2.0 from bytes to data: snappy and protobuf, by hand. What
is no message of the one asked for is Malformed; whether a message that is one
keeps the rules is for receiver_rules.py to say.

Both messages come out as one shape. Of 2.0, the references are resolved here."""

import functools
import struct
from typing import NamedTuple

UNCOMPRESSED_MAX = 32 << 20
V1, V2 = "1.0", "2.0"


class Malformed(Exception):
    """The bytes are not what they say they are."""


class Number(NamedTuple):
    """A sample. `bits` of the double, as they came; `start` 0 when there is none."""
    bits: int
    timestamp: int
    start: int = 0


class Spans(NamedTuple):
    """The buckets of one sign: integers have deltas, floats have counts."""
    spans: list  # of (offset, length)
    deltas: list
    counts: list


class Histogram(NamedTuple):
    count: float | None  # None: not given, as zero_count
    zero_count: float | None
    is_float: bool
    sum_bits: int
    schema: int
    zero_threshold: float
    negative: Spans
    positive: Spans
    reset_hint: int
    timestamp: int
    start: int = 0


class Exemplar(NamedTuple):
    labels: list  # of (name, value), in the order they came in
    bits: int
    timestamp: int


class Metadata(NamedTuple):
    type: int
    name: str  # of the family; 2.0 says none
    help: str
    unit: str


class Series(NamedTuple):
    labels: list  # of (name, value), in the order they came in
    samples: list
    histograms: list
    metadata: Metadata | None = None
    exemplars: list = []


class Request(NamedTuple):
    message: str
    series: list
    metadata: list


# --- snappy, block format ---------------------------------------------------

def varint(data, at):
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("varint cut off or too long")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def literal(data, at, tag):
    length = tag >> 2
    if length >= 60:
        extra = length - 59
        length = int.from_bytes(data[at:at + extra], "little")
        at += extra
    end = at + length + 1
    if end > len(data):
        raise Malformed("snappy literal beyond the end")
    return data[at:end], end


def copy(data, at, tag):
    """(length, offset, where it goes on) of a copy element."""
    kind = tag & 3
    size = {1: 1, 2: 2, 3: 4}[kind]
    if at + size > len(data):
        raise Malformed("snappy copy beyond the end")
    offset = int.from_bytes(data[at:at + size], "little")
    if kind == 1:
        return ((tag >> 2) & 7) + 4, offset | (tag >> 5) << 8, at + size
    return (tag >> 2) + 1, offset, at + size


def unsnap(data):
    if data[:10] == b"\xff\x06\x00\x00sNaPpY":
        raise Malformed("snappy is framed; the block format is required")
    size, at = varint(data, 0)
    if size > UNCOMPRESSED_MAX:
        raise Malformed(f"{size} bytes uncompressed")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        if tag & 3 == 0:
            chunk, at = literal(data, at + 1, tag)
            out += chunk
            continue
        length, offset, at = copy(data, at + 1, tag)
        if not 0 < offset <= len(out):
            raise Malformed("snappy copy from before the start")
        while length:
            chunk = out[-offset:][:length]
            out += chunk
            length -= len(chunk)
    if len(out) != size:
        raise Malformed(f"snappy says {size} bytes, has {len(out)}")
    return bytes(out)


# --- protobuf ---------------------------------------------------------------

def fields(data):
    """(number, wire type, value) of each field."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind in (1, 5):
            end = at + (8 if kind == 1 else 4)
            value, at = data[at:end], end
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            raise Malformed(f"wire type {kind}")
        if at > len(data):
            raise Malformed("field beyond the end of its message")
        yield number, kind, value


def message(data, shape, what):
    """Values by field number; lists, as every field may be repeated."""
    found = {number: [] for number in shape}
    for number, kind, value in fields(data):
        if shape.get(number) != kind:
            raise Malformed(f"{what} has field {number} of wire type {kind}")
        found[number].append(value)
    return found


def text(values, what):
    if len(values) > 1:
        raise Malformed(f"{what} given {len(values)} times")
    try:
        return values[0].decode("utf-8") if values else ""
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8") from error


def integer(values, kind="int64"):
    """The last of a field's values: what a reader of proto3 takes."""
    value = values[-1] if values else 0
    if kind == "uint32" and value >> 32:
        raise Malformed(f"{value} is no uint32")
    if kind.startswith("sint"):
        return (value >> 1) ^ -(value & 1)
    return value - (1 << 64) if kind == "int64" and value >> 63 else value


def double_bits(values):
    return struct.unpack("<Q", values[-1])[0] if values else 0


def double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def packed(values, kind):
    """The numbers of a packed field."""
    numbers = []
    for data in values:
        at = 0
        while at < len(data):
            value, at = varint(data, at)
            numbers.append(integer([value], kind))
    return numbers


def packed_doubles(values):
    data = b"".join(values)
    if len(data) % 8:
        raise Malformed("double cut off")
    return [value for value, in struct.iter_unpack("<d", data)]


# --- what both messages share -----------------------------------------------

def decode_sample(data, shape, what):
    found = message(data, shape, what)
    return Number(double_bits(found[1]), integer(found[2]), integer(found.get(3)))


def either(found, whole, fraction, what):
    """(value, is a float) of a oneof; None when it is not given."""
    if found[whole] and found[fraction]:
        raise Malformed(f"{what} both as an integer and as a float")
    if found[fraction]:
        return double(double_bits(found[fraction])), True
    return (integer(found[whole], "uint64") if found[whole] else None), False


def decode_span(data):
    found = message(data, {1: 0, 2: 0}, "BucketSpan")
    return integer(found[1], "sint32"), integer(found[2], "uint32")


def decode_spans(found, first):
    return Spans([decode_span(span) for span in found[first]],
                 packed(found[first + 1], "sint64"), packed_doubles(found[first + 2]))


HISTOGRAM = {1: 0, 2: 1, 3: 1, 4: 0, 5: 1, 6: 0, 7: 1, 8: 2, 9: 2, 10: 2, 11: 2,
             12: 2, 13: 2, 14: 0, 15: 0}


def decode_histogram(data, shape):
    """custom_values, field 16, is none: a schema that 1.0 forbids and nobody asked
    for. So it is unknown here."""
    found = message(data, shape, "Histogram")
    count, is_float = either(found, 1, 2, "count")
    zero_count, zero_is_float = either(found, 6, 7, "zero_count")
    if None not in (count, zero_count) and is_float != zero_is_float:
        raise Malformed("count and zero_count are of different kinds")
    return Histogram(count, zero_count, is_float, double_bits(found[3]),
                     integer(found[4], "sint32"), double(double_bits(found[5])),
                     decode_spans(found, 8), decode_spans(found, 11),
                     integer(found[14]), integer(found[15]), integer(found.get(17)))


# --- prometheus.WriteRequest ------------------------------------------------

@functools.lru_cache(65536)  # the same ones come with every collection
def decode_label(data):
    found = message(data, {1: 2, 2: 2}, "Label")
    return text(found[1], "label name"), text(found[2], "label value")


def decode_exemplar(data):
    found = message(data, {1: 2, 2: 1, 3: 0}, "Exemplar")
    return Exemplar([decode_label(label) for label in found[1]],
                    double_bits(found[2]), integer(found[3]))


def decode_series(data):
    found = message(data, {1: 2, 2: 2, 3: 2, 4: 2}, "TimeSeries")
    return Series([decode_label(label) for label in found[1]],
                  [decode_sample(each, {1: 1, 2: 0}, "Sample") for each in found[2]],
                  [decode_histogram(each, HISTOGRAM) for each in found[4]],
                  exemplars=[decode_exemplar(each) for each in found[3]])


def decode_family(data):
    found = message(data, {1: 0, 2: 2, 4: 2, 5: 2}, "MetricMetadata")
    return Metadata(integer(found[1]), text(found[2], "metric_family_name"),
                    text(found[4], "help"), text(found[5], "unit"))


def decode_v1(body):
    found = message(unsnap(body), {1: 2, 3: 2}, "WriteRequest")
    return Request(V1, [decode_series(data) for data in found[1]],
                   [decode_family(data) for data in found[3]])


def decode_as_old(body):
    """As one who knows 1.0 alone and skips the fields that he does not know."""
    known = [number for number, _, _ in fields(unsnap(body)) if number in (1, 3)]
    return decode_v1(body) if known else Request(V1, [], [])


# --- io.prometheus.write.v2.Request -----------------------------------------

class Symbols:
    def __init__(self, values):
        self.texts = [text([value], "symbol") for value in values]
        if not values or self.texts[0]:
            raise Malformed("symbols do not begin with an empty one")
        if len(set(self.texts)) != len(self.texts):
            raise Malformed("a symbol is given twice")

    def get(self, reference, what):
        if reference >= len(self.texts):
            raise Malformed(f"{what} refers to symbol {reference} "
                            f"of {len(self.texts)}")
        return self.texts[reference]

    def labels(self, references):
        if len(references) % 2:
            raise Malformed(f"{len(references)} references: a name without a value")
        texts = [self.get(reference, "label") for reference in references]
        return list(zip(texts[::2], texts[1::2]))


def decode_metadata_v2(values, symbols):
    if len(values) > 1:
        raise Malformed(f"metadata given {len(values)} times")
    if not values:
        return None
    found = message(values[0], {1: 0, 3: 0, 4: 0}, "Metadata")
    return Metadata(integer(found[1]), "",
                    symbols.get(integer(found[3], "uint32"), "help"),
                    symbols.get(integer(found[4], "uint32"), "unit"))


def decode_exemplar_v2(data, symbols):
    found = message(data, {1: 2, 2: 1, 3: 0}, "Exemplar")
    return Exemplar(symbols.labels(packed(found[1], "uint32")),
                    double_bits(found[2]), integer(found[3]))


def decode_series_v2(data, symbols):
    found = message(data, {1: 2, 2: 2, 3: 2, 4: 2, 5: 2}, "TimeSeries")
    return Series(symbols.labels(packed(found[1], "uint32")),
                  [decode_sample(each, {1: 1, 2: 0, 3: 0}, "Sample")
                   for each in found[2]],
                  [decode_histogram(each, {**HISTOGRAM, 17: 0}) for each in found[3]],
                  decode_metadata_v2(found[5], symbols),
                  [decode_exemplar_v2(each, symbols) for each in found[4]])


def decode_v2(body):
    found = message(unsnap(body), {4: 2, 5: 2}, "Request")
    symbols = Symbols(found[4])
    return Request(V2, [decode_series_v2(data, symbols) for data in found[5]], [])
