#!/usr/bin/env python3
"""Reads an exported log (`.evlog`) and checks all of it: `python3 reader.py FILE` prints its events as JSON Lines.

Written from log-format.md alone, to show that the document is enough; section numbers refer to it. Needs the
package `blake3`. A defect ends it with exit code 1 and one line on stderr, a format that is too new with 4.
"""

import struct
import sys
import unicodedata
from datetime import datetime, timedelta, timezone

from blake3 import blake3


class Defect(Exception):
    code = 1


class TooNew(Defect):
    code = 4


def check(holds, problem):
    if not holds:
        raise Defect(problem)


# Section 1.

CRC_TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CRC_TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def fixed(layout, data, at=0):
    return struct.unpack_from("<" + layout, data, at)


# Section 4.


class Payload:
    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, count):
        check(self.at + count <= len(self.data), "a payload is cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.raw(1)[0]

    def number(self, bits):
        first = self.byte()
        if first <= 250:
            return first
        width = {251: 16, 252: 32, 253: 64}.get(first)
        check(width is not None and width <= bits, "a number does not fit its field")
        return int.from_bytes(self.raw(width // 8), "little")

    def u32(self):
        return self.number(32)

    def u64(self):
        return self.number(64)

    def boolean(self):
        value = self.byte()
        check(value <= 1, "a bool is neither 0 nor 1")
        return value == 1

    def hash(self):
        return self.raw(32).hex()

    def bytes(self):
        return self.raw(self.u64())

    def str(self):
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise Defect(f"a text is not UTF-8: {error}") from None

    def option(self, read):
        tag = self.byte()
        check(tag <= 1, "an option is neither 0 nor 1")
        return read() if tag else None

    def variant(self, *names):
        number = self.u32()
        check(number < len(names), f"there is no variant {number} of {names}")
        return names[number]


# Section 5. Every function returns the fields as a dictionary.


def policy(p, version):
    fields = policy_of_version_1(p)
    if version == 1:
        return fields
    return fields | {"max_lag_us": p.option(p.u64), "slow_retry_us": p.option(p.u64), "max_lost_alone": p.option(p.u32)}


def policy_of_version_1(p):
    return {
        "on_change": p.variant("supersede", "finish_then_latest", "reject"),
        "grace_us": p.u64(),
        "quiet_us": p.u64(),
        "max_delay_us": p.u64(),
        "max_attempts": p.u32(),
        "backoff_base_us": p.u64(),
        "backoff_cap_us": p.u64(),
        "max_lost": p.u32(),
        "attempt_timeout_us": p.option(p.u64),
        "empty_source": p.variant("hold", "apply"),
        "priority": p.number(16) - 32768,
        "resync_us": p.option(p.u64),
    }


def observed(p):
    seen = {"version": p.bytes().hex()}
    check(2 <= len(seen["version"]) <= 128, "a version has 1 to 64 bytes")
    found = p.option(lambda: {"path_set": p.hash(), "files": p.u64(), "bytes": p.u64()})
    return seen | (found or {})


def delta(p):
    return p.option(lambda: {"added": p.u64(), "removed": p.u64(), "changed": p.u64()}) or {}


def token(p):
    return f"{p.u64()}.{p.u64()}"


def attempt(p):
    return {"incarnation": p.u64(), "task": p.u64(), "attempt": p.u32(), "token": token(p)}


def collection(p):
    return {"incarnation": p.u64()}


def admission(p):
    name = p.variant("admitted", "settling", "waiting")
    if name == "admitted":
        return {"fingerprint": p.option(p.hash), "generation": p.u64()}
    return {"until": p.u64()} if name == "settling" else {"waits_for": "task"}


def changed(p, key):
    return collection(p) | {key: p.str()} | admission(p)


def declared(p, version):
    return {
        "collection": p.str(),
        "kind": p.str(),
        "source": p.str(),
        "spec": p.str(),
        "versioned": p.boolean(),
        "policy": policy(p, version),
        "revision": p.option(p.u64),
        "fingerprint": p.option(p.hash),
        "generation": 1,
    }


def policy_changed(p, version):
    return collection(p) | {"policy": policy(p, version), "revision": p.option(p.u64), "resync_at": p.option(p.u64)}


def source_observed(p):
    return collection(p) | observed(p) | delta(p) | admission(p)


def held(p):
    event = collection(p) | observed(p) | delta(p)
    event["cause"] = p.variant("empty", "most_gone")
    if event["cause"] == "most_gone":
        event |= {"gone": p.u64(), "of": p.u64()}
    return event | {"held": p.hash()}


def task(p):
    return collection(p) | {"task": p.u64()}


def aborted(p):
    event = task(p) | {"reason": p.variant("superseded", "dropped", "cancelled")}
    return event | (p.option(lambda: {"token": token(p), "grace_until": p.u64()}) or {})


def completed(p):
    event = attempt(p) | {"built": p.hash(), "manifest": p.option(p.hash)}
    counts = ("segments_kept", "segments_new", "segments_dropped")
    event |= p.option(lambda: {key: p.u64() for key in counts}) or {}
    return event | {"rows": p.option(p.u64), "output": p.option(p.str), "resync_at": p.option(p.u64)}


def limits(p):
    total = p.option(p.u32)
    parts = [{p.str(): p.u32() for _ in range(p.u64())} for _ in range(2)]
    check(all(list(part) == sorted(part, key=str.encode) for part in parts), "limits are not in order")
    return {"limits": {"total": total, "kinds": parts[0], "prefixes": parts[1]}}


def base(p, version):
    event = {"encoding": version, "base": p.u64(), "hash": p.hash(), "part": p.u32(), "parts": p.u32()}
    data = p.bytes()
    return event | {"length": len(data), "data": data}


def refresh(p):
    event = collection(p) | {"force": p.boolean() or None, "reason": p.variant("asked", "resync", "drift")}
    if event["reason"] == "drift":
        event["message"] = p.str()
    return event | {"resync_at": p.option(p.u64)}


def started(p):
    event = task(p) | {"attempt": p.u32(), "worker": p.str(), "deadline": p.option(p.u64)}
    return event | {"lease_us": p.option(p.u64), "publish": p.boolean() or None, "discard": p.boolean() or None}


def publish_failed(p):
    event = collection(p) | {"obligation": p.u64(), "delivery": p.variant("publish", "discard")}
    return event | {"message": p.str(), "failures": p.u32(), "retry_at": p.u64()}


EVENTS = {
    1: ("writer_opened", lambda p: {"software": p.str()}),
    2: ("data_loss_accepted", lambda p: {"last": p.u64(), "found": p.str()}),
    3: ("base_frame", base),
    4: ("limits_changed", limits),
    16: ("collection_declared", declared),
    17: ("source_changed", lambda p: changed(p, "source")),
    18: ("spec_changed", lambda p: changed(p, "spec")),
    19: ("policy_changed", policy_changed),
    20: ("collection_dropped", collection),
    21: ("collection_paused", collection),
    22: ("collection_resumed", collection),
    23: ("refresh_requested", refresh),
    32: ("source_observed", source_observed),
    33: ("observation_failed", lambda p: collection(p) | {"cause": p.str()}),
    34: ("collection_held", held),
    35: ("hold_confirmed", lambda p: collection(p) | {"fingerprint": p.hash(), "generation": p.u64()}),
    48: ("task_created", lambda p: collection(p) | {"generation": p.u64(), "fingerprint": p.hash(), "not_before": p.u64(), "rebuild": p.boolean() or None}),
    49: ("task_started", started),
    50: ("task_aborted", aborted),
    51: ("task_completed", completed),
    52: (
        "attempt_failed",
        lambda p: attempt(p)
        | {
            "reason": p.variant("failed", "timed_out", "worker_lost", "panicked", "source_moved"),
            "message": p.str(),
            "retry_at": p.u64(),
            "failures": p.u32(),
            "grace_until": p.option(p.u64),
        },
    ),
    53: ("attempt_ended", lambda p: attempt(p) | {"reason": p.variant("acknowledged", "abandoned", "lost")}),
    54: ("task_parked", lambda p: task(p) | {"cause": p.variant("permanent", "out_of_attempts", "lost_too_often")}),
    56: ("task_woken", lambda p: task(p) | {"not_before": p.u64()}),
    55: (
        "completion_rejected",
        lambda p: attempt(p)
        | {
            "reason": p.variant("stale", "not_live", "duplicate", "unknown_collection"),
            "fingerprint": p.hash(),
            "wanted": p.option(p.hash),
        },
    ),
    64: ("published", lambda p: collection(p) | {"commit": p.u64(), "token": token(p), "fingerprint": p.hash()}),
    65: ("publish_failed", publish_failed),
    66: ("discarded", lambda p: collection(p) | {"obligation": p.u64()}),
}


# Types that have a second version, whose readers are told which it is.
OF_VERSION_2 = {3, 16, 19}


def by(p):
    who = {"actor": p.option(p.str), "cause": p.option(p.str)}
    said = [text for text in who.values() if text is not None]
    check(said, "an event says neither who asked for it nor why")
    for text in said:
        check(1 <= len(text.encode()) <= 256, "who asked for an event, or why, has not 1 to 256 bytes")
        check(not any(unicodedata.category(c) == "Cc" for c in text), "who asked for an event holds control characters")
    return who


def decode(event_type, version, data):
    number = version & 0x7FFF
    if event_type not in EVENTS or not 1 <= number <= (2 if event_type in OF_VERSION_2 else 1):
        raise TooNew(f"event type {event_type} version {version & 0x7FFF} is not known")
    name, read = EVENTS[event_type]
    payload = Payload(data)
    who = by(payload) if version & 0x8000 else None
    event = (read(payload, number) if event_type in OF_VERSION_2 else read(payload)) | {"by": who}
    check(payload.at == len(data), f"bytes are left over in a {name}")
    return name, event


# Section 3.


class Log:
    """The chain of frames."""

    def __init__(self):
        self.seq, self.hash, self.epoch, self.time, self.frames = 0, bytes(32), 0, 0, 0
        self.begins = 1

    def frame(self, data):
        """Checks a frame; returns its epoch, time and events as (seq, name, fields)."""
        check(len(data) >= 96 and data[:4] == b"LWFR", "a frame does not begin with LWFR")
        length = fixed("I", data, 20)[0]
        check(length + 128 <= 64 << 20 and length + 128 == len(data), "a frame has another length than it says")
        check(crc32c(data[:92] + data[96:-32]) == fixed("I", data, 92)[0], "the CRC of a frame does not hold")
        version, codec, base, count, _, epoch, time, _ = fixed("HHQIIQQQ", data, 4)
        if version > 1 or version == 1 and codec != 1:
            raise TooNew(f"a frame has format version {version} and codec {codec}")
        check(version == 1, "a frame has format version 0")
        check(data[80:92] == bytes(12), "reserved bytes are not zero")
        check(1 <= count <= 65536 and 1 <= base and base + count < 1 << 64, "a frame has no possible numbers")
        found = blake3(data[:-32]).digest()
        check(found == data[-32:], "the hash of a frame does not hold")
        if self.frames == 0 and base > 1:
            # Section 17: it begins later, if it has a base.
            self.begins, self.seq, self.hash = base, base - 1, data[48:80]
        check(base == self.seq + 1, f"a frame begins with event {base} where {self.seq + 1} comes next")
        check(data[48:80] == self.hash, "a frame does not follow the one before it")
        check(epoch >= self.epoch and time >= self.time, "epoch or time of a frame goes back")
        events = list(self.records(data[96:-32], base, count))
        self.seq, self.hash, self.epoch, self.time = base + count - 1, found, epoch, time
        self.frames += 1
        return epoch, time, events

    def records(self, data, base, count):
        at = 0
        for seq in range(base, base + count):
            check(at + 8 <= len(data), "a record is cut short")
            event_type, version, length = fixed("HHI", data, at)
            check(length <= 1 << 20 and at + 8 + length <= len(data), "a record is cut short or too long")
            yield seq, *decode(event_type, version, data[at + 8 : at + 8 + length])
            at += 8 + length
        check(at == len(data), "bytes are left over behind the records")


# Section 8.


class Objects:
    """The objects so far: name -> (level, entries, first key), and those that nothing has named yet."""

    def __init__(self):
        self.known, self.unnamed, self.count = {}, set(), 0

    def add(self, name, data):
        check(blake3(data).digest() == name, f"object {name.hex()} is damaged")
        check(name not in self.known, f"object {name.hex()} comes twice")
        check(len(data) >= 12 and data[:4] == b"LWOB", "an object does not begin with LWOB")
        version, kind, level, count = fixed("HBBI", data, 4)
        if version > 1:
            raise TooNew(f"an object has version {version}")
        check((kind, level == 0) in ((1, True), (2, False)) and level <= 65, "kind and level of an object do not agree")
        check(kind == 1 or count > 0, "a node has no children")
        at, keys, entries = 12, [], 0

        def take(count):
            nonlocal at
            check(at + count <= len(data), "an object is cut short")
            at += count
            return data[at - count : at]

        for _ in range(count):
            if kind == 1:
                key_length, value_length = fixed("II", take(8))
                keys.append(take(key_length))
                take(value_length)
                entries += 1
            else:
                keys.append(take(fixed("I", take(4))[0]))
                child, below = take(32), fixed("Q", take(8))[0]
                check(child in self.known, f"object {child.hex()} is missing")
                check(self.known[child] == (level - 1, below, keys[-1]) and below > 0, "a node says what is not so")
                self.unnamed.discard(child)
                entries += below
        check(at == len(data), "bytes are left over in an object")
        check(all(one < two for one, two in zip(keys, keys[1:])), "the keys of an object do not ascend")
        self.known[name] = (level, entries, keys[0] if keys else b"")
        self.unnamed.add(name)
        self.count += 1

    def name(self, root):
        name = bytes.fromhex(root)
        check(name in self.known, f"object {root} is missing")
        self.unnamed.discard(name)


# Section 17.


class Base:
    """Looks for the parts of the base that stands for the events up to `at`."""

    def __init__(self, at, hash):
        self.at, self.hash, self.parts, self.version, self.data, self.state = at, hash, 0, 0, [], None

    def part(self, event):
        if self.state or (event["base"], event["hash"]) != (self.at, self.hash.hex()):
            return False
        if event["part"] == 0:
            self.parts, self.version, self.data = event["parts"], event["encoding"], []
        if (len(self.data), self.parts, self.version) != (event["part"], event["parts"], event["encoding"]):
            self.parts, self.data = 0, []
            return False
        self.data.append(event["data"])
        if len(self.data) < self.parts:
            return False
        self.state = State(b"".join(self.data), self.version)
        check(self.state.last == self.at, "a base is the state after another event")
        return True


# Section 18.


class State:
    """What an encoded state says of names, tasks and objects."""

    def __init__(self, data, version):
        self.rest, self.version, self.names, self.tasks, self.objects, counts = data, version, {}, {}, [], [0, 0, 0]
        tag, p = self.item()
        check(tag == 1, "a state does not begin with its head")
        self.last = p.u64(), p.u64(), p.u64(), limits(p)
        self.last = self.last[0]
        words = []
        while tag != 7:
            check(p.at == len(p.data), "bytes are left over in an item of a state")
            tag, p = self.item()
            if tag == 2:
                words.append(self.word(p))
            elif tag == 3:
                self.collection(p, words)
            elif tag == 5:
                check(counts[2] == 0, "the items of a state are not in order")
                self.names[p.u64()] = p.str()
                _ = p.str(), p.u32()
                self.obligations(p, words)
            elif tag == 6:
                task = self.tasks.get(attempt(p)["task"])
                _ = p.option(p.u64), p.boolean(), p.boolean()
                if task:
                    task["attempts"] += 1
            elif tag == 7:
                check([p.u64(), p.u64(), p.u64()] == counts, "the end of a state does not say what it holds")
            else:
                raise Defect(f"item {tag} of a state stands in a wrong place")
            if tag in (3, 5, 6):
                counts[(3, 5, 6).index(tag)] += 1
                words = []
        check(p.at == len(p.data) and not self.rest, "bytes are left over behind a state")

    def item(self):
        check(len(self.rest) >= 5, "a state is cut short")
        tag, length = self.rest[0], fixed("I", self.rest, 1)[0]
        check(len(self.rest) >= 5 + length, "a state is cut short")
        p, self.rest = Payload(self.rest[5 : 5 + length]), self.rest[5 + length :]
        return tag, p

    def word(self, p):
        _ = p.str(), p.str()
        content = p.variant("unversioned", "unknown", "observed")
        return observed(p).get("path_set") if content == "observed" else None

    def collection(self, p, words):
        id = p.u64()
        self.names[id] = p.str()
        _ = p.str(), p.boolean(), policy(p, self.version), p.option(p.u64)
        sets = [p.u32()]
        p.option(lambda: (p.hash(), sets.append(p.u32())))
        self.name(words, *sets)
        _ = p.u64(), p.boolean()
        p.option(lambda: self.applied(p, words))
        p.option(lambda: self.pending(p))
        self.status(p)
        _ = p.u64(), p.boolean(), p.u32(), p.u32(), p.u32(), p.option(p.u64)
        p.option(lambda: (p.u64(), p.str()))
        _ = p.u64(), p.option(p.u64)
        p.option(lambda: self.obligations(p, words))
        if self.version > 1:
            _ = p.u32(), p.u32()

    def name(self, words, *places):
        check(all(place < len(words) for place in places), "a word of a state is missing")
        self.objects += [words[place] for place in places if words[place]]

    def applied(self, p, words):
        _ = p.hash(), p.u64(), p.u64(), token(p), p.u64(), p.u64()
        manifest = self.built(p)
        self.name(words, p.u32())
        self.objects += manifest

    def built(self, p):
        manifest = p.option(p.hash)
        p.option(lambda: (p.u64(), p.u64(), p.u64()))
        _ = p.option(p.u64), p.option(p.str)
        return [manifest] if manifest else []

    def pending(self, p):
        what, _ = p.variant("settling", "waiting", "held"), p.u64()
        if what == "settling":
            p.u64()
        if what == "held":
            if p.variant("empty", "most_gone") == "most_gone":
                _ = p.u64(), p.u64()
            p.hash()

    def failure(self, p):
        return p.option(lambda: (p.variant("failed", "timed_out", "worker_lost", "panicked", "source_moved"), p.str(), p.u64()))

    def task(self, p, attempts):
        id, fingerprint, generation = p.u64(), p.hash(), p.u64()
        _ = p.boolean(), p.u32(), p.u32(), p.u32(), self.failure(p)
        self.tasks[id] = {"generation": generation, "fingerprint": fingerprint, "live": True, "attempts": attempts}

    def status(self, p):
        what = p.variant("idle", "waiting", "running", "parked")
        if what == "waiting":
            self.task(p, 0)
            p.u64()
        if what == "running":
            self.task(p, 1)
            _ = p.u32(), token(p), p.str(), p.u64(), p.option(p.u64), p.option(p.u64), p.boolean(), p.boolean()
        if what == "parked":
            _ = p.u64(), p.hash()
            if p.variant("failed", "cancelled") == "failed":
                p.variant("permanent", "out_of_attempts", "lost_too_often")
            _ = p.u64(), self.failure(p)

    def obligations(self, p, words):
        count = p.u64()
        for _ in range(2):
            for _ in range(p.u64()):
                token(p)
        _ = p.option(p.u64), p.boolean()
        for _ in range(count):
            tag, owed = self.item()
            check(tag == 4, "an obligation of a state is missing")
            _ = owed.u64(), owed.u64()
            if owed.variant("publish", "discard") == "publish":
                self.applied(owed, words)
            else:
                for _ in range(owed.u64()):
                    token(owed)
                for _ in range(2):
                    self.objects += owed.option(lambda: self.built(owed)) or []
            _ = owed.u64(), owed.u32(), owed.option(owed.str)
            check(owed.at == len(owed.data), "bytes are left over in an item of a state")


# Section 9.


def blocks(stream):
    def take(count):
        data = stream.read(count)
        check(len(data) == count, "the stream is cut short")
        return data

    header = take(16)
    check(header[:4] == b"LWEV", "not an exported log")
    check(crc32c(header[:12]) == fixed("I", header, 12)[0], "the header is damaged")
    version = fixed("H", header, 4)[0]
    if version > 1:
        raise TooNew(f"the stream has version {version}")
    check(version == 1 and header[6:12] == bytes(6), "the header is damaged")
    tag = None
    while tag != b"END ":
        tag = take(4)
        most = {b"OBJ ": 32 + (65 << 20), b"FRM ": 64 << 20, b"END ": 56}.get(tag)
        length = fixed("I", take(4))[0]
        check(most is not None and length <= most, f"there is no block {tag} of {length} bytes")
        yield tag, take(length)
    check(stream.read(1) == b"", "bytes follow the end block")


def read(stream, out):
    log, objects, names = Log(), Objects(), Names()
    base, waiting = None, []
    for tag, data in blocks(stream):
        if tag == b"OBJ ":
            check(len(data) >= 32, "an object has no name")
            objects.add(data[:32], data[32:])
            continue
        if tag == b"FRM ":
            epoch, time, events = log.frame(data)
            if log.frames == 1 and log.begins > 1:
                base = Base(log.begins - 1, data[48:80])
            for seq, event_type, fields in events:
                for key in ("path_set", "manifest"):
                    if fields.get(key):
                        objects.name(fields[key])
                if base and event_type == "base_frame" and base.part(fields):
                    for root in base.state.objects:
                        objects.name(root)
                    names.begin(base.state)
                waiting.append((seq, epoch, time, event_type, fields))
            # Who they are about is not known before the base has come.
            if base is None or base.state:
                for event in waiting:
                    out.write(names.line(*event) + "\n")
                waiting = []
        check(tag != b"END " or not waiting, "the base of a stream that begins later is not in it")
        check(not objects.unnamed, "an object is named by nothing that follows it")
        if tag == b"END ":
            found = struct.pack("<QQQ", log.frames, log.seq + 1 - log.begins, objects.count) + log.hash
            check(data == found, "the end block does not say what the stream holds")
    head, events = log.hash.hex(), log.seq + 1 - log.begins
    out.write(f'{{"kind":"summary","events":{events},"from":{log.begins},"to":{log.seq + 1},"head":"{head}"}}\n')


# Section 14.

KEYS = (
    "v seq time type collection incarnation task generation fingerprint wanted held attempt token worker "
    "lease_us publish discard commit obligation delivery reason cause "
    "message failures not_before deadline retry_at grace_until until resync_at waits_for force rebuild kind source spec versioned policy "
    "revision version path_set files bytes added removed changed gone of segments_kept segments_new segments_dropped rows manifest output "
    "epoch software last found limits base hash part parts length by"
).split()
TIMES = {"time", "not_before", "deadline", "retry_at", "grace_until", "until", "resync_at"}
ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
ESCAPES = {code: f"\\u{code:04x}" for code in [*range(32), *range(127, 160)]} | ESCAPES
OF_A_TASK = "task_created task_started task_aborted task_completed attempt_failed attempt_ended task_parked task_woken".split()


def rfc3339(micros):
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=min(micros, 253402300799999999))
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def json(key, value):
    if key == "spec":
        return value
    if key in TIMES:
        value = rfc3339(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return json_object(value)
    return '"' + value.translate(ESCAPES) + '"'


def json_object(fields):
    pairs = (f'"{key}":{json(key, value)}' for key, value in fields.items() if value is not None)
    return "{" + ",".join(pairs) + "}"


class Names:
    """What events refer to: the names of collections, and the tasks that are live or hold a worker."""

    def __init__(self):
        self.collections, self.tasks = {}, {}

    def begin(self, state):
        self.collections, self.tasks = state.names, state.tasks

    def line(self, seq, epoch, time, event_type, fields):
        fields = {"v": 1, "seq": seq, "time": time, "type": event_type} | fields
        if event_type == "collection_declared":
            fields["incarnation"] = seq
            self.collections[seq] = fields["collection"]
        if event_type == "writer_opened":
            fields["epoch"] = epoch
        if event_type == "task_created":
            fields["task"] = seq
            self.tasks[seq] = {"generation": fields["generation"], "fingerprint": fields["fingerprint"], "live": True, "attempts": 0}
        if event_type == "task_started":
            fields["token"] = f"{epoch}.{seq}"
        if "incarnation" in fields:
            fields["collection"] = self.collections.get(fields["incarnation"])
        if "task" in fields:
            self.follow(event_type, fields)
        return json_object({key: fields.get(key) for key in KEYS})

    def follow(self, event_type, fields):
        task = self.tasks.get(fields["task"])
        if task is None:
            return
        if event_type in OF_A_TASK:
            fields |= {"generation": task["generation"], "fingerprint": task["fingerprint"]}
        task["attempts"] += {"task_started": 1, "attempt_ended": -1}.get(event_type, 0)
        if event_type in ("task_aborted", "task_completed", "task_parked"):
            task["live"] = False
        if not task["live"] and task["attempts"] <= 0:
            del self.tasks[fields["task"]]


def main():
    try:
        with open(sys.argv[1], "rb") as stream:
            read(stream, open(1, "w", encoding="utf-8", newline="\n", closefd=False))
    except Defect as defect:
        print(f"reader.py: {defect}", file=sys.stderr)
        return defect.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
