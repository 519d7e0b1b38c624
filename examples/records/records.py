"""Prints every record of a record feed: topic, then batch; control lines have no specversion."""
import json, zmq
s = zmq.Context().socket(zmq.SUB); s.connect("tcp://127.0.0.1:4445"); s.subscribe("downcase/")
while True:
    for line in s.recv_multipart()[1].splitlines():
        if "specversion" in (r := json.loads(line)): print(r["id"], r["data"]["body"], flush=True)
