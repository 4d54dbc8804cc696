#!/usr/bin/python3
# Copyright 2026 The Natterjack Authors. Licensed under the BSD-2-Clause licence, see LICENSE.
"""scapy as a judge: reads jobs as JSON, opens the packets that are in them, seals the inner packets that are in them.

A job: proto (esp, ah, ipcomp), tunnel (the outer header in hexadecimal, or empty for transport mode), crypt, crypt_key, icv, auth,
auth_key, spi, esn (the high half, or -1), packets and inner in hexadecimal. An answer: opened, sealed, error."""

import json
import logging
import sys
import warnings
import zlib

warnings.filterwarnings("ignore")
logging.getLogger("scapy").setLevel(logging.CRITICAL)

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, ESP, SecurityAssociation


def parse(data):
    return IP(data) if data[0] >> 4 == 4 else IPv6(data)


def association(job):
    esn = job["esn"]
    return SecurityAssociation(
        {"esp": ESP, "ah": AH}[job["proto"]],
        spi=job["spi"],
        crypt_algo=job["crypt"] or None,
        crypt_key=bytes.fromhex(job["crypt_key"]) or None,
        crypt_icv_size=job["icv"] or None,
        auth_algo=job["auth"] or None,
        auth_key=bytes.fromhex(job["auth_key"]) or None,
        tunnel_header=parse(bytes.fromhex(job["tunnel"])) if job["tunnel"] else None,
        esn_en=esn >= 0,
        esn=max(esn, 0),
    )


def ipcomp(job):
    """Not scapy's but zlib's: raw DEFLATE behind 4 octets."""
    opened, sealed = [], []
    for p in job["packets"]:
        d = zlib.decompressobj(-15)
        opened.append(d.decompress(bytes.fromhex(p)[4:]).hex())
        if not d.eof or d.unused_data:
            raise ValueError("the stream does not end with the packet")
    for p in job["inner"]:
        c = zlib.compressobj(9, zlib.DEFLATED, -15)
        sealed.append("04000002" + (c.compress(bytes.fromhex(p)) + c.flush()).hex())
    return opened, sealed


def judge(job):
    if job["proto"] == "ipcomp":
        opened, sealed = ipcomp(job)
        return {"opened": opened, "sealed": sealed, "error": ""}
    receiver, sender = association(job), association(job)
    # decrypt() changes its argument, so each packet is parsed for it alone.
    opened = [bytes(receiver.decrypt(parse(bytes.fromhex(p)))).hex() for p in job["packets"]]
    sealed = [bytes(sender.encrypt(parse(bytes.fromhex(p)))).hex() for p in job["inner"]]
    return {"opened": opened, "sealed": sealed, "error": ""}


def main():
    answers = []
    for job in json.load(sys.stdin):
        try:
            answers.append(judge(job))
        except Exception as e:
            answers.append({"opened": [], "sealed": [], "error": "%s: %r" % (type(e).__name__, e)})
    json.dump(answers, sys.stdout)


main()
