// The other side: mqtt-packet, the parser of MQTT.js. Reads and writes the lines that
// decode_main.c describes. What isn't there comes out as null, as the parser has it.
'use strict'

const readline = require('readline')
const mqttPacket = require('mqtt-packet')
const constants = require('mqtt-packet/constants')

function hex (value) {
  if (value === null || value === undefined) return null
  return (Buffer.isBuffer(value) ? value : Buffer.from(String(value), 'utf8')).toString('hex')
}

const TEXTS = ['string', 'binary']

// [id, value] and, for user properties, [38, name, value].
function properties (given) {
  const list = []
  for (const name of Object.keys(given || {})) {
    const id = constants.properties[name]
    const type = constants.propertiesTypes[name]
    if (type === 'pair') {
      for (const key of Object.keys(given[name])) {
        for (const value of [].concat(given[name][key])) list.push([id, hex(key), hex(value)])
      }
      continue
    }
    for (const value of [].concat(given[name])) {
      list.push([id, TEXTS.includes(type) ? hex(value) : Number(value)])
    }
  }
  return list
}

function connect (p) {
  const fields = {
    version: p.protocolVersion,
    bridge: Number(Boolean(p.bridgeMode)),
    clean: Number(p.clean),
    keep_alive: p.keepalive,
    client_id: hex(p.clientId)
  }
  if (p.username !== undefined) fields.user_name = hex(p.username)
  if (p.password !== undefined) fields.password = hex(p.password)
  if (p.will) {
    Object.assign(fields, {
      will_topic: hex(p.will.topic),
      will_payload: hex(p.will.payload),
      will_qos: p.will.qos,
      will_retain: Number(p.will.retain),
      will_properties: properties(p.will.properties)
    })
  }
  return fields
}

function publish (p) {
  const fields = {
    topic: hex(p.topic),
    payload: hex(p.payload),
    qos: p.qos,
    dup: Number(p.dup),
    retain: Number(p.retain)
  }
  if (p.qos > 0) fields.packet_id = p.messageId
  return fields
}

function subscribe (p, version) {
  const entries = p.subscriptions.map((s) => [
    hex(s.topic), s.qos,
    ...(version === 5 ? [Number(s.nl), Number(s.rap), s.rh] : [0, 0, 0])
  ])
  return { packet_id: p.messageId, entries }
}

const code = (p) => ({ code: p.reasonCode ?? p.returnCode ?? 0 })
const acknowledgement = (p) => ({ packet_id: p.messageId, ...code(p) })
const codes = (p) => ({ packet_id: p.messageId, codes: Buffer.from(p.granted || []).toString('hex') })

const FIELDS = {
  connect,
  connack: (p) => ({ session_present: Number(p.sessionPresent), ...code(p) }),
  publish,
  puback: acknowledgement,
  pubrec: acknowledgement,
  pubrel: acknowledgement,
  pubcomp: acknowledgement,
  subscribe,
  suback: codes,
  unsubscribe: (p) => ({ packet_id: p.messageId, entries: p.unsubscriptions.map((t) => [hex(t)]) }),
  unsuback: codes,
  pingreq: () => ({}),
  pingresp: () => ({}),
  disconnect: code,
  auth: code
}

function decode (version, bytes) {
  const parser = mqttPacket.parser({ protocolVersion: version })
  let packet = null
  let error = null
  parser.on('packet', (p) => { packet = packet || p })
  parser.on('error', (e) => { if (!packet) error = error || e }) // Not of what follows the packet.
  try {
    parser.parse(bytes)
  } catch (e) { // It reads beyond the end of some bad packets, which Buffer refuses.
    if (!packet) error = error || e
  }
  if (error) return { bad: error.message }
  if (!packet) return { more: 1 }
  const type = Number(constants.codes[packet.cmd])
  const result = { type, ...FIELDS[packet.cmd](packet, version) }
  if (!packet.cmd.startsWith('ping')) result.properties = properties(packet.properties)
  return result
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [version, , digits] = line.split(' ')
  console.log(JSON.stringify(decode(Number(version), Buffer.from(digits, 'hex'))))
})
