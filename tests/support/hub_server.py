"""A local HTTP server with the endpoints of the Hugging Face Hub that faststyle uses."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_of_painter"
USER = {"name": "painter", "orgs": [{"name": "museum"}]}


class HubServer(ThreadingHTTPServer):
    """A stand-in for the Hub that accepts small files only, because it supports neither LFS nor Xet.

    Attributes:
        repos: Content of each file by repository and file name.
        role: Role of the token ``TOKEN``.
        refusals: Error response to all requests of an HTTP method: status, code and message.
        commits: Number of commits in all repositories.
        downloads: Number of files sent to clients.
        address: URL of the server.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.role = "write"
        self.refusals: dict[str, tuple[int, str, str]] = {}
        self.commits = 0
        self.downloads = 0
        self.address = f"http://127.0.0.1:{self.server_port}"

    @property
    def commit(self) -> str:
        """Hash of the last commit."""
        return f"{self.commits:040x}"

    def stop(self) -> None:
        """Stop the server."""
        self.shutdown()
        self.server_close()


class RequestHandler(BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", headers=None):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code="", message=""):
        self.reply(status, headers={"X-Error-Code": code, "X-Error-Message": message})

    def handle_request(self, answer):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        token = self.headers.get("Authorization")
        if self.command in self.server.refusals:
            self.refuse(*self.server.refusals[self.command])
        elif token not in (None, f"Bearer {TOKEN}"):
            self.refuse(401, message="Invalid credentials in Authorization header")
        else:
            answer(self.path.strip("/").split("/"), body)

    def do_HEAD(self):
        self.handle_request(self.get)

    def do_GET(self):
        self.handle_request(self.get)

    def do_POST(self):
        self.handle_request(self.post)

    def get(self, parts, _):
        if parts == ["api", "whoami-v2"]:
            return self.reply(200, USER | {"auth": {"accessToken": {"role": self.server.role}}})
        files = self.server.repos.get("/".join(parts[:2]))
        if files is None or parts[2:4] != ["resolve", "main"]:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        headers = {"X-Repo-Commit": self.server.commit}
        name = "/".join(parts[4:])
        if name not in files:
            return self.reply(404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        self.server.downloads += self.command == "GET"
        headers["ETag"] = f'"{hashlib.sha1(files[name]).hexdigest()}"'
        self.reply(200, files[name], headers)

    def post(self, parts, body):
        repo = "/".join(parts[2:4])
        if parts == ["api", "repos", "create"]:
            request = json.loads(body)
            repo = f"{request['organization']}/{request['name']}"
            status = 409 if repo in self.server.repos else 200
            self.server.repos.setdefault(repo, {})
            return self.reply(status, {"url": f"{self.server.address}/{repo}"})
        if parts == ["api", "validate-yaml"]:
            return self.reply(200, {"errors": [], "warnings": []})
        if parts[4] == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            return self.reply(200, {"files": modes})
        assert parts[4] == "commit"
        self.server.commits += 1
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.server.repos[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        oid = self.server.commit
        self.reply(200, {"commitUrl": f"{self.server.address}/{repo}/commit/{oid}", "commitOid": oid})
