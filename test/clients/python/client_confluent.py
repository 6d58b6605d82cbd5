"""confluent-kafka (librdkafka), driven from the command line. test/README.md describes the verbs and their options.

python client_confluent.py BROKERS produce|consume|group TOPIC [name=value ...]
"""

import queue
import uuid

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from lines import arguments, decode_record, emit, emit_record, fail, input_closed, input_lines

brokers, verb, topic, options = arguments()
common = {"bootstrap.servers": brokers, "client.id": "e2e-confluent", "message.max.bytes": 20_000_000,
          "reconnect.backoff.max.ms": 500, "topic.metadata.propagation.max.ms": 3000}


def produce():
    producer = Producer({
        **common,
        "acks": options.get("acks", "-1"),
        "compression.type": options.get("codec", "none"),
        "enable.idempotence": options.get("idempotent", "false"),
        "message.timeout.ms": int(options.get("timeout", "60000")),
        "linger.ms": 5,
    })
    acked = 0

    def delivered(error, _message):
        nonlocal acked
        if error is not None:
            fail(error.name(), error.code())
        acked += 1
        emit(acked=acked)

    lines = input_lines()
    while True:
        try:
            line = lines.get(timeout=0.02)
        except queue.Empty:
            producer.poll(0)
            continue
        if line is None:
            break
        record = decode_record(line)
        place = {name: record[name] for name in ("partition", "timestamp") if record.get(name) is not None}
        producer.produce(topic, key=record["key"], value=record["value"], headers=record["headers"],
                         on_delivery=delivered, **place)
        producer.poll(0)
    producer.flush()


def consumer(group, **more):
    return Consumer({**common, "group.id": group, "auto.offset.reset": "earliest", "fetch.message.max.bytes": 2_000_000,
                     "allow.auto.create.topics": True, "topic.metadata.refresh.interval.ms": 1000, **more})


def print_message(message):
    if message.error():
        fail(message.error().name(), message.error().code())
    emit_record(message.partition(), message.offset(), message.timestamp()[1], message.key(), message.value(),
                message.headers())


def consume():
    reader = consumer(f"replay-{uuid.uuid4()}", **{"enable.auto.commit": False})
    found = reader.list_topics(topic, timeout=30).topics[topic]
    if found.error:
        fail(found.error.name(), found.error.code())
    kind, _, number = options.get("from", "start").partition(":")
    offset = {"start": OFFSET_BEGINNING, "end": OFFSET_END}.get(kind) if not number else int(number)
    only = [int(options["partition"])] if "partition" in options else sorted(found.partitions)
    places = [TopicPartition(topic, partition, offset) for partition in only]
    if kind == "time":
        places = reader.offsets_for_times(places, timeout=30)
    reader.assign(places)
    for _ in range(int(options["count"])):
        message = None
        while message is None:
            message = reader.poll(1.0)
        print_message(message)
    reader.close()


def group():
    member = consumer(options["group"], **{"session.timeout.ms": int(options.get("session", "10000")),
                                           "heartbeat.interval.ms": 500, "auto.commit.interval.ms": 500})

    def assigned(_consumer, partitions):
        emit(assigned=[place.partition for place in partitions])

    member.subscribe([topic], on_assign=assigned)
    closed = input_closed()
    while not closed.is_set():
        message = member.poll(0.1)
        if message is None:
            continue
        if message.error() and (message.error().retriable() or message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
            continue
        print_message(message)
    member.close()


try:
    {"produce": produce, "consume": consume, "group": group}[verb]()
except KafkaException as exception:
    fail(exception.args[0].name(), exception.args[0].code())
