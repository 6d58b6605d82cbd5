"""kafka-python (2.0.2 and newest), driven from the command line. test/README.md describes the verbs and their options.

python client_kafka_python.py BROKERS produce|consume|group TOPIC [name=value ...]
"""

import logging

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from lines import arguments, decode_record, emit, emit_record, fail, input_closed, input_lines

brokers, verb, topic, options = arguments()
logging.basicConfig(level=options.get("log", "CRITICAL"))
common = {"bootstrap_servers": brokers.split(","), "client_id": "e2e-kafka-python", "reconnect_backoff_max_ms": 500}


def produce():
    codec = options.get("codec", "none")
    more = {}
    if "idempotent" in options and not kafka.__version__.startswith("2.0"):
        more["enable_idempotence"] = options["idempotent"] == "true"
    acks = options.get("acks", "all")
    producer = KafkaProducer(
        **common, **more,
        acks=acks if acks == "all" else {"-1": "all"}.get(acks, int(acks)),
        compression_type=None if codec == "none" else codec,
        max_request_size=20_000_000,
        max_block_ms=int(options.get("timeout", "60000")),
        retries=100,
        linger_ms=5,
    )
    acked = 0

    def succeeded(_metadata):
        nonlocal acked
        acked += 1
        emit(acked=acked)

    def failed(error):
        fail(type(error).__name__, getattr(error, "errno", None))

    lines = input_lines()
    while (line := lines.get()) is not None:
        record = decode_record(line)
        future = producer.send(topic, key=record["key"], value=record["value"], headers=record["headers"],
                               partition=record.get("partition"), timestamp_ms=record.get("timestamp"))
        future.add_callback(succeeded)
        future.add_errback(failed)
        if lines.empty():
            producer.flush()
    producer.flush()
    producer.close()


def consumer(*topics, **more):
    return KafkaConsumer(*topics, **common, auto_offset_reset="earliest", max_partition_fetch_bytes=2_000_000,
                         metadata_max_age_ms=1000, **more)


def print_record(record):
    emit_record(record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def consume():
    reader = consumer(enable_auto_commit=False, group_id=None)
    found = reader.partitions_for_topic(topic)
    if not found:
        fail("UnknownTopicOrPartitionError", 3)
    only = [int(options["partition"])] if "partition" in options else sorted(found)
    places = [TopicPartition(topic, partition) for partition in only]
    reader.assign(places)
    kind, _, number = options.get("from", "start").partition(":")
    if kind == "start":
        reader.seek_to_beginning(*places)
    elif kind == "end":
        reader.seek_to_end(*places)
    elif kind == "offset":
        for place in places:
            reader.seek(place, int(number))
    else:
        for place, found in reader.offsets_for_times({place: int(number) for place in places}).items():
            if found is None:
                reader.seek_to_end(place)
            else:
                reader.seek(place, found.offset)
    for _ in range(int(options["count"])):
        print_record(next(reader))
    reader.close()


class Announce(ConsumerRebalanceListener):
    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        emit(assigned=[place.partition for place in assigned])


def group():
    member = consumer(group_id=options["group"], session_timeout_ms=int(options.get("session", "10000")),
                      heartbeat_interval_ms=500, auto_commit_interval_ms=500)
    member.subscribe([topic], listener=Announce())
    closed = input_closed()
    while not closed.is_set():
        try:
            polled = member.poll(timeout_ms=100)
        except KafkaError as exception:
            if not exception.retriable:  # a broker that is away comes back
                raise
            continue
        finish_rebalance(member)
        for records in polled.values():
            for record in records:
                print_record(record)
    member.close()


def finish_rebalance(member):
    """Has the member join again if the client dropped a rebalance halfway.

    kafka-python 3.0.12 forgets one that it leads if it began because partitions appeared, and the time given to poll ends while
    it is under way: computing the assignment already makes need_rejoin() false, so that no later poll takes up the result, and the
    member heartbeats without partitions for ever. Java's client counts a rebalance that is pending as needed.
    """
    coordinator = member._coordinator
    if kafka.__version__.startswith("3.") and coordinator.rejoining and not coordinator.need_rejoin():
        coordinator.request_rejoin()


try:
    {"produce": produce, "consume": consume, "group": group}[verb]()
except KafkaError as exception:
    fail(type(exception).__name__, getattr(exception, "errno", None))
