"""A registry of patients, for recording: python registry.py, then jobcell test --record all."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

PATIENTS = [{"name": "Ada", "age": 36}, {"name": "Tim", "age": 7}]


class Registry(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == "Bearer sesame"
        body = json.dumps(PATIENTS if known else {"error": "who are you?"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8765), Registry).serve_forever()
