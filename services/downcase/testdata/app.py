"""The classic service, for comparison: Flask's development server on a free port.

Writes the port and the version of Werkzeug as one JSON line and serves until its
standard input ends.
"""
import importlib.metadata
import json
import logging
import os
import sys
import threading

from flask import Flask, request
from werkzeug.serving import make_server

app = Flask(__name__)
logging.getLogger("werkzeug").disabled = True
app.logger.disabled = True  # the missing param is a failure here, as it always was


@app.route("/downcase/", methods=["GET"])
def downcase():
    param = request.args.get("param")
    return "lower case of {} is {}".format(param, param.lower())


def leave_with_parent():
    sys.stdin.read()
    os._exit(0)


server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=leave_with_parent, daemon=True).start()
print(json.dumps({"port": server.port, "werkzeug": importlib.metadata.version("werkzeug")}), flush=True)
server.serve_forever()
