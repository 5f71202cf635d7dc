"""What Millrace and mqtt-packet are known to see differently, and why ours is right.

A difference is known by its kind: not by the packet, so that a new one with another cause shows.
"""

# What we refuse and they let through: the text of our refusal, and what the standard says.
# mqtt-packet checks structure; what values mean it leaves to its users.
LAXER = {
    "string is not valid UTF-8": "[MQTT-1.5.4-1], [MQTT-1.5.4-2]: they replace what is bad",
    "property is not valid UTF-8": "[MQTT-1.5.4-1], [MQTT-1.5.4-2]: they replace what is bad",
    "topic name is not valid UTF-8": "[MQTT-3.3.2-1]: they replace what is bad",
    "topic name with wildcard": "[MQTT-3.3.2-2]",
    "will topic is not a topic name": "sections 3.1.3.3 and 4.7: a will is published to it",
    "response topic is not a topic name": "[MQTT-3.3.2-14]",
    "empty topic name without alias": "section 3.3.2.3.4; before 5.0 [MQTT-4.7.3-1]",
    "empty topic filter": "[MQTT-4.7.3-1]",
    "SUBSCRIBE without a topic filter": "[MQTT-3.8.3-2]: they compare with the whole length",
    "UNSUBSCRIBE without a topic filter": "[MQTT-3.10.3-2]: they compare with the whole length",
    "packet identifier is 0": "[MQTT-2.2.1-3], [MQTT-2.2.1-4]",
    "property given twice": "section 2.2.2.2: a protocol error; they make a list of it",
    "property of another packet type": "section 2.2.2.2: malformed",
    "property is 0": "sections 3.1.2.11.3, 3.1.2.11.4, 3.8.2.1.2: a protocol error",
    "property is not 0 or 1": "sections 3.1.2.11, 3.2.2.3 and 3.3.2.3.2: a protocol error",
    "topic alias is 0": "[MQTT-3.3.2-8]",
    "property length runs past the packet": "section 2.2.2.1: they stop at the end",
    "field runs past the end": "section 4.13: malformed; they take -1, null or nothing for it",
    "ping with a body": "section 3.12: no payload; they don't look",
    "bytes behind the end of the packet": "section 4.13: malformed; they ignore them",
    "variable byte integer not in its shortest form": "[MQTT-1.5.5-1]",
    "variable byte integer longer than four bytes": "section 1.5.5: they take it for 0",
    "remaining length not in its shortest form": "[MQTT-1.5.5-1]",
    "unknown property": "section 2.2.2.2: they lose count behind a field that is cut off",
    "reason code of another packet type": "sections 3.2.2.2 and 3.14.2.1",
    "reserved reason code": "sections 3.2.2.2 and 3.14.2.1",
    "reserved return code": "section 3.2.2.3 of 3.1.1",
    "session present on a refusal": "[MQTT-3.2.2-6]",
    "authentication data without method": "section 3.1.2.11.10: a protocol error",
    "AUTH without a method": "section 3.15.2.2.2: a protocol error",
    "session expiry interval from the server": "[MQTT-3.14.2-2]",
    "unsupported protocol name or level": "[MQTT-3.1.2-1]: they check name and level apart",
    "will QoS is 3": "[MQTT-3.1.2-12]",
    "password without user name": "[MQTT-3.1.2-22 of 3.1.1]",
    "QoS is 3, or DUP with QoS 0": "[MQTT-3.3.1-2]",
    "acknowledgement without a code": "[MQTT-3.9.3-1], [MQTT-3.11.3-1]",
}

AUTH_EMPTY = "AUTH without a body"
DUP_31 = "DUP on a request of 3.1"
BAD_METHOD = "DISCONNECT for a bad authentication method"
EMPTY_VALUE = "user property with an empty value"

# The other way round, and fields that differ.
OTHERS = {
    AUTH_EMPTY: "section 3.15.2.1 lets success without properties be left out; they don't",
    DUP_31: "MQTT 3.1 sets DUP on PUBREL, SUBSCRIBE and UNSUBSCRIBE; they know flags of 3.1.1 only",
    BAD_METHOD: "section 4.12 has a server send it when re-authentication fails; table 3-10 and "
                "they leave it out",
    EMPTY_VALUE: "they forget an empty value when the same name comes again",
}


def names():
    return list(LAXER) + list(OTHERS)


def reason_of(name):
    return LAXER.get(name) or OTHERS[name]


def loses_empty_value(ours, theirs):
    """Are the same properties left once what they forget is gone?"""
    ours, theirs = dict(ours), dict(theirs)
    forgot = False
    for field in ("properties", "will_properties"):
        mine = ours.pop(field, [])
        their = theirs.pop(field, [])
        kept = []
        for index, entry in enumerate(mine):
            is_empty = len(entry) == 3 and entry[2] == ""
            comes_again = any(len(e) == 3 and e[1] == entry[1] for e in mine[index + 1:])
            # A list that was begun keeps what is empty.
            is_first = not any(len(e) == 3 and e[1] == entry[1] for e in kept)
            if is_empty and comes_again and is_first:
                forgot = True
            else:
                kept.append(entry)
        if kept != their:
            return False
    return forgot and ours == theirs


def name_of(line, ours, theirs):
    """The name of a known difference between two answers, or ""."""
    version, direction, digits = line.split(" ")
    first = int(digits[:2], 16)
    if "bad" in ours and "type" in theirs:
        return ours["bad"] if ours["bad"] in LAXER else ""
    if "type" in ours and "bad" in theirs:
        if ours["type"] == 15 and digits == "f000":
            return AUTH_EMPTY
        if version == "3" and ours["type"] in (6, 8, 10) and first & 8:
            return DUP_31
        if ours["type"] == 14 and direction == "s" and ours["code"] == 0x8C:
            return BAD_METHOD
        return ""
    if "type" in ours and "type" in theirs and loses_empty_value(ours, theirs):
        return EMPTY_VALUE
    return ""
