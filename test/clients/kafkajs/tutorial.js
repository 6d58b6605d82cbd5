// The producer and the consumer of every kafkajs tutorial, as they are printed there. Only the port can be given:
//
//   node tutorial.js [PORT]
'use strict'

const { Kafka } = require('kafkajs')

const port = process.argv[2] ?? 9092

const kafka = new Kafka({
  clientId: 'my-app',
  brokers: [`localhost:${port}`],
})

const producer = kafka.producer()
const consumer = kafka.consumer({ groupId: 'email-service' })

const run = async () => {
  // Producing
  await producer.connect()
  await producer.send({
    topic: 'user-signups',
    messages: [
      { key: 'user-1', value: JSON.stringify({ id: 1, email: 'k@castle.example' }) },
      { key: 'user-2', value: JSON.stringify({ id: 2, email: 'frieda@castle.example' }) },
    ],
  })

  // Consuming
  await consumer.connect()
  await consumer.subscribe({ topic: 'user-signups', fromBeginning: true })

  let emails = 0
  await consumer.run({
    eachMessage: async ({ topic, partition, message }) => {
      const user = JSON.parse(message.value.toString())
      console.log(`${topic}[${partition}] offset ${message.offset} key ${message.key}: send an email to ${user.email}`)
      if (++emails === 2) setTimeout(stop, 0)
    },
  })
}

const stop = async () => {
  await consumer.disconnect()
  await producer.disconnect()
}

run().catch((error) => {
  console.error(error)
  process.exit(1)
})
