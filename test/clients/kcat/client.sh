#!/bin/sh
# kcat, driven from the command line. test/README.md describes the verbs and their options.
#
#   client.sh BROKERS produce|consume|group TOPIC [name=value ...]
#
# Unlike the other clients, produce reads plain records: key, the byte 0x1f, value, the byte 0x1e; no 0x1f: no key. What kcat sets for a
# whole run is an option: partition=N, header=NAME=VALUE (may be repeated), null=true (an empty key or value is null). consume and
# group write what FORMAT says: a line of numbers, a line of headers, then key and value, which the numbers give the lengths of.
set -eu
brokers=$1 verb=$2 topic=$3
shift 3

from=start group= count= codec=none acks=-1 idempotent=false timeout=60000 session=10000 partition=
FORMAT='%p %o %T %K %S\n%h\n%k%s\n'

# The options of this script become options of kcat, in place of the arguments.
for option in "$@"; do
  shift
  name=${option%%=*} value=${option#*=}
  case $name in
    from) from=$value ;;
    group) group=$value ;;
    count) count=$value ;;
    codec) codec=$value ;;
    acks) acks=$value ;;
    idempotent) idempotent=$value ;;
    timeout) timeout=$value ;;
    session) session=$value ;;
    partition) partition=$value; set -- "$@" -p "$value" ;;
    retries) ;; # librdkafka's timeouts do
    header) set -- "$@" -H "$value" ;;
    null) if [ "$value" = true ]; then set -- "$@" -Z; fi ;;
    *) echo "unknown option $name" >&2; exit 2 ;;
  esac
done

case $from in
  start) from=beginning ;;
  end) from=end ;;
  offset:*) from=${from#offset:} ;;
  time:*) from=s@${from#time:} ;;
esac

set -- -b "$brokers" -X message.max.bytes=20000000 -X reconnect.backoff.max.ms=500 -X allow.auto.create.topics=true "$@"
case $verb in
  produce)
    exec kcat -P -E -t "$topic" -z "$codec" -K "$(printf '\037')" -D "$(printf '\036')" -X acks="$acks" \
      -X enable.idempotence="$idempotent" -X message.timeout.ms="$timeout" -X linger.ms=5 \
      -X topic.metadata.propagation.max.ms=3000 "$@"
    ;;
  consume)
    exec kcat -C -E -q -t "$topic" -o "$from" -c "$count" -f "$FORMAT" -X fetch.message.max.bytes=2000000 "$@"
    ;;
  group)
    exec kcat -E -u -f "$FORMAT" -X auto.offset.reset=earliest -X session.timeout.ms="$session" \
      -X heartbeat.interval.ms=500 -X auto.commit.interval.ms=500 -X topic.metadata.refresh.interval.ms=1000 "$@" \
      -G "$group" "$topic"
    ;;
  *) echo "unknown verb $verb" >&2; exit 2 ;;
esac
