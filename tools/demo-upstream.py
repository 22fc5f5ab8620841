#!/usr/bin/env python3
"""The upstream of the demo: answers every request with an account that holds secrets.

    demo-upstream.py SOCKET

It listens on a Unix socket, so that no port has to be free, and prints the request line and the headers that it
got, for the demo to show what came through.
"""

import http.server
import json
import socketserver
import sys

ACCOUNT = {"user": "ann", "password": "hunter2", "card": "4111 1111 1111 1111"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(ACCOUNT).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(self.requestline, dict(self.headers), body.decode().strip(), flush=True)

    # A peer on a Unix socket has no address, and the demo reads this log.
    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    Server(sys.argv[1], Handler).serve_forever()
