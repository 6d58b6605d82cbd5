// kafkajs, driven from the command line. test/README.md describes the verbs, their options and the lines they read and write.
//
//   node client.js BROKERS produce|consume|group TOPIC [name=value ...]
'use strict'

const readline = require('node:readline')
const { randomUUID } = require('node:crypto')
const { Kafka, Partitioners, logLevel } = require('kafkajs')
const codecs = require('./codecs')

const [brokers, verb, topic, ...rest] = process.argv.slice(2)
const options = Object.fromEntries(rest.map((option) => option.split(/=(.*)/s).slice(0, 2)))
const kafka = new Kafka({
  clientId: 'e2e-kafkajs',
  brokers: brokers.split(','),
  logLevel: options.verbose ? logLevel.DEBUG : logLevel.NOTHING,
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: Number(options.retries ?? 1000) },
})

const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const decode = (text) => (text == null ? null : Buffer.from(text, 'base64'))
const encode = (bytes) => (bytes == null ? null : bytes.toString('base64'))

// decodeHeaders and encodeHeaders map [[key, value], ...] to kafkajs's object and back. A key that comes twice is an array.
function decodeHeaders(pairs) {
  const headers = {}
  for (const [key, value] of pairs ?? []) {
    const bytes = decode(value)
    headers[key] = key in headers ? [].concat(headers[key], bytes) : bytes
  }
  return headers
}

function encodeHeaders(headers) {
  return Object.entries(headers ?? {}).flatMap(([key, values]) => [].concat(values).map((value) => [key, encode(value)]))
}

function decodeRecord(line) {
  const record = JSON.parse(line)
  return {
    key: decode(record.key),
    value: decode(record.value),
    headers: decodeHeaders(record.headers),
    partition: record.partition ?? undefined,
    timestamp: record.timestamp == null ? undefined : String(record.timestamp),
  }
}

function printRecord(partition, message) {
  print({
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: encode(message.key),
    value: encode(message.value),
    headers: encodeHeaders(message.headers),
  })
}

// produce sends whatever lines have arrived while the send before was on its way, so a slow writer gets small batches.
async function produce() {
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: options.idempotent === 'true',
    maxInFlightRequests: options.idempotent === 'true' ? 1 : undefined,
    allowAutoTopicCreation: true,
  })
  await producer.connect()
  let acked = 0
  let waiting = []
  let wake = () => {}
  let ended = false
  const input = readline.createInterface({ input: process.stdin })
  input.on('line', (line) => { waiting.push(decodeRecord(line)); wake() })
  input.on('close', () => { ended = true; wake() })
  while (!ended || waiting.length > 0) {
    if (waiting.length === 0) {
      await new Promise((resolve) => { wake = resolve })
      continue
    }
    const messages = waiting.splice(0, 500)
    await producer.send({ topic, messages, acks: Number(options.acks ?? -1), compression: codecs[options.codec ?? 'none'] })
    acked += messages.length
    print({ acked })
  }
  await producer.disconnect()
}

// startOffsets says where each partition is to be read from: [{partition, offset}].
async function startOffsets(from) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const [kind, number] = from.split(':')
    if (kind === 'time') return await admin.fetchTopicOffsetsByTimestamp(topic, Number(number))
    const offsets = await admin.fetchTopicOffsets(topic)
    return offsets.map(({ partition, low, high }) => ({
      partition,
      offset: kind === 'start' ? low : kind === 'end' ? high : number,
    }))
  } finally {
    await admin.disconnect()
  }
}

// consume reads count records, from a position, without leaving commits behind. kafkajs always needs a group: this one is thrown away.
async function consume() {
  const count = Number(options.count)
  const only = options.partition === undefined ? undefined : Number(options.partition)
  const offsets = await startOffsets(options.from ?? 'start')
  const consumer = kafka.consumer({ groupId: `replay-${randomUUID()}`, maxWaitTimeInMs: 500 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: options.reset !== 'latest' })
  let seen = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        if (seen >= count || (only !== undefined && partition !== only)) return
        printRecord(partition, message)
        if (++seen === count) resolve()
      },
    }).catch(reject)
    for (const { partition, offset } of offsets) consumer.seek({ topic, partition, offset })
  })
  await consumer.disconnect()
}

// subscribe asks again for a topic that is only being created; kafkajs itself gives up.
async function subscribe(consumer) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await consumer.subscribe({ topics: [topic], fromBeginning: true })
    } catch (error) {
      if (error.type !== 'UNKNOWN_TOPIC_OR_PARTITION' || attempt === 5) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

// group reads as one member of a group until its standard input closes; then it commits and leaves.
async function group() {
  const consumer = kafka.consumer({
    groupId: options.group,
    sessionTimeout: Number(options.session ?? 10000),
    heartbeatInterval: 500,
    maxWaitTimeInMs: 500,
    allowAutoTopicCreation: true,
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => print({ assigned: payload.memberAssignment[topic] ?? [] }))
  const run = () => consumer.run({ eachMessage: async ({ partition, message }) => printRecord(partition, message) })
  // kafkajs 2.2.4 ends a consumer for good when what it failed of in the end is an error of the network and not one of its own: to begin again is left to the application. An error
  // that the broker answered with is another matter.
  const crashed = new Promise((_, reject) => consumer.on(consumer.events.CRASH, ({ payload: { restart, error } }) => {
    if (restart) return
    let cause = error
    while (cause.cause) cause = cause.cause
    console.error(`the consumer crashed: ${error.stack}\nbecause of: ${cause.stack}`)
    if (cause.type !== undefined) return reject(error)
    setTimeout(() => consumer.connect().then(run).catch(reject), 100)
  }))
  await consumer.connect()
  await subscribe(consumer)
  await run()
  await Promise.race([crashed, new Promise((resolve) => process.stdin.on('end', resolve).resume())])
  await consumer.disconnect()
}

function fail(error) {
  const cause = error.cause?.code !== undefined ? error.cause : error
  print({ error: String(cause.type ?? cause.message), code: Number.isInteger(cause.code) ? cause.code : null })
  end(1)
}

// end waits until everything is printed.
function end(status) {
  process.stdout.write('', () => process.exit(status))
}

({ produce, consume, group })[verb]().then(() => end(0), fail)
