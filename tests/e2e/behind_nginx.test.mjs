// deploy/nginx/rdev.conf, as it is but for addresses and the certificate, in an nginx of this test's own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { FrameReader, Server, Transcript, alive, assertRefused, cleanEnv, mint, run, sha256, waitFor } from './support.mjs';

const site = new URL('../../deploy/nginx/rdev.conf', import.meta.url);
const client = '127.0.0.2'; // not the proxy's own address, which is trusted
const started = [];

let server;
let front;
before(async () => {
  server = await Server.start({ env: { RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1/32' } });
  front = await Nginx.start(server.address);
});
after(async () => {
  for (const nginx of started) await nginx.stop();
  await server.close();
});
process.on('exit', () => { for (const nginx of started) nginx.kill(); });

// Below the ports that connections get, so that nobody takes it between two starts of nginx.
async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const free = await new Promise((resolve) => {
      const probe = net.createServer().on('error', () => resolve(false)).listen(port, () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

function replaced(text, changes) {
  for (const [from, to] of changes) {
    assert.equal(text.split(from).length, 2, `rdev.conf has '${from}' once`);
    text = text.replace(from, to);
  }
  return text;
}

class Nginx {
  #child;

  // In front of `upstream`; in a folder of its own, with everything else as nginx has it by default.
  static async start(upstream) {
    const nginx = new Nginx();
    nginx.upstream = upstream;
    nginx.folder = fs.mkdtempSync(path.join(server.base, 'nginx-'));
    fs.chmodSync(nginx.folder, 0o711);
    await nginx.#makeCertificate();
    started.push(nginx);
    for (let tries = 3; ; --tries) {
      nginx.port = await freePort();
      nginx.#configure(await freePort());
      try {
        await nginx.start();
        return nginx;
      } catch (error) {
        if (tries === 0) throw error; // else somebody was quicker with the port
      }
    }
  }

  get certificate() {
    return path.join(this.folder, 'certificate');
  }
  get url() {
    return `https://127.0.0.1:${this.port}`;
  }

  async #makeCertificate() {
    const made = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=rdev.example.com', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${this.folder}/key`, '-out', this.certificate]);
    assert.equal(made.code, 0, made.stderr.toString());
    this.ca = fs.readFileSync(this.certificate);
  }

  #configure(otherPort) {
    fs.writeFileSync(path.join(this.folder, 'rdev.conf'), replaced(fs.readFileSync(site, 'utf8'), [
      ['server 127.0.0.1:8080;', `server ${this.upstream};`],
      ['listen 443 ', `listen 127.0.0.1:${this.port} `],
      ['listen [::]:443 ', `listen 127.0.0.1:${otherPort} `], // there may be no IPv6 here
      ['/etc/ssl/private/rdev.pem', this.certificate],
      ['/etc/ssl/private/rdev.key', `${this.folder}/key`],
    ]));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${this.folder}/${name};`);
    fs.writeFileSync(path.join(this.folder, 'nginx.conf'), `daemon off; worker_processes 1; pid ${this.folder}/pid;
      events { worker_connections 768; }
      http { access_log ${this.folder}/access.log; ${temporary.join(' ')} include ${this.folder}/rdev.conf; }`);
  }

  async start() {
    const args = ['-p', this.folder, '-e', `${this.folder}/error.log`, '-c', `${this.folder}/nginx.conf`];
    const child = spawn('nginx', args, { env: cleanEnv(), stdio: 'ignore' });
    this.#child = child;
    this.ended = undefined;
    child.on('error', (error) => (this.ended = error));
    child.on('exit', (code, signal) => (this.ended = { code, signal }));
    await waitFor('nginx listens', () => this.ended || new Promise((resolve) => {
      const probe = net.connect(this.port, '127.0.0.1', () => probe.destroy() && resolve(true)).on('error', () => resolve(false));
    }));
    if (this.ended) throw new Error(`nginx: ${this.ended.message ?? fs.readFileSync(`${this.folder}/error.log`)}`);
  }

  kill() {
    if (!this.ended) this.#child.kill('SIGTERM'); // the master takes its workers along
  }

  async stop() {
    this.kill();
    await waitFor('nginx ends', () => this.ended);
  }

  // Gives the response with its head read.
  open(method, target, { body, ...headers } = {}) {
    return new Promise((resolve, reject) => {
      const request = https.request(this.url + target, {
        method, ca: this.ca, localAddress: client, agent: false, signal: AbortSignal.timeout(100_000), headers: { 'X-API-Key': server.key, ...headers },
      }, resolve);
      request.on('error', reject);
      request.end(body);
    });
  }

  async api(method, target, headers) {
    const response = await this.open(method, target, headers);
    const pieces = [];
    for await (const piece of response) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    const answer = { status: response.statusCode, headers: response.headers, bytes, text: bytes.toString() };
    if (/json/.test(answer.headers['content-type']) && bytes.length > 0) answer.json = JSON.parse(answer.text);
    return { ...answer, error: answer.json?.error, meta: answer.json?.meta, data: answer.json?.data };
  }

  // Reads a command's stream into a transcript, until it ends, is cut, or `until` says that it is enough.
  async follow(id, into, { until = () => false, headers } = {}) {
    const response = await this.open('GET', server.eventsOf(id), headers);
    assert.equal(response.statusCode, 200);
    const reader = new FrameReader();
    try {
      for await (const piece of response)
        for (const frame of reader.feed(piece)) if (until(into.add(frame), frame)) return response.destroy();
    } catch (error) {
      assert.equal(error.code, 'ECONNRESET'); // the proxy has gone
    }
    return response;
  }
}

const logged = (requestId) =>
  waitFor('the request is logged', () => server.logs().find((line) => line.msg === 'request completed' && line.request_id === requestId));

// Prints `count` lines, waits until the test lets it go on, prints as many again.
const halting = (name, count) => `lines() { i=0; while [ $i -lt ${count} ]; do echo "$1 $i"; i=$((i+1)); done; }
  lines first; while [ ! -e ${name} ]; do sleep 0.05; done; lines second`;

test('nothing about buffering is configured', () => {
  assert.doesNotMatch(fs.readFileSync(site, 'utf8').replace(/#.*/g, ''), /buffering/);
});

test('the first output comes while the command waits', async () => {
  const id = await server.submit(halting('go-first', 1));
  const seen = new Transcript();
  await front.follow(id, seen, { until: () => seen.stdout.length > 0 });
  assert.equal(seen.stdout.toString(), 'first 0\n');
  assert.equal((await server.view(id)).status, 'running');
  server.put('go-first', '');
  const whole = new Transcript();
  await front.follow(id, whole);
  assert.equal(whole.checkReceipts().stdout.toString(), 'first 0\nsecond 0\n');
});

test('and so it does over HTTP/2', async () => {
  const id = await server.submit(halting('go-second', 1));
  const session = http2.connect(front.url, { ca: front.ca });
  const stream = session.request({ ':path': server.eventsOf(id), 'x-api-key': server.key }, { signal: AbortSignal.timeout(100_000) });
  const seen = new Transcript();
  const reader = new FrameReader();
  for await (const piece of stream) {
    for (const frame of reader.feed(piece)) seen.add(frame);
    if (seen.stdout.toString() !== 'first 0\n') continue;
    assert.equal((await server.view(id)).status, 'running');
    server.put('go-second', '');
  }
  session.close();
  assert.equal(session.alpnProtocol, 'h2');
  assert.equal(seen.checkReceipts().stdout.toString(), 'first 0\nsecond 0\n');
});

test('a stream goes on after a restart of the proxy', async () => {
  const count = 1000;
  const id = await server.submit(halting('go-restart', count));
  const seen = new Transcript();
  let halfway;
  const half = new Promise((resolve) => (halfway = resolve));
  const reading = front.follow(id, seen, { until: () => void (seen.stdout.toString().endsWith(`first ${count - 1}\n`) && halfway()) });
  await half;
  await front.stop();
  await reading;
  assert.equal(seen.complete, undefined);
  server.put('go-restart', '');
  await front.start();
  await front.follow(id, seen, { headers: { 'Last-Event-ID': seen.lastId } });
  const lines = (name) => Array.from({ length: count }, (_, i) => `${name} ${i}\n`).join('');
  assert.equal(seen.checkReceipts().stdout.toString(), lines('first') + lines('second'));
  assert.deepEqual(seen.numbered, (await server.follow(id)).numbered);
});

test('the log knows the client, not what the client says of itself', async () => {
  const told = { 'X-Forwarded-For': '203.0.113.9', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
  for (const headers of [{}, told]) {
    const answer = await front.api('GET', '/projects', { ...headers, 'X-Request-ID': `proxied-${Object.keys(headers).length}` });
    assert.equal(answer.status, 200, answer.text);
    const line = await logged(answer.meta.request_id);
    assert.equal(line.client_ip, client);
    if (headers.traceparent) assert.equal(line.trace_id, '0af7651916cd43dd8448eb211c80319c');
  }
  assert.ok(await logged('proxied-0') && await logged('proxied-2'));
  // Past the proxy, from an address that nobody trusts.
  const direct = await new Promise((resolve, reject) => {
    http.get(`${server.url}/projects`, { localAddress: client, agent: false, headers: { 'X-API-Key': server.key, ...told } }, (response) => resolve(response.resume()))
      .on('error', reject);
  });
  assert.equal((await logged(direct.headers['x-request-id'])).client_ip, client);
});

test('a body of more than 1 MiB is refused, one of 1 MiB is not too large', async () => {
  const MiB = 1024 * 1024;
  const post = (size) => front.api('POST', '/projects/demo/shell', { body: '{'.padEnd(size), 'Content-Type': 'application/json' });
  assert.equal((await post(MiB + 1)).status, 413);
  assertRefused(await post(MiB), 400, 'BAD_REQUEST');
});

test('stored output comes whole, in parts, and as a head alone', async () => {
  const size = 3_000_000;
  const id = await server.submit(`head -c ${size} /dev/urandom`);
  const { stdout } = await server.finished(id);
  const target = `/commands/${id}/output?stream=stdout`;
  const accept = { Accept: 'application/octet-stream' };
  const whole = await front.api('GET', target, accept);
  assert.equal(whole.status, 200);
  assert.equal(sha256(whole.bytes), stdout.sha256);
  const part = await front.api('GET', target, { ...accept, Range: 'bytes=2000000-2000009' });
  assert.equal(part.status, 206);
  assert.equal(part.headers['content-range'], `bytes 2000000-2000009/${size}`);
  assert.deepEqual(part.bytes, whole.bytes.subarray(2_000_000, 2_000_010));
  const head = await front.api('HEAD', target, accept);
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], String(size));
  assert.equal(head.bytes.length, 0);
});

test('429 and 503 come with their Retry-After', async () => {
  const slow = await mint(server, { name: 'slow', scopes: ['projects:read'], rate_limit: 1 });
  const limited = await waitFor('a request over the limit', async () => {
    const answer = await front.api('GET', '/projects', { 'X-API-Key': slow.secret });
    return answer.status !== 200 && answer;
  });
  assertRefused(limited, 429, 'TOO_MANY_REQUESTS');
  assert.match(limited.headers['retry-after'], /^[1-9]\d*$/);

  const pids = server.postgresPids();
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    const away = await waitFor('/ready is 503', async () => {
      const answer = await front.api('GET', '/ready');
      return answer.status === 503 && answer;
    });
    assert.match(away.headers['retry-after'], /^[1-9]\d*$/);
    assert.notEqual(away.json.checks.database.status, 'ok');
  } finally {
    for (const pid of pids) if (alive(pid)) process.kill(pid, 'SIGCONT');
  }
  await waitFor('/ready is 200', async () => (await front.api('GET', '/ready')).status === 200);
});

test('connections to rdev are kept, reads are tried again, a POST that was sent never is', async (t) => {
  const seen = [];
  const connections = new Set();
  const upstream = http.createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    connections.add(request.socket);
    const first = seen.filter((one) => one === seen.at(-1)).length === 1;
    if (request.url === '/cut' && first) request.socket.destroy();
    else response.end('{}');
  });
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  t.after(() => upstream.close());
  const nginx = await Nginx.start(`127.0.0.1:${upstream.address().port}`);
  for (let i = 0; i < 3; ++i) assert.equal((await nginx.api('GET', '/kept')).status, 200);
  assert.equal(connections.size, 1);
  assert.equal((await nginx.api('GET', '/cut')).status, 200);
  assert.equal((await nginx.api('GET', '/kept')).status, 200); // leaves a connection to be used again
  assert.equal((await nginx.api('POST', '/cut', { body: '{}' })).status, 502);
  assert.deepEqual(seen.filter((one) => one.endsWith('/cut')), ['GET /cut', 'GET /cut', 'POST /cut']);
  await nginx.stop();
});

test('`rdev` speaks https with a certificate that it can verify', async () => {
  const answer = await server.rdev(['run', 'demo', '--', 'sh', '-c', 'echo through TLS; exit 7'], { env: { RDEV_URL: front.url, SSL_CERT_FILE: front.certificate } });
  assert.equal(answer.stderr.toString(), '');
  assert.equal(answer.stdout.toString(), 'through TLS\n');
  assert.equal(answer.code, 7);
});

test('`rdev` gives up at once on a certificate that it cannot verify', async (t) => {
  let connections = 0;
  const stranger = tls.createServer({ cert: front.ca, key: fs.readFileSync(`${front.folder}/key`) }).on('connection', () => ++connections).on('tlsClientError', () => {});
  await new Promise((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  t.after(() => stranger.close());
  const answer = await server.rdev(['run', 'demo', '--', 'true'], { env: { RDEV_URL: `https://127.0.0.1:${stranger.address().port}` } });
  assert.equal(answer.code, 125);
  assert.match(answer.stderr.toString(), /certificate|verif/i);
  assert.equal(connections, 1, 'it tries once');
});
