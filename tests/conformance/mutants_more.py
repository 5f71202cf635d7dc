"""More mutants: messages on their way to a client, and what the server never hears."""

import time
import unicodedata

from case import mqtt
from mutants import (
    answer,
    breaks,
    drop,
    parse_publish,
    request,
    set_fields,
    shift,
    twice,
    without,
)
from proxy import parse_connect, parse_subscribe, parse_unsubscribe
from support.mqtt import V5

# ------------------------------------------------------------------------- messages

answer(mqtt.PUBLISH, "no_dup", "MQTT-3.3.1-1 MQTT-4.4.0-1", "MQTT-3.3.1-1 MQTT-4.4.0-1")(
    set_fields(dup=False))
answer(mqtt.PUBLISH, "dup_at_qos_0", "MQTT-3.3.1-2 MQTT-4.3.1-1", "MQTT-3.3.1-2 MQTT-4.3.1-1",
       qos=0)(set_fields(dup=True))
answer(mqtt.PUBLISH, "dup_at_qos_1", "MQTT-3.3.1-3 MQTT-4.3.2-2", "MQTT-3.3.1-3 MQTT-4.3.2-1",
       qos=1)(set_fields(dup=True))
answer(mqtt.PUBLISH, "dup_at_qos_2", "MQTT-3.3.1-3 MQTT-4.3.3-2", "MQTT-3.3.1-3 MQTT-4.3.3-1",
       qos=2)(set_fields(dup=True))
answer(mqtt.PUBLISH, "nothing_sent_again",
       "MQTT-4.4.0-1 MQTT-4.3.2-3 MQTT-4.3.3-3 MQTT-4.8.2-4 MQTT-4.3.3-7 MQTT-3.10.4-3",
       "MQTT-4.4.0-1 MQTT-4.3.2-1 MQTT-4.3.3-1 MQTT-3.10.4-3", dup=True)(drop)
answer(mqtt.PUBLISH, "sent_again_as_new", "MQTT-4.4.0-1", "MQTT-4.4.0-1", dup=True)(shift)
answer(mqtt.PUBLISH, "not_retained_again", "MILLRACE-5-3.3.1-4", "MILLRACE-3-3.3.1-2", dup=True)(
    set_fields(retain=False))
answer(mqtt.PUBLISH, "retained_again", "MILLRACE-5-3.3.1-4", "MILLRACE-3-3.3.1-2", dup=True)(
    set_fields(retain=True))
answer(mqtt.PUBLISH, "never_retained", "MQTT-3.3.1-13 MQTT-3.1.2-15 MILLRACE-5-3.3.1-2",
       "MQTT-3.3.1-8 MQTT-3.1.2-17", retain=True)(set_fields(retain=False))
answer(mqtt.PUBLISH, "always_retained", "MQTT-3.3.1-12 MQTT-3.1.2-14",
       "MQTT-3.3.1-9 MQTT-3.1.2-16", retain=False)(set_fields(retain=True))
answer(mqtt.PUBLISH, "no_retained_messages",
       "MQTT-3.3.1-9 MQTT-3.3.1-5 MQTT-3.8.4-4 MQTT-3.3.1-10",
       "MQTT-3.3.1-6 MQTT-3.3.1-5 MQTT-3.8.4-3 MQTT-3.1.2-7", retain=True)(drop)
answer(mqtt.PUBLISH, "qos_0_for_all",
       "MQTT-3.8.4-8 MQTT-4.8.2-3 MQTT-3.3.4-2 MQTT-3.1.2-9",
       "MQTT-3.8.4-6 MQTT-3.3.5-1 MQTT-3.1.2-9")(set_fields(qos=0, packet_id=None, dup=False))
answer(mqtt.PUBLISH, "qos_2_for_all", "MQTT-3.8.4-8", "MQTT-3.8.4-6", qos=1)(set_fields(qos=2))
answer(mqtt.PUBLISH, "one_packet_id", "MQTT-2.2.1-4 MQTT-4.3.2-1 MQTT-4.3.3-1",
       "MQTT-2.3.1-4 MQTT-4.3.2-1 MQTT-4.3.3-1")(
    lambda p, _l: setattr(p, "packet_id", 7 if p.qos else None))
answer(mqtt.PUBLISH, "packet_id_0", "MQTT-2.2.1-4", "MQTT-2.3.1-1")(
    lambda p, _l: setattr(p, "packet_id", 0 if p.qos else None))
answer(mqtt.PUBLISH, "packet_id_at_qos_0", "MQTT-2.2.1-2", "MQTT-2.3.1-5", qos=0)(
    set_fields(packet_id=7))
answer(mqtt.PUBLISH, "upper_case", "MQTT-3.3.2-3 MQTT-3.3.2-1 MQTT-4.7.3-4",
       "MQTT-3.3.2-3 MQTT-3.3.2-1 MQTT-4.7.3-4")(lambda p, _l: setattr(p, "topic", p.topic.upper()))
answer(mqtt.PUBLISH, "normalized", "MQTT-4.7.3-4", "MQTT-4.7.3-4")(
    lambda p, _l: setattr(p, "topic", unicodedata.normalize("NFC", p.topic)))
answer(mqtt.PUBLISH, "no_byte_order_mark", "MQTT-1.5.4-3", "MQTT-1.5.3-3")(
    lambda p, _l: setattr(p, "topic", p.topic.lstrip("\ufeff")))
answer(mqtt.PUBLISH, "empty_ones_lost", "MQTT-3.3.1-6", "MQTT-3.3.1-10", payload=b"")(drop)
answer(mqtt.PUBLISH, "long_length", "MQTT-1.5.5-1")(
    lambda p, _l: p.raw[:1] + mqtt.varint(len(p.raw) - 2, 2) + p.raw[2:]
    if len(p.raw) < 130 else None)
answer(mqtt.PUBLISH, "no_property_length", "MQTT-2.2.2-1")(
    lambda p, l: p.raw if p.properties or l.version != V5 else mqtt.packet(
        mqtt.PUBLISH, p.flags, p.raw[2:p.raw.rindex(b"\0" + p.payload)] + p.payload)
    if len(p.raw) < 128 else None)
answer(mqtt.PUBLISH, "everything_twice", "MQTT-4.3.3-10 MILLRACE-5-4.8.2-1 MQTT-3.8.4-3",
       "MQTT-4.3.3-2 MQTT-3.8.4-3")(twice)
answer(mqtt.PUBLISH, "no_messages",
       "MQTT-4.5.0-1 MQTT-3.1.2-7 MQTT-3.1.2-8 MQTT-4.3.2-5 MQTT-4.3.3-12 MQTT-4.2.0-1 "
       "MQTT-3.3.2-12 MQTT-3.10.4-1 MILLRACE-5-3.1.4-1 MILLRACE-5-3.14.2-1",
       "MQTT-4.5.0-1 MQTT-3.1.2-8 MQTT-7.0.0-2 MQTT-7.1.1-1 MQTT-3.1.2-5 MQTT-4.3.2-2")(drop)

for _identifier, _statements in (
    (mqtt.PAYLOAD_FORMAT_INDICATOR, "MQTT-3.3.2-4"),
    (mqtt.RESPONSE_TOPIC, "MQTT-3.3.2-15"),
    (mqtt.CORRELATION_DATA, "MQTT-3.3.2-16"),
    (mqtt.CONTENT_TYPE, "MQTT-3.3.2-20"),
    (mqtt.USER_PROPERTY, "MQTT-3.3.2-17 MQTT-3.1.3-10"),
    (mqtt.MESSAGE_EXPIRY_INTERVAL, "MQTT-3.3.2-6"),
    (mqtt.SUBSCRIPTION_IDENTIFIER, "MQTT-3.3.4-3 MQTT-3.3.4-4 MQTT-3.3.4-5 MILLRACE-5-3.8.4-1 "
     "MILLRACE-5-4.1.0-1"),
):
    answer(mqtt.PUBLISH, f"without_{_identifier:#x}", _statements)(
        lambda p, _l, i=_identifier: setattr(p, "properties", without(p.properties, i)))

answer(mqtt.PUBLISH, "properties_backwards", "MQTT-3.3.2-18 MQTT-3.1.3-10")(
    lambda p, _l: p.properties.reverse())
answer(mqtt.PUBLISH, "expiry_as_it_was", "MQTT-3.3.2-6")(
    lambda p, _l: setattr(p, "properties", [
        (i, 100 if i == mqtt.MESSAGE_EXPIRY_INTERVAL else v) for i, v in p.properties]))
answer(mqtt.PUBLISH, "alias_too_high", "MQTT-3.1.2-26 MQTT-3.1.2-27 MQTT-3.3.2-11")(
    lambda p, l: setattr(p, "properties", [(mqtt.TOPIC_ALIAS, 9 if p.topic else 3)])
    if l.version == V5 else None)
answer(mqtt.PUBLISH, "alias_0", "MQTT-3.3.2-8")(
    lambda p, l: setattr(p, "properties", [(mqtt.TOPIC_ALIAS, 0)]) if l.version == V5 else None)
answer(mqtt.PUBLISH, "identifier_of_another", "MILLRACE-5-3.3.4-3")(
    lambda p, l: setattr(p, "properties", [*p.properties, (mqtt.SUBSCRIPTION_IDENTIFIER, 77)])
    if l.version == V5 else None)


@breaks("MQTT-4.6.0-5 MQTT-4.6.0-6", "MQTT-4.6.0-5 MQTT-4.6.0-6")
def out_of_order(link, from_client, data):
    """Each second message comes before the first."""
    if from_client or data[0] >> 4 != mqtt.PUBLISH:
        return data
    if link.kept:
        return data + link.kept.pop()
    link.kept.append(data)
    return b""


@breaks("MQTT-4.3.3-6", "MQTT-4.3.3-1")
def publish_instead_of_pubrel(link, from_client, data):
    """On a connection that hasn't sent PUBREC, a PUBREL is made a PUBLISH."""
    if from_client:
        link.count += data[0] >> 4 == mqtt.PUBREC
    elif data[0] >> 4 == mqtt.PUBREL and not link.count:
        packet = mqtt.decode(data, link.version)
        return mqtt.publish("a", "x", 2, packet.packet_id, dup=True, version=link.version)
    return data


@breaks("MQTT-4.3.3-5", "MQTT-4.3.3-1")
def pubrel_once(link, from_client, data):
    """Sent, but not sent again."""
    if from_client:
        link.count += data[0] >> 4 == mqtt.PUBREC
    elif data[0] >> 4 == mqtt.PUBREL and not link.count:
        return b""
    return data


@breaks("MQTT-3.3.4-10 MQTT-4.9.0-3")
def silence_at_receive_maximum(link, from_client, data):
    """Once so many messages are open, nothing else is sent either."""
    if from_client or link.version != V5:
        return data
    maximum = dict(link.connect["props"]).get(mqtt.RECEIVE_MAXIMUM, 65535)
    if link.count >= maximum:
        return b""
    link.count += data[0] >> 4 == mqtt.PUBLISH and data[0] & 6 > 0
    return data


@breaks("MILLRACE-5-3.3.4-2")
def qos_0_counts(link, from_client, data):
    if from_client or link.version != V5 or data[0] >> 4 != mqtt.PUBLISH:
        return data
    link.count += 1
    maximum = dict(link.connect["props"]).get(mqtt.RECEIVE_MAXIMUM, 65535)
    return data if link.count <= maximum else b""


@breaks("MQTT-4.1.0-1", "MQTT-4.1.0-1 MQTT-4.1.0-2")
def forgets_after_a_second(link, from_client, data):
    now = time.monotonic()
    if not link.kept:
        link.kept.append(now)
    late = now > link.kept[0] + 1
    return b"" if late and not from_client and data[0] >> 4 == mqtt.PUBLISH else data


@breaks("MQTT-4.7.2-1", "MQTT-4.7.2-1")
def dollar_for_the_hash(link, from_client, data):
    """Whoever subscribes gets a message of the server's own."""
    if not from_client and data[0] >> 4 == mqtt.SUBACK:
        return data + mqtt.publish("$SYS/x", "x", version=link.version)
    return data


@breaks("MILLRACE-5-3.3.1-1", "MILLRACE-3-3.3.1-1")
def retained_on_resumption(link, from_client, data):
    if not from_client and data[0] >> 4 == mqtt.CONNACK and data[2]:
        return data + mqtt.publish("a", "kept", retain=True, version=link.version)
    return data


@breaks("MQTT-4.3.3-9")
def refused_identifiers_stay_in_use(link, from_client, data):
    if not from_client and data[0] >> 4 == mqtt.PUBREC:
        packet = mqtt.decode(data, link.version)
        if packet.reason is not None and packet.reason >= 0x80:
            link.kept.append(packet.packet_id)
    if from_client and data[0] >> 4 == mqtt.PUBLISH and link.kept:
        return b""
    return data


@breaks("MILLRACE-5-3.3.2-3")
def alias_for_ever(link, from_client, data):
    """What an alias stood for first, it stands for."""
    if not from_client or data[0] >> 4 != mqtt.PUBLISH:
        return data
    packet = parse_publish(data, link.version)
    alias = dict(packet["props"]).get(mqtt.TOPIC_ALIAS)
    if alias in link.kept:
        packet["topic"] = ""
    elif alias is not None:
        link.kept.append(alias)
    return mqtt.publish(**packet)


answer(mqtt.SUBACK, "no_qos_subscribed", "MQTT-3.2.2-10")(
    lambda p, _l: setattr(p, "codes", [c if c == 0 else 0x80 for c in p.codes]))

for _kind in (mqtt.PUBACK, mqtt.PUBREC):
    request(_kind, f"errors_unheard_{_kind}", "MQTT-4.4.0-2")(
        lambda _l, d: b"" if len(d) > 4 and d[4] >= 0x80 else d)

for _kind in (mqtt.PUBACK, mqtt.PUBREC, mqtt.PUBREL, mqtt.PUBCOMP):
    for _len in (4, 5):
        request(_kind, f"no_short_{_kind}_of_{_len}", "MILLRACE-5-3.4.2-2")(
            lambda _l, d, n=_len: b"\x00\x00" if len(d) == n else d)


# ------------------------------------------------------------------ CONNECT as it was not


def connect(name, v5="", v311=""):
    """A mutant that changes the arguments of CONNECT, in place."""

    def mark(edit):
        def change(_link, data):
            found = parse_connect(data)
            edit(found)
            if found.pop("clear_flags", False):
                del found["flags"]
            return mqtt.connect(**found)

        request(mqtt.CONNECT, name, v5, v311)(change)
        return edit

    return mark


def _flags(keep, add=0):
    return lambda c: c.update(flags=c["flags"] & keep | add)


def _without_connect(*identifiers):
    def edit(found):
        found["props"] = without(found.get("props", ()), *identifiers)

    return edit


def _with_connect(identifier, value):
    def edit(found):
        if found["version"] == V5:
            found["props"] = [*without(found["props"], identifier), (identifier, value)]

    return edit


def _will(**fields):
    def edit(found):
        if "will" in found:
            for field, value in fields.items():
                setattr(found["will"], field, value)
            found["clear_flags"] = True
            found["clean"] = bool(found["flags"] & 2)

    return edit


connect("never_clean", "MQTT-3.1.2-4 MQTT-3.2.2-2 MQTT-3.1.4-4 MILLRACE-5-3.1.3-2",
        "MQTT-3.1.2-6 MQTT-3.2.2-1 MQTT-3.1.4-3")(_flags(0xFD))
connect("always_clean", "MQTT-3.1.2-5 MQTT-3.2.2-3 MQTT-3.1.2-23 MQTT-3.1.4-4",
        "MQTT-3.1.2-4 MQTT-3.1.2-5 MQTT-3.2.2-2 MQTT-4.1.0-1")(_flags(0xFF, 2))
connect("no_expiry", "MQTT-3.1.2-23 MQTT-4.5.0-1 MILLRACE-5-3.1.3-1")(
    _without_connect(mqtt.SESSION_EXPIRY_INTERVAL))
connect("expiry_never_ends", "MQTT-4.1.0-2")(
    _with_connect(mqtt.SESSION_EXPIRY_INTERVAL, 0xFFFFFFFF))
connect("expiry_of_a_second", "MQTT-3.1.2-23")(_with_connect(mqtt.SESSION_EXPIRY_INTERVAL, 1))
connect("one_identifier", "MQTT-3.1.3-2", "MQTT-3.1.3-2")(lambda c: c.update(client_id="same"))
connect("identifiers_in_lower_case", "MQTT-3.1.3-2", "MQTT-3.1.3-2")(
    lambda c: c.update(client_id=c["client_id"].lower()))
connect("one_identifier_for_the_empty", "MQTT-3.1.3-6", "MQTT-3.1.3-6")(
    lambda c: c.update(client_id=c["client_id"] or "same"))
connect("no_takeover", "MQTT-3.1.4-3", "MQTT-3.1.4-2")(
    lambda c: c.update(client_id=c["client_id"] + str(id(c))))
connect("any_receive_maximum",
        "MQTT-3.3.4-9 MQTT-4.9.0-1 MQTT-4.9.0-2 MILLRACE-5-4.9.0-1")(
    _without_connect(mqtt.RECEIVE_MAXIMUM))
connect("any_packet_size", "MQTT-3.1.2-24 MQTT-3.1.2-25")(
    _without_connect(mqtt.MAXIMUM_PACKET_SIZE))
connect("aliases_for_all", "MQTT-3.1.2-27")(_with_connect(mqtt.TOPIC_ALIAS_MAXIMUM, 10))
connect("keep_alive_for_ever", "MQTT-3.1.2-22 MQTT-3.2.2-22", "MQTT-3.1.2-24")(
    lambda c: c.update(keep_alive=0))
connect("keep_alive_of_a_second", "MQTT-3.1.2-22", "MQTT-3.1.2-24")(
    lambda c: c.update(keep_alive=min(c["keep_alive"], 1)))
connect("will_qos_0", "MQTT-3.1.2-9", "MQTT-3.1.2-9")(_will(qos=0))
connect("will_never_retained", "MQTT-3.1.2-15", "MQTT-3.1.2-17")(_will(retain=False))
connect("will_always_retained", "MQTT-3.1.2-14", "MQTT-3.1.2-16")(_will(retain=True))
connect("will_without_properties",
        "MQTT-3.1.3-9 MILLRACE-5-3.1.3-1 MILLRACE-5-3.1.3-3 MQTT-3.1.3-10")(_will(props=()))
connect("will_elsewhere", "MQTT-3.1.2-7 MQTT-3.1.2-8", "MQTT-3.1.2-8 MILLRACE-3-3.1.2-1")(
    _will(topic="elsewhere"))
connect("fields_in_disorder", "MQTT-3.1.3-1", "MQTT-3.1.3-1")(
    lambda c: _will(topic=c["will"].payload, payload=c["will"].topic)(c) if "will" in c else None)


def _uninvited_will(found):
    """On the topic that the tests watch."""
    if "will" not in found:
        found["will"] = mqtt.Will(found["client_id"][:9] + "/will", "uninvited")
        found["flags"] |= 4


connect("uninvited_will", "", "MQTT-3.1.2-12")(_uninvited_will)
connect("long_identifiers_refused", "MQTT-3.1.3-5", "MQTT-3.1.3-5")(
    lambda c: c.update(level=9) if len(c["client_id"]) == 23 else None)
connect("letters_refused", "MQTT-3.1.3-5", "MQTT-3.1.3-5")(
    lambda c: c.update(level=9) if c["client_id"] in ("k", "F") else None)
connect("everybody_may_read", "MILLRACE-5-3.8.4-2")(lambda c: c.update(
    user="writer", clear_flags=True, clean=bool(c["flags"] & 2)))


# -------------------------------------------------------------------- other requests


def _publish(**fields):
    def change(link, data):
        packet = parse_publish(data, link.version)
        for field, value in fields.items():
            packet[field] = value(packet) if callable(value) else value
        return mqtt.publish(**packet)

    return change


request(mqtt.PUBLISH, "nothing_is_kept", "MQTT-3.3.1-5 MQTT-3.3.1-13", "MQTT-3.3.1-5")(
    _publish(retain=False))
request(mqtt.PUBLISH, "everything_is_kept", "MQTT-3.3.1-8", "MQTT-3.3.1-12")(
    _publish(retain=True))
request(mqtt.PUBLISH, "empty_ones_are_kept", "MQTT-3.3.1-6 MQTT-3.3.1-7",
        "MQTT-3.3.1-10 MQTT-3.3.1-11")(
    _publish(payload=lambda p: p["payload"] or (b" " if p["retain"] else b"")))
request(mqtt.PUBLISH, "first_one_stays", "", "MQTT-3.3.1-7")(
    _publish(retain=lambda p: p["retain"] and p["qos"] > 0))
request(mqtt.PUBLISH, "expiry_is_lost", "MQTT-3.3.2-5 MILLRACE-5-3.3.1-3")(
    _publish(props=lambda p: without(p["props"], mqtt.MESSAGE_EXPIRY_INTERVAL)))
request(mqtt.DISCONNECT, "disconnect_unheard", "MQTT-3.14.4-3 MQTT-3.1.2-10",
        "MQTT-3.14.4-3 MQTT-3.1.2-10")(lambda _l, _d: b"\x00\x00")
request(mqtt.DISCONNECT, "disconnect_without_reason",
        "MILLRACE-5-3.14.2-1 MILLRACE-5-3.14.2-3 MILLRACE-5-3.14.2-4 MQTT-3.14.1-1",
        "MQTT-3.14.1-1")(
    lambda _l, _d: mqtt.disconnect())


def _options(edit):
    def change(link, data):
        packet_id, filters, props = parse_subscribe(data, link.version)
        if link.version == V5:
            filters = [(f, edit(byte)) for f, byte in filters]
        return mqtt.subscribe(packet_id, filters, props, link.version, data[0] & 15)

    return change


request(mqtt.SUBSCRIBE, "no_local_unheard", "MQTT-3.8.3-3 MQTT-3.8.3-4 MILLRACE-5-4.1.0-1")(
    _options(lambda b: b & ~4))
request(mqtt.SUBSCRIBE, "retain_as_published_unheard", "MQTT-3.3.1-13 MILLRACE-5-3.3.1-2")(
    _options(lambda b: b & ~8))
request(mqtt.SUBSCRIBE, "retain_handling_0", "MQTT-3.3.1-10 MQTT-3.3.1-11 MILLRACE-5-3.8.3-2")(
    _options(lambda b: b & ~0x30))
request(mqtt.SUBSCRIBE, "retain_handling_1", "MQTT-3.3.1-9 MQTT-3.8.4-4")(
    _options(lambda b: b & ~0x30 | 0x10))
request(mqtt.SUBSCRIBE, "reserved_bits_unseen", "MQTT-3.8.3-5")(_options(lambda b: b & 0x3F))
request(mqtt.SUBSCRIBE, "qos_3_is_2", "MILLRACE-5-3.8.3-1")(
    _options(lambda b: b & ~1 if b & 3 == 3 else b))


@request(mqtt.SUBSCRIBE, "only_the_first_filter", "MQTT-3.8.4-5", "MQTT-3.8.4-4")
def _first_filter(link, data):
    packet_id, filters, props = parse_subscribe(data, link.version)
    return mqtt.subscribe(packet_id, filters[:1] * len(filters), props, link.version)


@request(mqtt.UNSUBSCRIBE, "only_the_first_to_unsubscribe", "MQTT-3.10.4-6", "MQTT-3.10.4-6")
def _first_unsubscribe(link, data):
    packet_id, filters, props = parse_unsubscribe(data, link.version)
    return mqtt.unsubscribe(packet_id, filters[:1] * len(filters), props, link.version)


@request(mqtt.UNSUBSCRIBE, "unsubscribe_unheard", "MQTT-3.10.4-1 MQTT-3.10.4-2",
         "MQTT-3.10.4-1 MQTT-3.10.4-2")
def _unsubscribe_other(link, data):
    packet_id, filters, props = parse_unsubscribe(data, link.version)
    return mqtt.unsubscribe(packet_id, [f + "x" for f in filters], props, link.version)


# ------------------------------------------------------- shared subscriptions, wildcards


@request(mqtt.SUBSCRIBE, "sharing_unknown", "MILLRACE-5-4.8.2-1 MILLRACE-5-4.8.2-2 MQTT-4.8.2-5 "
         "MQTT-4.8.2-6")
def _not_shared(link, data):
    packet_id, filters, props = parse_subscribe(data, link.version)
    filters = [(f.split("/", 2)[2] if f.startswith("$share/") else f, b) for f, b in filters]
    return mqtt.subscribe(packet_id, filters, props, link.version)


@request(mqtt.SUBSCRIBE, "one_group_for_all", "MILLRACE-5-4.8.2-3")
def _one_group(link, data):
    packet_id, filters, props = parse_subscribe(data, link.version)
    filters = [("$share/one/" + f.split("/", 2)[2] if f.startswith("$share/") else f, b)
               for f, b in filters]
    return mqtt.subscribe(packet_id, filters, props, link.version)


@request(mqtt.SUBSCRIBE, "hash_is_plus", "MILLRACE-5-4.7.1-1", "MILLRACE-3-4.7.1-1")
def _plus(link, data):
    packet_id, filters, props = parse_subscribe(data, link.version)
    filters = [(f.replace("#", "+"), b) for f, b in filters]
    return mqtt.subscribe(packet_id, filters, props, link.version)


@request(mqtt.SUBSCRIBE, "plus_is_hash", "MILLRACE-5-4.7.1-2", "MILLRACE-3-4.7.1-2")
def _hash(link, data):
    packet_id, filters, props = parse_subscribe(data, link.version)
    filters = [(f.partition("+")[0] + "#" if "/+/" in f else f, b) for f, b in filters]
    return mqtt.subscribe(packet_id, filters, props, link.version)


def _other_filters(edit):
    def change(link, data):
        packet_id, filters, props = parse_subscribe(data, link.version)
        filters = [(edit(text), byte) for text, byte in filters]
        return mqtt.subscribe(packet_id, filters, props, link.version)

    return change


def _misspelt(text):
    parts = text.split("/")
    if parts[0] == "$share":
        bad = len(parts) < 3 or not parts[1] or not "".join(parts[2:]) or set("+#") & set(parts[1])
        parts = parts[2:]
        if bad:
            return True
    return any(set("+#") & set(part) and len(part) > 1 for part in parts) or "#" in parts[:-1]


request(mqtt.SUBSCRIBE, "misspelt_filters_granted",
        "MQTT-4.7.1-1 MQTT-4.7.1-2 MQTT-4.8.2-1 MQTT-4.8.2-2",
        "MQTT-4.7.1-2 MQTT-4.7.1-3")(_other_filters(lambda f: "x" if _misspelt(f) else f))
request(mqtt.SUBSCRIBE, "wildcards_granted_in_vain", "", "MQTT-3.8.3-2")(
    _other_filters(lambda f: f.replace("+", "_").replace("#", "_")))
