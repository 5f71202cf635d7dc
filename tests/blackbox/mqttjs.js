// MQTT.js against a broker, as 3.1.1 and as 5.0. Run by mqttjs_test.py:
//
//   NODE_PATH=... node mqttjs.js HOST PORT PREFIX
//
// Ends with 0 if everything came as it should, and says what it did.
'use strict'

const assert = require('assert')
const { once } = require('events')
const mqtt = require('mqtt')

const [host, port, prefix] = process.argv.slice(2)
const WAIT_MS = 30000

function timeout (what) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`timeout: ${what}`)), WAIT_MS).unref()
  })
}

async function soon (promise, what) {
  return Promise.race([promise, timeout(what)])
}

// A connected client that collects its messages.
async function connect (name, version, options = {}) {
  const client = mqtt.connect(`mqtt://${host}:${port}`, {
    clientId: `${prefix}${name}${version}`,
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    reconnectPeriod: 0,
    ...options
  })
  client.inbox = []
  client.on('message', (topic, payload, packet) => {
    client.inbox.push({ topic, payload: payload.toString(), packet })
    client.emit('one')
  })
  const [connack] = await soon(once(client, 'connect'), `CONNACK of ${name}`)
  client.connack = connack
  return client
}

async function message (client, what) {
  while (client.inbox.length === 0) {
    await soon(once(client, 'one'), what)
  }
  return client.inbox.shift()
}

async function everyQos (version) {
  const topic = `${prefix}/qos${version}`
  const reader = await connect('reader', version)
  const writer = await connect('writer', version)
  const granted = await reader.subscribeAsync(topic, { qos: 2 })
  assert.strictEqual(granted[0].qos, 2)
  for (const qos of [0, 1, 2]) {
    for (let index = 0; index < 50; index++) {
      await writer.publishAsync(topic, `${qos} ${index}`, { qos })
      const got = await message(reader, `QoS ${qos}`)
      assert.strictEqual(got.payload, `${qos} ${index}`)
      assert.strictEqual(got.packet.qos, qos)
    }
  }
  await reader.unsubscribeAsync(topic)
  await writer.endAsync()
  await reader.endAsync()
}

async function retained (version) {
  const topic = `${prefix}/kept${version}`
  const writer = await connect('writer', version)
  await writer.publishAsync(topic, 'kept', { qos: 1, retain: true })
  const reader = await connect('reader', version)
  await reader.subscribeAsync(topic, { qos: 1 })
  const got = await message(reader, 'the retained message')
  assert.ok(got.packet.retain)
  await writer.publishAsync(topic, '', { qos: 1, retain: true })
  assert.strictEqual((await message(reader, 'the empty one')).payload, '')
  await writer.endAsync()
  await reader.endAsync()
}

async function sleeping (version) {
  const topic = `${prefix}/sleep${version}`
  const options = { clean: false }
  if (version === 5) options.properties = { sessionExpiryInterval: 100 }
  let sleeper = await connect('sleeper', version, options)
  await sleeper.subscribeAsync(topic, { qos: 2 })
  await sleeper.endAsync()
  const writer = await connect('writer', version)
  for (const qos of [1, 2]) await writer.publishAsync(topic, `${qos}`, { qos })
  sleeper = await connect('sleeper', version, options)
  assert.strictEqual(sleeper.connack.sessionPresent, version !== 3)
  const seen = [await message(sleeper, 'queued'), await message(sleeper, 'queued')]
  assert.deepStrictEqual(seen.map((m) => m.payload).sort(), ['1', '2'])
  await sleeper.endAsync()
  await (await connect('sleeper', version)).endAsync()
  await writer.endAsync()
}

async function will (version) {
  const topic = `${prefix}/will${version}`
  const watcher = await connect('watcher', version)
  await watcher.subscribeAsync(topic, { qos: 1 })
  const mortal = await connect('mortal', version, { will: { topic, payload: 'dead', qos: 1 } })
  mortal.on('error', () => {})
  mortal.stream.destroy()
  assert.strictEqual((await message(watcher, 'the will')).payload, 'dead')
  await mortal.endAsync(true)
  await watcher.endAsync()
}

async function propertiesOf5 () {
  const topic = `${prefix}/props`
  const limits = { topicAliasMaximum: 5, receiveMaximum: 3 }
  const reader = await connect('props', 5, { properties: limits })
  const identifier = { subscriptionIdentifier: 9 }
  await reader.subscribeAsync(topic, { qos: 1, rap: true, nl: true, properties: identifier })
  await reader.publishAsync(topic, 'own', { qos: 1 })
  const writer = await connect('writer', 5, { autoAssignTopicAlias: true })
  const properties = {
    contentType: 'type',
    responseTopic: 'answer',
    correlationData: Buffer.from([0, 1, 255]),
    userProperties: { a: ['1', '2'], b: '3' }
  }
  for (let index = 0; index < 20; index++) {
    await writer.publishAsync(topic, `${index}`, { qos: 1, properties })
    const got = await message(reader, 'properties')
    assert.strictEqual(got.topic, topic)
    assert.strictEqual(got.payload, `${index}`)
    assert.strictEqual(got.packet.properties.contentType, 'type')
    assert.strictEqual(got.packet.properties.subscriptionIdentifier, 9)
    assert.deepStrictEqual(got.packet.properties.correlationData, properties.correlationData)
    assert.deepStrictEqual({ ...got.packet.properties.userProperties }, properties.userProperties)
  }
  await writer.endAsync()
  await reader.endAsync()
}

async function shared () {
  const topic = `${prefix}/shared`
  const members = await Promise.all([1, 2, 3].map((i) => connect(`member${i}`, 5)))
  for (const member of members) await member.subscribeAsync(`$share/g/${topic}`, { qos: 1 })
  const writer = await connect('writer', 5)
  for (let index = 0; index < 60; index++) await writer.publishAsync(topic, `${index}`, { qos: 1 })
  const all = () => members.flatMap((m) => m.inbox.map((got) => Number(got.payload)))
  const end = Date.now() + WAIT_MS
  while (all().length < 60 && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.deepStrictEqual(all().sort((a, b) => a - b), [...Array(60).keys()])
  for (const client of [...members, writer]) await client.endAsync()
}

async function main () {
  for (const version of [3, 4, 5]) {
    for (const part of [everyQos, retained, sleeping, will]) {
      await part(version)
      console.log(`ok ${part.name} ${version}`)
    }
  }
  for (const part of [propertiesOf5, shared]) {
    await part()
    console.log(`ok ${part.name}`)
  }
}

main().then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
