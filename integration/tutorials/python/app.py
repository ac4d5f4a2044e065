from http.server import BaseHTTPRequestHandler, HTTPServer

from itsdangerous import Signer

TEXT = b"python answers from an image that kiln built"
SIGNER = Signer("not a secret")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        assert SIGNER.unsign(SIGNER.sign(TEXT)) == TEXT
        self.send_response(200)
        self.send_header("Content-Length", str(len(TEXT) + 1))
        self.end_headers()
        self.wfile.write(TEXT + b"\n")


HTTPServer(("", 8000), Answer).serve_forever()
