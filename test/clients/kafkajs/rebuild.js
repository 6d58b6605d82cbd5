// Reads a topic from its start to what is its end now, and rebuilds the files that were written to it: the key of a record is the
// name of a file, its value one line of it.
//
//   node rebuild.js BROKERS TOPIC DIRECTORY
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { randomUUID } = require('node:crypto')
const { Kafka, logLevel } = require('kafkajs')
require('./codecs')

const [brokers, topic, directory] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'rebuild', brokers: brokers.split(','), logLevel: logLevel.ERROR })

async function rebuild() {
  const admin = kafka.admin()
  await admin.connect()
  const remaining = new Map()
  for (const { partition, high } of await admin.fetchTopicOffsets(topic)) {
    if (Number(high) > 0) remaining.set(partition, Number(high))
  }
  await admin.disconnect()

  const files = new Map()
  const consumer = kafka.consumer({ groupId: `rebuild-${randomUUID()}`, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
    consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
        for (const message of batch.messages) {
          const name = message.key.toString()
          if (!files.has(name)) files.set(name, [])
          files.get(name).push(message.value)
        }
        resolveOffset(batch.lastOffset())
        await heartbeat()
        if (Number(batch.lastOffset()) + 1 >= remaining.get(batch.partition)) remaining.delete(batch.partition)
        if (remaining.size === 0) resolve()
      },
    }).catch(reject)
  })
  await consumer.disconnect()

  const newline = Buffer.from('\n')
  for (const [name, lines] of files) {
    const file = path.join(directory, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, Buffer.concat(lines.flatMap((line, i) => (i === 0 ? [line] : [newline, line]))))
  }
  console.log(`${files.size} files`)
}

rebuild().catch((error) => {
  console.error(error)
  process.exit(1)
})
