"""The command line and the lines that the two Python clients share. test/README.md describes them."""

import base64
import json
import os
import queue
import sys
import threading


def arguments():
    """Returns brokers, verb, topic and the name=value options of the command line."""
    brokers, verb, topic, *rest = sys.argv[1:]
    return brokers, verb, topic, dict(option.split("=", 1) for option in rest)


def emit(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def decode(text):
    return None if text is None else base64.b64decode(text)


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


def decode_record(line):
    record = json.loads(line)
    record["key"] = decode(record.get("key"))
    record["value"] = decode(record.get("value"))
    record["headers"] = [(key, decode(value)) for key, value in record.get("headers") or []]
    return record


def emit_record(partition, offset, timestamp, key, value, headers):
    headers = [[name, encode(data)] for name, data in headers or []]
    emit(partition=partition, offset=offset, timestamp=timestamp, key=encode(key), value=encode(value), headers=headers)


def input_lines():
    """Returns a queue of the lines of standard input as they come, and None at its end, so that a reader never blocks on it."""
    lines = queue.Queue()

    def read():
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def input_closed():
    """Returns an event that is set when standard input closes: how a group member is asked to leave."""
    closed = threading.Event()

    def wait():
        sys.stdin.read()
        closed.set()

    threading.Thread(target=wait, daemon=True).start()
    return closed


def fail(name, code):
    emit(error=name, code=code)
    sys.stdout.flush()
    os._exit(1)
