// kafkajs as a producer and as a member of a group, for `bench chaos`: it says of each record what became of it.
//
//   node chaos.js BROKERS produce              reads   {"topic", "partition", "value"}                         a record, bytes in base64
//                                              writes  {"ready": true}                                        it is connected, and reads from now on
//                                                      {"topic", "partition", "count", "base"}                 so many records, the oldest not answered, begin at offset base
//                                                      {"topic", "partition", "count", "error"}                nobody knows what became of them; the program ends
//   node chaos.js BROKERS group GROUP TOPICS   writes  {"joined": {topic: [partition]}}                        after each rebalance
//                                                      {"topic", "partition", "records": [[offset, value]]}    a batch
//                                                      {"committed": [{"topic", "partition", "offset"}]}
// Both end when their input ends.
'use strict'

const readline = require('node:readline')
const { Kafka, logLevel } = require('kafkajs')
require('./codecs') // franz-go compresses with snappy

const [brokers, verb, ...rest] = process.argv.slice(2)
const kafka = new Kafka({
  clientId: `chaos-kafkajs-${verb}`,
  brokers: brokers.split(','),
  logLevel: logLevel.NOTHING,
  connectionTimeout: 1000,
  requestTimeout: 5000,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 1_000_000 },
})

const print = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// Lane sends the records of one partition, one send after the other. kafkajs 2.2.4 may leave a partition out of a send to several when it moves meanwhile, and take its
// records for acknowledged (its issue 1303): a send to one cannot lose it.
class Lane {
  constructor(producer, topic, partition) {
    Object.assign(this, { producer, topic, partition, waiting: [], sending: false })
  }

  add(value) {
    this.waiting.push({ partition: this.partition, value })
    if (!this.sending) this.drained = this.drain()
  }

  async drain() {
    this.sending = true
    await null // what arrives at once goes out together
    while (this.waiting.length > 0) {
      const messages = this.waiting.splice(0, 100)
      const [topic, partition, count] = [this.topic, this.partition, messages.length]
      try {
        const answers = await this.producer.send({ topic, messages, acks: -1, timeout: 3000 })
        const answer = answers.find((a) => a.topicName === topic && a.partition === partition)
        if (!answer) throw new Error('kafkajs has no answer for this partition')
        print({ topic, partition, count, base: Number(answer.baseOffset) })
      } catch (error) {
        print({ topic, partition, count, error: error.message })
        end(1) // its sequence numbers are good for nothing now
      }
    }
    this.sending = false
  }
}

async function produce() {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false })
  await producer.connect()
  print({ ready: true })
  const lanes = new Map()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { topic, partition, value } = JSON.parse(line)
    const name = `${topic}/${partition}`
    if (!lanes.has(name)) lanes.set(name, new Lane(producer, topic, partition))
    lanes.get(name).add(Buffer.from(value, 'base64'))
  }
  await Promise.all([...lanes.values()].map((lane) => lane.drained))
  await producer.disconnect()
}

async function group() {
  const [groupId, topics] = rest
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 1000, maxWaitTimeInMs: 500, allowAutoTopicCreation: false })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => print({ joined: payload.memberAssignment }))
  consumer.on(consumer.events.COMMIT_OFFSETS, ({ payload }) =>
    print({ committed: payload.topics.flatMap(({ topic, partitions }) => partitions.map(({ partition, offset }) => ({ topic, partition: Number(partition), offset: Number(offset) }))) }))
  const crashed = new Promise((_, reject) => consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error)))
  await consumer.connect()
  await consumer.subscribe({ topics: topics.split(','), fromBeginning: true })
  await consumer.run({
    eachBatch: async ({ batch: { topic, partition, messages } }) => { // heartbeats are sent between batches; one that failed here would have the batch read again
      if (messages.length > 0) print({ topic, partition, records: messages.map(({ offset, value }) => [Number(offset), value.toString('base64')]) })
    },
  })
  await Promise.race([crashed, new Promise((resolve) => process.stdin.on('end', resolve).resume())])
  await consumer.disconnect()
}

// end waits until everything is printed.
function end(status) {
  process.stdout.write('', () => process.exit(status))
}

({ produce, group })[verb]().then(() => end(0), (error) => { print({ error: error.message }); end(1) })
