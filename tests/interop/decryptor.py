#!/usr/bin/env python3
"""A second reader of Sealgate's envelopes, written from docs/envelope.md alone, with nothing of Sealgate's in it.

Reads one JSON object a line on standard input: the master key, or the passphrase and the row that it opens, the three rows that
lead to one value, its inventory, and a signing key (numbers as numbers, ids as UUIDs, bytes in hexadecimal):

  {"installation": "...",
   "master":  "...", or
   "passphrase": {"said": "...", "id": "...", "salt": "...", "memory_kib": 1, "passes": 1, "lanes": 1, "wrapped": "..."},
   "kek":     {"id": "...", "category": "...", "generation": 1, "wrapped": "..."},
   "inventory": {"epoch": 1, "sealed": "..."},
   "secret":  {"id": "...", "category": "...", "provider": "...", "data_key": "..."},
   "version": {"version": 1, "destinations": "...", "envelope": "..."},
   "signing": {"kek": {...}, "number": 1, "created_at": 1, "sealed": "..."}}

and writes one JSON object a line: {"destinations": [...], "fields": {name: hex}, "fingerprint": "...", "seed": "..."} or
{"refused": why}. It prints what the vault keeps secret: where real rows and a real master key are put in, this is
the last resort of somebody who has lost the program, and its output belongs on no disk.
"""

import functools
import hashlib
import hmac
import json
import sys
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_ENCRYPTION_KEY, DATA_KEY, VALUE, MASTER_KEY, INVENTORY, SIGNING_KEY = 1, 2, 3, 4, 5, 6
HEADER, TAG, STEP = 103, 16, 64
MOST = (1 << 20) + 64


class Refused(Exception):
    """An envelope that may not be opened."""


def demand(right, why):
    if not right:
        raise Refused(why)


def associated(*parts):
    """Each part behind its length as u32; a number is 8 bytes."""
    joined = b""
    for part in parts:
        part = part.to_bytes(8, "big") if isinstance(part, int) else part
        joined += len(part).to_bytes(4, "big") + part
    return joined


def key_id(key, label):
    return hmac.new(key, label, hashlib.sha256).digest()[:16]


def open_envelope(parent, parent_id, layer, aad, envelope):
    """The value inside, or Refused. Nothing is decrypted before the commitment was compared."""
    demand(len(envelope) >= HEADER + TAG, "short")
    demand(envelope[:4] == b"SGE1", "magic")
    demand(envelope[4] == 1 and envelope[5] == 1, "format or suite")
    demand(envelope[6] == layer, "layer")
    demand(envelope[7:23] == parent_id, "parent")
    salt, commitment, nonce = envelope[23:55], envelope[55:87], envelope[87:99]
    length = int.from_bytes(envelope[99:103], "big")
    demand(length % STEP == 0 and length <= MOST, "length")
    demand(len(envelope) == HEADER + length + TAG, "cut or trailing bytes")
    info = b"sealgate/v1/" + envelope[5:7] + salt + hashlib.sha256(aad).digest()
    derived = HKDFExpand(SHA512(), 64, info).derive(parent)
    demand(hmac.compare_digest(derived[32:], commitment), "commitment")
    try:
        plain = AESGCM(derived[:32]).decrypt(nonce, envelope[HEADER:], envelope[:HEADER] + aad)
    except InvalidTag:
        raise Refused("tag") from None
    demand(len(plain) >= 4, "plaintext")
    end = 4 + int.from_bytes(plain[:4], "big")
    padding = plain[end:]
    demand(end <= len(plain) and len(padding) < STEP and not any(padding), "padding")
    return plain[4:end]


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        demand(len(self.data) >= count, "value ends early")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, width):
        return int.from_bytes(self.take(width), "big")


def read_value(plain):
    reader = Reader(plain)
    destinations = [reader.take(reader.number(2)) for _ in range(reader.number(2))]
    fields = [(reader.take(reader.number(2)), reader.take(reader.number(4))) for _ in range(reader.number(2))]
    demand(not reader.data, "value has trailing bytes")
    return destinations, fields


def digest_of(destinations):
    listed = b"".join(len(text).to_bytes(4, "big") + text for text in destinations)
    return hashlib.sha256(b"sealgate/v1/destinations" + listed).digest()


def fingerprint(key, secret_id, fields):
    told = b"".join(name + b"\0" + value + b"\0" for name, value in sorted(fields))
    return hmac.new(key, b"sealgate/v1/fingerprint" + secret_id + told, hashlib.sha256).digest()[:8].hex()


@functools.lru_cache
def stretched(said, salt, memory_kib, passes, lanes):
    argon = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib)
    return argon.derive(said)


def open_master(line):
    if "master" in line:
        return bytes.fromhex(line["master"])
    row = line["passphrase"]
    salt, effort = bytes.fromhex(row["salt"]), (row["memory_kib"], row["passes"], row["lanes"])
    parent = stretched(row["said"].encode(), salt, *effort)
    aad = associated(b"master-key", row["id"].encode(), salt, *effort)
    parent_id = key_id(parent, b"sealgate/v1/passphrase-id")
    master = open_envelope(parent, parent_id, MASTER_KEY, aad, bytes.fromhex(row["wrapped"]))
    demand(len(master) == 32 and key_id(master, b"sealgate/v1/master-key-id").hex() == row["id"], "master key")
    return master


def open_kek(house, master, kek):
    kek_id = identity(kek["id"])
    aad = associated(b"key-encryption-key", house, kek["category"].encode(), kek["generation"], kek_id)
    master_id = key_id(master, b"sealgate/v1/master-key-id")
    key = open_envelope(master, master_id, KEY_ENCRYPTION_KEY, aad, bytes.fromhex(kek["wrapped"]))
    demand(len(key) == 32, "key-encryption key")
    return key


def open_seed(house, master, row):
    key, kek_id = open_kek(house, master, row["kek"]), identity(row["kek"]["id"])
    aad = associated(b"signing-key", house, row["kek"]["category"].encode(), kek_id, row["number"], row["created_at"])
    seed = open_envelope(key, kek_id, SIGNING_KEY, aad, bytes.fromhex(row["sealed"]))
    demand(len(seed) == 32, "seed")
    return seed


def identity(text):
    return uuid.UUID(text).bytes


def open_chain(line):
    house, master = identity(line["installation"]), open_master(line)
    kek, secret, version = line["kek"], line["secret"], line["version"]
    kek_id, secret_id = identity(kek["id"]), identity(secret["id"])
    provider = secret["provider"].encode()

    key = open_kek(house, master, kek)
    category, inventory = kek["category"].encode(), line["inventory"]
    aad = associated(b"inventory", house, category, kek_id, inventory["epoch"])
    listed = open_envelope(key, kek_id, INVENTORY, aad, bytes.fromhex(inventory["sealed"]))
    demand(len(listed) % 48 == 32, "inventory")

    aad = associated(b"data-key", house, kek["category"].encode(), kek_id, kek["generation"], provider, secret_id)
    data_key = open_envelope(key, kek_id, DATA_KEY, aad, bytes.fromhex(secret["data_key"]))
    demand(len(data_key) == 32, "data key")

    digest = bytes.fromhex(version["destinations"])
    category = secret["category"].encode()
    aad = associated(b"value", house, category, provider, secret_id, version["version"], digest)
    data_key_id = key_id(data_key, b"sealgate/v1/data-key-id")
    plain = open_envelope(data_key, data_key_id, VALUE, aad, bytes.fromhex(version["envelope"]))
    destinations, fields = read_value(plain)
    demand(digest_of(destinations) == digest, "digest of the destinations")
    return {
        "destinations": [text.decode() for text in destinations],
        "fields": {name.decode(): value.hex() for name, value in fields},
        "fingerprint": fingerprint(listed[:32], secret_id, fields),
        "seed": open_seed(house, master, line["signing"]).hex(),
    }


def main():
    for line in sys.stdin:
        try:
            answer = open_chain(json.loads(line))
        except Refused as why:
            answer = {"refused": str(why)}
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
